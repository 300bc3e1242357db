// The types of what a receiver gets. They stand here in full, so that the package needs nothing at run time; a
// compile-time test holds them to the server's own definition. Members that are unknown are absent, never null.

/** Where something happened; a desktop browser is `web`. */
export type LinkMePlatform = "ios" | "android" | "web";

/** How a click was recognised in the app. */
export type LinkMeClaimType = "direct" | "install_referrer" | "pasteboard" | "fingerprint";

export type LinkMeAttemptReason = "matched" | "no_match" | "expired" | "already_claimed";

/** What Google Analytics had stored in the visitor's browser; only from apps with `analytics_consent`. */
export type LinkMeGoogleIds = {
  /** The two numbers of the cookie `_ga`. */
  client_id?: string | undefined;
  /** `_ga` and `_ga_<stream>`, as they came with the click. */
  cookies: Record<string, string>;
};

/** What a browser says of itself; only from apps with `analytics_consent`. */
export type LinkMeSurroundings = {
  /** Operating system, like `iOS`. */
  os?: string | undefined;
  os_version?: string | undefined;
  /** The first language of the browser, lower case, like `en-nz`. */
  language?: string | undefined;
  device_category?: "mobile" | "tablet" | "desktop" | undefined;
  /** Two letters of ISO 3166-1. */
  country?: string | undefined;
};

/** Somebody opened a link. */
export type LinkClickData = LinkMeSurroundings & {
  link_id: string;
  platform: LinkMePlatform;
  /** Where the visitor was sent. */
  dest_url: string;
  slug?: string | undefined;
  /** The host on which the link was opened. */
  hostname?: string | undefined;
  /** Click token: 32 lower-case hex digits. */
  cid?: string | undefined;
  /** UTM values, those stored on the link and those of the request together. */
  utm?: Record<string, string> | undefined;
  /** Other parameters of the link and of the request. */
  params?: Record<string, string> | undefined;
  /** Host of the referring page, without its path. */
  referrer?: string | undefined;
  /** The link always leads to the web. */
  force_web?: true | undefined;
  ga?: LinkMeGoogleIds | undefined;
  /** A sample event that was sent by hand. */
  test?: true | undefined;
};

/** A click got a token, with which the app can claim it later. */
export type LinkTokenCreatedData = LinkMeSurroundings & {
  link_id: string;
  platform: LinkMePlatform;
  cid: string;
  dest_url: string;
  slug?: string | undefined;
  /** ISO 8601, UTC, with milliseconds. */
  expires_at: string;
  /** How this token can be claimed. */
  methods: LinkMeClaimType[];
  /** Of the click. */
  ga?: LinkMeGoogleIds | undefined;
  test?: true | undefined;
};

/** The app recognised a click, for the first time. */
export type LinkClaimData = {
  link_id: string;
  platform: LinkMePlatform;
  cid: string;
  claim_type: LinkMeClaimType;
  path?: string | undefined;
  params?: Record<string, string> | undefined;
  utm?: Record<string, string> | undefined;
  duplicate: false;
  /** ISO 8601, UTC, with milliseconds. */
  claimed_at: string;
  /** ISO 8601, UTC, with milliseconds. */
  clicked_at?: string | undefined;
  user_id?: string | undefined;
  /** The first click that led to this device or user. */
  first_cid?: string | undefined;
  /** Of the click. */
  ga?: LinkMeGoogleIds | undefined;
  test?: true | undefined;
};

/** The app was opened, through a link or not. */
export type LinkAppOpenData = {
  platform: LinkMePlatform;
  type: "open";
  link_id?: string | undefined;
  cid?: string | undefined;
  user_id?: string | undefined;
  /** The first click that led to this device or user. */
  first_cid?: string | undefined;
  /** Of that click. */
  ga?: LinkMeGoogleIds | undefined;
  /** JSON text, as the app's SDK sent it. */
  detail?: string | undefined;
  /** The clock of the device, in seconds since 1970. */
  timestamp?: number | undefined;
  test?: true | undefined;
};

/** The app asked on its first start whether it was installed because of a click. */
export type LinkDeferredClaimAttemptData = {
  platform: LinkMePlatform;
  matched: boolean;
  method: "fingerprint";
  reason: LinkMeAttemptReason;
  link_id?: string | undefined;
  cid?: string | undefined;
  bundle_id?: string | undefined;
  test?: true | undefined;
};

/** `data`, by event type. */
export type LinkMeEventData = {
  "link.click": LinkClickData;
  "link.token_created": LinkTokenCreatedData;
  "link.claim": LinkClaimData;
  "link.app_open": LinkAppOpenData;
  "link.deferred_claim_attempt": LinkDeferredClaimAttemptData;
};

export type LinkMeEventType = keyof LinkMeEventData;

/** One of the five events that this version knows; `event` tells which, and so what `data` holds. */
export type LinkMeEvent = {
  [Type in LinkMeEventType]: { id: string; event: Type; ts: string; app_id: string; data: LinkMeEventData[Type] };
}[LinkMeEventType];

/** Any webhook body. `event` may be a type that this version does not know; `data` is whatever was sent. */
export interface LinkMeWebhookEnvelope {
  /** Stays the same when a delivery is repeated: remember it to handle each event once. */
  id: string;
  event: string;
  /** When it happened: ISO 8601, UTC, with milliseconds. */
  ts?: string | undefined;
  app_id?: string | undefined;
  data?: Record<string, unknown> | undefined;
}
