// Names that Google Analytics keeps for itself, and those of Measurement Protocol's own members.
// Sources: "Measurement Protocol reference", its sections of reserved names and of the JSON body, and what Google's validation
// server says of each name. Used by the validator and by the fake in the tests.

/** Letters, digits and underscores, a letter first. */
export const GA4_NAME = /^[A-Za-z][A-Za-z0-9_]*$/;

/** Refused by the validation server. */
export const GA4_REFUSED_EVENTS: ReadonlySet<string> = new Set([
  ...["ad_activeview", "ad_click", "ad_exposure", "ad_query", "adunit_exposure", "app_clear_data", "app_install"],
  ...["app_remove", "app_update", "error", "first_open", "first_visit", "notification_dismiss"],
  ...["notification_foreground", "notification_open", "notification_receive", "os_update", "session_start"],
  "user_engagement",
]);

/** Documented as reserved; the validation server lets them pass, and what becomes of them is not told. */
export const GA4_RESERVED_EVENTS: ReadonlySet<string> = new Set([
  ...["ad_reward", "app_exception", "app_store_refund", "app_upgrade", "dynamic_link_app_open"],
  ...["dynamic_link_app_update", "dynamic_link_first_open", "firebase_campaign", "firebase_in_app_message_action"],
  ...["firebase_in_app_message_dismiss", "firebase_in_app_message_impression", "notification_send"],
]);

/** Taken of app streams, refused of web streams. */
export const GA4_APP_EVENTS: ReadonlySet<string> = new Set(["ad_impression", "in_app_purchase", "screen_view"]);

export const GA4_PARAM_PREFIXES = ["_", "firebase_", "ga_", "google_", "gtag."] as const;
export const GA4_RESERVED_PARAMS: ReadonlySet<string> = new Set(["firebase_conversion"]);

export const GA4_USER_PROPERTY_PREFIXES = ["_", "firebase_", "ga_", "google_"] as const;
export const GA4_RESERVED_USER_PROPERTIES: ReadonlySet<string> = new Set([
  ...["first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id", "first_open_after_install"],
]);

/** Params of an item that Google has a meaning for; any other is one of its own. */
export const GA4_ITEM_PARAMS: ReadonlySet<string> = new Set([
  ...["item_id", "item_name", "affiliation", "coupon", "discount", "index", "item_brand", "item_category"],
  ...["item_category2", "item_category3", "item_category4", "item_category5", "item_list_id", "item_list_name"],
  ...["item_variant", "location_id", "price", "quantity", "promotion_id", "promotion_name", "creative_name"],
  ...["creative_slot", "google_business_vertical"],
]);

export type MemberType = "string" | "number" | "boolean" | "object" | "array";

/** Of the JSON body. */
export const GA4_BODY_MEMBERS: ReadonlyMap<string, MemberType> = new Map<string, MemberType>([
  ["client_id", "string"],
  ["app_instance_id", "string"],
  ["user_id", "string"],
  ["timestamp_micros", "number"],
  ["user_properties", "object"],
  ["user_data", "object"],
  ["consent", "object"],
  ["non_personalized_ads", "boolean"],
  ["user_location", "object"],
  ["ip_override", "string"],
  ["device", "object"],
  ["user_agent", "string"],
  ["validation_behavior", "string"],
  ["events", "array"],
]);

export const GA4_EVENT_MEMBERS: ReadonlyMap<string, MemberType> = new Map<string, MemberType>([
  ["name", "string"],
  ["params", "object"],
  ["timestamp_micros", "number"],
]);

const texts = (...names: string[]): ReadonlyMap<string, MemberType> => new Map(names.map((name) => [name, "string"]));

export const GA4_CONSENT_MEMBERS = texts("ad_user_data", "ad_personalization");
export const GA4_LOCATION_MEMBERS = texts("city", "region_id", "country_id", "subcontinent_id", "continent_id");
export const GA4_DEVICE_MEMBERS = texts(
  ...["category", "language", "screen_resolution", "operating_system", "operating_system_version"],
  ...["model", "brand", "browser", "browser_version"],
);
