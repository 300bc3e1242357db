// Tells the five events of this version, with all their members in order, from everything else that parses: types of
// newer servers, and data that a backend made up itself. Called by receivers that want typed `data`.
import type {
  LinkMeAttemptReason,
  LinkMeClaimType,
  LinkMeEvent,
  LinkMeEventData,
  LinkMeEventType,
  LinkMePlatform,
  LinkMeWebhookEnvelope,
} from "./events.ts";

type Check = (value: unknown) => boolean;

const PLATFORMS: readonly LinkMePlatform[] = ["ios", "android", "web"];
const CLAIM_TYPES: readonly LinkMeClaimType[] = ["direct", "install_referrer", "pasteboard", "fingerprint"];
const REASONS: readonly LinkMeAttemptReason[] = ["matched", "no_match", "expired", "already_claimed"];

const text: Check = (value) => typeof value === "string";
const textMap: Check = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(text);
const oneOf =
  (...accepted: readonly unknown[]): Check =>
  (value) =>
    accepted.includes(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const googleIds: Check = (value) => {
  if (typeof value !== "object" || value === null) return false;
  const { client_id, cookies } = value as Record<string, unknown>;
  return optional(text)(client_id) && textMap(cookies);
};

const platform = oneOf(...PLATFORMS);
const claimType = oneOf(...CLAIM_TYPES);
const mark = optional(oneOf(true));

const surroundings = {
  os: optional(text),
  os_version: optional(text),
  language: optional(text),
  device_category: optional(oneOf("mobile", "tablet", "desktop")),
  country: optional(text),
};

/** One check for every member of every event; the compiler misses none. */
const MEMBERS: { [Type in LinkMeEventType]: Record<keyof LinkMeEventData[Type], Check> } = {
  "link.click": {
    link_id: text,
    platform,
    dest_url: text,
    slug: optional(text),
    hostname: optional(text),
    cid: optional(text),
    utm: optional(textMap),
    params: optional(textMap),
    referrer: optional(text),
    force_web: mark,
    ga: optional(googleIds),
    ...surroundings,
    test: mark,
  },
  "link.token_created": {
    link_id: text,
    platform,
    cid: text,
    dest_url: text,
    slug: optional(text),
    expires_at: text,
    methods: listOf(claimType),
    ga: optional(googleIds),
    ...surroundings,
    test: mark,
  },
  "link.claim": {
    link_id: text,
    platform,
    cid: text,
    claim_type: claimType,
    path: optional(text),
    params: optional(textMap),
    utm: optional(textMap),
    duplicate: oneOf(false),
    claimed_at: text,
    clicked_at: optional(text),
    user_id: optional(text),
    first_cid: optional(text),
    ga: optional(googleIds),
    test: mark,
  },
  "link.app_open": {
    platform,
    type: oneOf("open"),
    link_id: optional(text),
    cid: optional(text),
    user_id: optional(text),
    first_cid: optional(text),
    ga: optional(googleIds),
    detail: optional(text),
    timestamp: optional(Number.isSafeInteger),
    test: mark,
  },
  "link.deferred_claim_attempt": {
    platform,
    matched: oneOf(true, false),
    method: oneOf("fingerprint"),
    reason: oneOf(...REASONS),
    link_id: optional(text),
    cid: optional(text),
    bundle_id: optional(text),
    test: mark,
  },
};

/**
 * Whether an envelope is one of the five events that this version knows, with `ts`, `app_id` and every documented
 * member of `data` of its type. Members that are not documented are allowed. After `true`, `event` narrows `data`.
 *
 * Answer 2xx to an envelope that is `false` here: it is well signed, and sending it again would not change it.
 *
 * @example
 * if (isLinkMeEvent(envelope) && envelope.event === "link.claim") {
 *   console.log(envelope.data.claim_type, envelope.data.user_id);
 * }
 */
export function isLinkMeEvent(envelope: LinkMeWebhookEnvelope): envelope is LinkMeEvent {
  const { event, ts, app_id, data } = envelope;
  if (!Object.hasOwn(MEMBERS, event) || !text(ts) || !text(app_id) || data === undefined) return false;
  // hasOwn has just shown that `event` is one of the keys; all five tables are read in the same way.
  const members: Record<string, Check> = MEMBERS[event as LinkMeEventType];
  return Object.entries(members).every(([member, check]) => check(data[member]));
}
