// The part of the validator that looks at events and their params: what Google refuses or ignores, and what it takes but does not
// show in reports. Sources: "Sending events" for the limits, "Measurement Protocol reference" for names and types.
import { type Ga4Rule, isMembers, type Members, type Report, typeOf } from "./ga4-findings.ts";
import {
  GA4_ATTRIBUTION_MS,
  GA4_EVENTS_MAX,
  GA4_NAME_MAX_CHARS,
  GA4_PARAMS_MAX,
  ga4ValueMaxChars,
} from "./ga4-limits.ts";
import {
  GA4_APP_EVENTS,
  GA4_NAME,
  GA4_PARAM_PREFIXES,
  GA4_REFUSED_EVENTS,
  GA4_RESERVED_EVENTS,
  GA4_RESERVED_PARAMS,
} from "./ga4-names.ts";
import { checkItems, checkMoney } from "./ga4-validate-items.ts";
import type { StreamKind } from "./ga4-validate-url.ts";
import { eventName } from "./source.ts";

export interface EventsContext {
  readonly stream: StreamKind;
  /** Params that are registered as custom dimensions of the property. */
  readonly dimensions: ReadonlySet<string>;
}

export function checkEvents(events: readonly unknown[], context: EventsContext, report: Report): void {
  if (events.length === 0) {
    const message = "There is no event";
    report.tell({ level: "error", rule: "EVENTS_MISSING", path: "events", message, fix: "Send at least one" });
  }
  if (events.length > GA4_EVENTS_MAX) {
    const message = `There are ${events.length} events; Google takes ${GA4_EVENTS_MAX} in a request`;
    report.tell({ level: "error", rule: "TOO_MANY_EVENTS", path: "events", message, fix: "Send several requests" });
  }
  events.forEach((event, index) => {
    const path = `events.${index}`;
    if (!isMembers(event)) return;
    checkEventName(event["name"], `${path}.name`, context.stream, report);
    const params = isMembers(event["params"]) ? event["params"] : {};
    checkParams(params, `${path}.params`, report);
    checkReporting(params, `${path}.params`, report);
    checkDimensions(params, `${path}.params`, context.dimensions, report);
  });
}

function checkEventName(name: unknown, path: string, stream: StreamKind, report: Report): void {
  if (typeof name !== "string" || !GA4_NAME.test(name)) {
    const message = `The event's name is ${report.shown(name)}; Google takes letters, digits and _, a letter first`;
    report.tell({ level: "error", rule: "EVENT_NAME_INVALID", path, message, fix: "Rename the event" });
    return;
  }
  if (name.length > GA4_NAME_MAX_CHARS) {
    const message = `The name ${report.shown(name)} has ${name.length} characters; Google takes ${GA4_NAME_MAX_CHARS}`;
    report.tell({ level: "error", rule: "EVENT_NAME_TOO_LONG", path, message, fix: "Shorten it" });
  }
  const is_refused = GA4_REFUSED_EVENTS.has(name) || (stream === "web" && GA4_APP_EVENTS.has(name));
  if (is_refused || GA4_RESERVED_EVENTS.has(name)) {
    const kept = GA4_APP_EVENTS.has(name) ? "for app streams" : "for itself";
    const message = `Google keeps the name ${report.shown(name)} ${kept}`;
    const level = is_refused ? "error" : "warning";
    report.tell({ level, rule: "EVENT_NAME_RESERVED", path, message, fix: "Rename the event" });
  }
  if (name.startsWith("linkme_") && !OUR_NAMES.has(name)) {
    const message = `${report.shown(name)} is none of the names under which LinkMe's events are reported`;
    const fix = `Use ${[...OUR_NAMES].join(", ")}, or a name that does not begin with linkme_`;
    report.tell({ level: "warning", rule: "NAME_CHANGED", path, message, fix });
  }
}

/** The five types of contract/src/events.ts, which needs a package that this folder does without. */
const TYPES = ["link.click", "link.token_created", "link.claim", "link.app_open", "link.deferred_claim_attempt"];
/** A report of one of these breaks in two on the day on which it changes. */
const OUR_NAMES: ReadonlySet<string> = new Set(TYPES.map(eventName));

function checkParams(params: Members, path: string, report: Report): void {
  const names = Object.keys(params);
  if (names.length > GA4_PARAMS_MAX) {
    const message = `There are ${names.length} params; Google takes ${GA4_PARAMS_MAX} and ignores the others`;
    report.tell({ level: "error", rule: "TOO_MANY_PARAMS", path, message, fix: "Leave some out" });
  }
  for (const name of names) checkParam(name, params[name], path, report);
  checkMoney(params, path, report);
  if ("items" in params) checkItems(params["items"], `${path}.items`, report);
}

/** @param path of all params: that of one is made where it is told */
function checkParam(name: string, value: unknown, path: string, report: Report): void {
  checkName(name, path, PARAM_NAMES, report);
  if (name === "items") return;
  const type = typeOf(value);
  if (type !== "string" && type !== "number" && type !== "boolean") {
    const message = `The value is of type ${type}; Google takes texts, numbers and booleans`;
    const fix = "Leave it out, or send its parts as params of their own";
    report.tell({ level: "error", rule: "PARAM_TYPE", path: report.at(path, name), message, fix });
    return;
  }
  const max = ga4ValueMaxChars(name);
  const length = String(value).length;
  if (length > max) {
    const message = `The value ${report.shown(value)} has ${length} characters; Google takes ${max} and ignores a longer one`;
    const fix = `Cut it to ${max} characters`;
    report.tell({ level: "error", rule: "PARAM_VALUE_TOO_LONG", path: report.at(path, name), message, fix });
  }
}

/** The rules that a name is held to. */
export interface NameRules {
  readonly max_chars: number;
  readonly prefixes: readonly string[];
  readonly reserved: ReadonlySet<string>;
  readonly rules: Readonly<Record<"invalid" | "too_long" | "reserved", Ga4Rule>>;
}

const PARAM_NAMES: NameRules = {
  max_chars: GA4_NAME_MAX_CHARS,
  prefixes: GA4_PARAM_PREFIXES,
  reserved: GA4_RESERVED_PARAMS,
  rules: { invalid: "PARAM_NAME_INVALID", too_long: "PARAM_NAME_TOO_LONG", reserved: "PARAM_NAME_RESERVED" },
};

/** @param path of what it is a name in */
export function checkName(name: string, path: string, names: NameRules, report: Report): void {
  const { max_chars } = names;
  const prefix = names.prefixes.find((one) => name.startsWith(one));
  if (prefix !== undefined || names.reserved.has(name)) {
    const kept = prefix === undefined ? report.shown(name) : `names that begin with ${prefix}`;
    const message = `Google keeps ${kept} for itself`;
    report.tell({ level: "error", rule: names.rules.reserved, path: report.at(path, name), message, fix: "Rename it" });
    return;
  }
  if (!GA4_NAME.test(name)) {
    const message = `The name is ${report.shown(name)}; Google takes letters, digits and _, a letter first`;
    report.tell({ level: "error", rule: names.rules.invalid, path: report.at(path, name), message, fix: "Rename it" });
  }
  if (name.length > max_chars) {
    const message = `The name ${report.shown(name)} has ${name.length} characters; Google takes ${max_chars}`;
    report.tell({
      level: "error",
      rule: names.rules.too_long,
      path: report.at(path, name),
      message,
      fix: "Shorten it",
    });
  }
}

const SESSION_NUMBER = /^[1-9]\d{0,12}$/;
/** The cookie `_ga_<stream>` as it is. */
const SESSION_COOKIE = /^GS[12]\.\d+(?:-\d+)?\..+$/;

/** What is taken and shown in Realtime, and then never in a report. */
function checkReporting(params: Members, path: string, report: Report): void {
  const session = params["session_id"];
  const text = typeof session === "string" || typeof session === "number" ? String(session) : "";
  const session_path = `${path}.session_id`;
  if (session === undefined || session === "") {
    const message = "It names no session: it is shown in Realtime and is missing from reports";
    const fix = "Send the session of Google's cookie, or the second in which the visit began";
    report.tell({ level: "warning", rule: "NO_SESSION", path: session_path, message, fix });
  } else if (!SESSION_NUMBER.test(text) && !SESSION_COOKIE.test(text)) {
    const message = `session_id is ${report.shown(session)}; Google takes a positive number, or the value of its cookie`;
    const fix = "Send the second in which the visit began, like 1769851790";
    report.tell({ level: "strict", rule: "SESSION_ID_INVALID", path: session_path, message, fix });
  } else if (SESSION_NUMBER.test(text)) checkAttribution(Number(text), session_path, report);
  const engagement = params["engagement_time_msec"];
  if (!(Number(engagement) > 0)) {
    const what = engagement === undefined ? "is missing" : `is ${report.shown(engagement)}`;
    const message = `engagement_time_msec ${what}; without 1 or more nobody counts as active, and reports leave it out`;
    const engagement_path = `${path}.engagement_time_msec`;
    report.tell({ level: "warning", rule: "ZERO_ENGAGEMENT", path: engagement_path, message, fix: "Send 1" });
  }
}

function checkAttribution(session_second: number, path: string, report: Report): void {
  const late_ms = report.now_ms - session_second * 1_000;
  if (late_ms <= GA4_ATTRIBUTION_MS) return;
  const hours = Math.floor(late_ms / 3_600_000);
  const message = `Its session began ${hours} h ago; what comes more than 24 h after that gets none of the session's campaign`;
  const fix = "Nothing can be done for this event; those that arrive sooner are not concerned";
  report.tell({ level: "warning", rule: "TOO_LATE_FOR_ATTRIBUTION", path, message, fix });
}

/** Values that are other ones for each event: a UUID, a token, a time in milliseconds or finer. */
const UNIQUE = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,}|\d{13,})$/i;

/** A dimension with more than 500 values a day puts what is rare into the row "(other)" (Google's help centre, 12226705). */
function checkDimensions(params: Members, path: string, dimensions: ReadonlySet<string>, report: Report): void {
  for (const name of dimensions) {
    const value = params[name];
    if (value === undefined || !(name === "linkme_event_id" || UNIQUE.test(String(value)))) continue;
    const message = `${report.shown(name)} is a custom dimension, and ${report.shown(value)} looks like another value for each event`;
    const fix = "Archive that custom dimension: with more than 500 values a day, reports put most of them into (other)";
    report.tell({ level: "warning", rule: "HIGH_CARDINALITY_DIMENSION", path: report.at(path, name), message, fix });
  }
}
