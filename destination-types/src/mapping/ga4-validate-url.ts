// The part of the validator that looks at where a request goes. Google answers 204 to a request for a stream that is not there, to
// a wrong secret and at its debug address alike, so all that can be seen from here is told before.
import type { Report } from "./ga4-findings.ts";
import { FIREBASE_APP_ID, GA4_DEBUG_PATH, GA4_ORIGINS, GA4_PATH, MEASUREMENT_ID } from "./ga4-limits.ts";
import { parseUrl } from "./source.ts";

/** What kind of stream a request is for; null where the address does not say. */
export type StreamKind = "web" | "app" | null;

const HOSTS: ReadonlySet<string> = new Set(Object.values(GA4_ORIGINS).map((origin) => new URL(origin).host));
const ADDRESSES = Object.values(GA4_ORIGINS)
  .map((origin) => `${origin}${GA4_PATH}`)
  .join(" or ");

export function checkUrl(text: string, report: Report): StreamKind {
  const url = parseUrl(text);
  if (url === null) {
    const message = "The address cannot be read";
    report.tell({ level: "error", rule: "URL_INVALID", path: "url", message, fix: `Send to ${ADDRESSES}` });
    return null;
  }
  checkEndpoint(url, report);
  if ((url.searchParams.get("api_secret") ?? "") === "") {
    const fix = "Create one for the stream: Admin > Data streams > the stream > Measurement Protocol API secrets";
    const message = "There is no api_secret";
    report.tell({ level: "error", rule: "API_SECRET_MISSING", path: "url.api_secret", message, fix });
  }
  return checkStream(url, text, report);
}

function checkEndpoint({ protocol, host, pathname }: URL, report: Report): void {
  const is_google = HOSTS.has(host);
  if (protocol !== "https:") {
    const message = "The address is no https: the API secret is readable on its way";
    // Between a tagging server and this one there may be a network that nobody else is in.
    const level = is_google ? "error" : "warning";
    report.tell({ level, rule: "NOT_HTTPS", path: "url", message, fix: "Begin it with https://" });
  }
  if (pathname.endsWith(GA4_DEBUG_PATH)) {
    const message = "The debug address looks at events and stores none";
    report.tell({ level: "error", rule: "DEBUG_ENDPOINT", path: "url", message, fix: `Send to ${ADDRESSES}` });
    return;
  }
  // A tagging server may have any host, and a path before this one.
  const is_right = is_google
    ? pathname === GA4_PATH
    : pathname.endsWith(GA4_PATH) && !/(?:^|\.)google-analytics\.com$/.test(host);
  if (is_right) return;
  const message = `Nothing takes events at ${report.shown(`${host}${pathname}`)}`;
  report.tell({ level: "error", rule: "WRONG_ENDPOINT", path: "url", message, fix: `Send to ${ADDRESSES}` });
}

function checkStream({ searchParams }: URL, text: string, report: Report): StreamKind {
  const measurement_id = searchParams.get("measurement_id");
  const firebase_app_id = searchParams.get("firebase_app_id");
  if (measurement_id !== null && firebase_app_id !== null) {
    const message = "There are both measurement_id and firebase_app_id";
    const fix = "Leave one out: measurement_id is of a web stream, firebase_app_id of an app stream";
    report.tell({ level: "error", rule: "STREAM_AMBIGUOUS", path: "url", message, fix });
    return null;
  }
  if (measurement_id !== null) {
    if (!MEASUREMENT_ID.test(measurement_id)) {
      const message = `measurement_id is ${report.shown(measurement_id)}; its form is G- and capital letters and digits`;
      const fix = "Copy the measurement id of the web stream; its stream id, a number, is another one";
      report.tell({ level: "error", rule: "MEASUREMENT_ID_INVALID", path: "url.measurement_id", message, fix });
    }
    return "web";
  }
  if (firebase_app_id !== null) {
    checkFirebaseAppId(firebase_app_id, text, report);
    return "app";
  }
  const message = "There is neither measurement_id nor firebase_app_id";
  const fix = "Name the stream: Admin > Data streams";
  report.tell({ level: "error", rule: "STREAM_MISSING", path: "url", message, fix });
  return null;
}

function checkFirebaseAppId(id: string, text: string, report: Report): void {
  const path = "url.firebase_app_id";
  if (!FIREBASE_APP_ID.test(id)) {
    const message = `firebase_app_id is ${report.shown(id)}; its form is 1:1234567890:ios:321abc456def7890`;
    const fix = "Copy the app id from the Firebase console: Project settings > General > Your apps";
    report.tell({ level: "error", rule: "FIREBASE_APP_ID_INVALID", path, message, fix });
  } else if (!text.includes(`firebase_app_id=${id}`)) {
    const message = "The colons of firebase_app_id are percent-encoded, and Google does not decode them";
    report.tell({ level: "error", rule: "FIREBASE_APP_ID_ENCODED", path, message, fix: "Write : and not %3A" });
  }
}
