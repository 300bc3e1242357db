// The bytes that the generator sends: one event of about 600 B for ingest, and the same link opened by three browsers.
// Pure. The numbered key inside an event body changes with every request; everything else is written once.

export const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
/** Browsers that open the link, one after another. */
const BROWSERS = [
  IPHONE,
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
];
const BODY_BYTES = 600;
/** A key looks like a UUID, so that it is as long as an event id; its last digits are the request's number. */
const KEY_PREFIX = "00000000-0000-4000-8000-";
const KEY_DIGITS = 12;
const COLON = 58;
/** Deliveries in flight at once: the webhook's `max_in_flight`, and the slots of the `accept+post` floor. */
export const DELIVERY_SLOTS = 64;
export const EVENT_ID_BYTES = 36;
export const CID_BYTES = 32;

/** A request's bytes, and where its number is written before each send (-1: it has none). */
export type RequestTemplate = { bytes: Uint8Array; digits_at: number };

/** One event without an id, as a backend would emit it; exactly 600 bytes of JSON. */
export function eventBody(): string {
  const body = (note: string) =>
    JSON.stringify({
      event: "link.app_open",
      data: {
        platform: "ios",
        type: "open",
        link_id: "lnk_benchmark0000000000",
        cid: "9f86d081884c7d659a2feaa0c55ad015",
        user_id: "user-4711",
        timestamp: 1790000000,
        key: KEY_PREFIX + "0".repeat(KEY_DIGITS),
        utm: { utm_source: "newsletter", utm_medium: "email", utm_campaign: "spring-launch" },
        params: { product: "1234", color: "forest-green", ref: "mail-27" },
        detail: note,
      },
    });
  return body("x".repeat(BODY_BYTES - body("").length));
}

/** `POST path` with one event and the Bearer key that may write it. */
export function ingestRequest(path: string, host: string, key: string): RequestTemplate {
  const body = eventBody();
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: ${host}`,
    `authorization: Bearer ${key}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  const bytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
  return { bytes, digits_at: bytes.lastIndexOf(KEY_PREFIX) + KEY_PREFIX.length };
}

/** `GET path` as an iPhone, an Android phone and a desktop browser. */
export function browserRequests(path: string, host: string): RequestTemplate[] {
  return BROWSERS.map((browser) => {
    const head = [
      `GET ${path} HTTP/1.1`,
      `host: ${host}`,
      `user-agent: ${browser}`,
      "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
      "accept-language: en-GB,en;q=0.9",
    ];
    return { bytes: Buffer.from(`${head.join("\r\n")}\r\n\r\n`), digits_at: -1 };
  });
}

/** The same three, each request another link. */
export function manyLinksRequests(host: string): RequestTemplate[] {
  const path = `/${slugOf(0)}`;
  return browserRequests(path, host).map(({ bytes }) => ({ bytes, digits_at: `GET ${path}`.length - KEY_DIGITS }));
}

export const POPULARITIES = ["even", "zipf", "one"] as const;
export type Popularity = (typeof POPULARITIES)[number];

/** Which of `count`, from 0, where the n-th is wanted about a n-th as often as the first, as by Zipf's law. @param share from 0 to below 1 */
export function popularRank(count: number, share: number): number {
  return Math.min(count - 1, Math.floor((count + 1) ** share) - 1);
}

/** The slug of the n-th of many links. */
export function slugOf(number: number): string {
  return `b${String(number).padStart(KEY_DIGITS, "0")}`;
}

/** The address of the n-th phone: one in an IPv6 network of its own. */
export function addressOf(number: number): string {
  const digits = String(number).padStart(KEY_DIGITS, "0");
  return `fd00:${digits.slice(0, 4)}:${digits.slice(4, 8)}:${digits.slice(8)}::1`;
}

/** What LinkMe's SDK for iOS sends at the first start of an app, through a proxy that names the phone's address. */
export function claimRequest(host: string, app_id: string): RequestTemplate {
  const body = JSON.stringify({
    bundleId: "com.example.benchmark",
    platform: "ios",
    device: { platform: "ios", osVersion: "17.4", deviceModel: "iPhone", locale: "en_GB", timezone: "Europe/London" },
  });
  const forwarded = `x-forwarded-for: ${addressOf(0)}`;
  const head = [
    "POST /api/deferred/claim HTTP/1.1",
    `host: ${host}`,
    forwarded,
    `x-app-id: ${app_id}`,
    "user-agent: Benchmark/1 CFNetwork/1494.0.7 Darwin/23.4.0",
    "accept: application/json",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  const bytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
  return { bytes, digits_at: bytes.indexOf(forwarded) + "x-forwarded-for: fd00:".length };
}

/** A batch of `count` events for one ingest call. */
export function batchBody(count: number): string {
  return `{"events":[${Array.from({ length: count }, eventBody).join(",")}]}`;
}

/** Writes `number` in decimal over the twelve digits at `at`; colons between them stay. */
export function writeDigits(bytes: Uint8Array, at: number, number: number): void {
  let end = at;
  for (let digits = 0; digits < KEY_DIGITS; end++) if (bytes[end] !== COLON) digits++;
  let rest = number;
  for (let i = end - 1; i >= at; i--) {
    if (bytes[i] === COLON) continue;
    bytes[i] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
