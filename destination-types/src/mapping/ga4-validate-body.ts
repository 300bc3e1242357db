// The part of the validator that looks at the body around the events: its members, whose it is, properties of the user, times.
// Source: "Measurement Protocol reference", the JSON body.
import { isMembers, type Members, type Report, typeOf } from "./ga4-findings.ts";
import {
  APP_INSTANCE_ID,
  GA4_AGE_MAX_MS,
  GA4_AHEAD_MAX_MS,
  GA4_USER_ID_MAX_CHARS,
  GA4_USER_PROPERTIES_MAX,
  GA4_USER_PROPERTY_NAME_MAX_CHARS,
  GA4_USER_PROPERTY_VALUE_MAX_CHARS,
} from "./ga4-limits.ts";
import {
  GA4_BODY_MEMBERS,
  GA4_CONSENT_MEMBERS,
  GA4_DEVICE_MEMBERS,
  GA4_EVENT_MEMBERS,
  GA4_LOCATION_MEMBERS,
  GA4_RESERVED_USER_PROPERTIES,
  GA4_USER_PROPERTY_PREFIXES,
  type MemberType,
} from "./ga4-names.ts";
import { checkName, type NameRules } from "./ga4-validate-events.ts";
import type { StreamKind } from "./ga4-validate-url.ts";

export function checkBody(body: Members, stream: StreamKind, report: Report): void {
  checkMembers(body, "", GA4_BODY_MEMBERS, report);
  checkWhose(body, stream, report);
  checkSurroundings(body, report);
  if (isMembers(body["user_properties"])) checkUserProperties(body["user_properties"], report);
  const events = Array.isArray(body["events"]) ? body["events"] : [];
  events.forEach((event: unknown, index) => {
    const path = `events.${index}`;
    if (isMembers(event)) checkMembers(event, path, GA4_EVENT_MEMBERS, report);
    else tellType(path, event, "object", report);
  });
  checkTimes(body, events, report);
}

/** @param path of the members: empty for those of the body */
function checkMembers(members: Members, path: string, known: ReadonlyMap<string, MemberType>, report: Report): void {
  for (const [name, value] of Object.entries(members)) {
    const type = known.get(name);
    if (type === undefined) {
      const message = `Measurement Protocol knows no ${report.shown(name)} here, and takes no request that has one`;
      const fix = `Use ${[...known.keys()].join(", ")}`;
      report.tell({ level: "error", rule: "KEY_UNKNOWN", path: report.at(path, name), message, fix });
    } else if (typeOf(value) !== type) tellType(report.at(path, name), value, type, report);
  }
}

function tellType(path: string, value: unknown, wanted: MemberType, report: Report): void {
  const message = `It is of type ${typeOf(value)}; Google takes ${wanted}`;
  report.tell({ level: "error", rule: "TYPE_INVALID", path, message, fix: `Send a value of type ${wanted}` });
}

const CLIENT_ID = /^(?:GA1\.\d+(?:-\d+)?\.)?[1-9]\d*\.[1-9]\d*$/;
const UUID = /^[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

function checkWhose(body: Members, stream: StreamKind, report: Report): void {
  const { client_id, app_instance_id, user_id } = body;
  const wanted = stream === "app" ? "app_instance_id" : "client_id";
  if (client_id !== undefined && app_instance_id !== undefined) {
    const message = "There are both client_id and app_instance_id";
    report.tell({ level: "error", rule: "ID_AMBIGUOUS", path: wanted, message, fix: `Send ${wanted} alone` });
  } else if (client_id === undefined && app_instance_id === undefined) {
    const message = `There is no ${wanted}: Google does not know whose event it is`;
    report.tell({ level: "error", rule: "ID_MISSING", path: wanted, message, fix: `Send ${wanted}` });
  } else if (stream !== null && body[wanted] === undefined) {
    const message = `The stream is of ${stream === "app" ? "an app" : "a site"}, and the id is not: ${wanted} is missing`;
    report.tell({ level: "error", rule: "ID_OF_OTHER_STREAM", path: wanted, message, fix: `Send ${wanted}` });
  }
  if (typeof client_id === "string") checkClientId(client_id, report);
  if (typeof app_instance_id === "string" && !APP_INSTANCE_ID.test(app_instance_id)) {
    const message = `app_instance_id is ${report.shown(app_instance_id)}; its form is 32 hexadecimal digits`;
    const fix = "Send what the Firebase SDK returns from getAppInstanceId, and no event where that is null";
    report.tell({ level: "error", rule: "APP_INSTANCE_ID_INVALID", path: "app_instance_id", message, fix });
  }
  if (typeof user_id === "string" && user_id.length > GA4_USER_ID_MAX_CHARS) {
    const message = `user_id has ${user_id.length} characters; Google takes ${GA4_USER_ID_MAX_CHARS}`;
    const fix = "Send a shorter id, or none: cut ids may become the same one";
    report.tell({ level: "error", rule: "USER_ID_TOO_LONG", path: "user_id", message, fix });
  }
}

function checkClientId(client_id: string, report: Report): void {
  if (CLIENT_ID.test(client_id)) return;
  const path = "client_id";
  const fix = "Send the numbers of the cookie _ga, or two of your own with a dot between";
  if (UUID.test(client_id)) {
    const message = `client_id is a UUID, ${report.shown(client_id)}; its documented form is two positive numbers with a dot between`;
    report.tell({ level: "warning", rule: "UUID_CLIENT_ID", path, message, fix });
    return;
  }
  const message = `client_id is ${report.shown(client_id)}; its form is two positive numbers with a dot between`;
  const level = client_id === "" ? "error" : "strict";
  report.tell({ level, rule: "CLIENT_ID_INVALID", path, message, fix });
}

function checkSurroundings(body: Members, report: Report): void {
  for (const [name, known] of [
    ["consent", GA4_CONSENT_MEMBERS],
    ["user_location", GA4_LOCATION_MEMBERS],
    ["device", GA4_DEVICE_MEMBERS],
  ] as const) {
    if (isMembers(body[name])) checkMembers(body[name], name, known, report);
  }
  const consent = isMembers(body["consent"]) ? body["consent"] : {};
  for (const [name, value] of Object.entries(consent)) {
    checkValue(value, report.at("consent", name), ["GRANTED", "DENIED"], report);
  }
  checkValue(body["validation_behavior"], "validation_behavior", ["RELAXED", "ENFORCE_RECOMMENDATIONS"], report);
  for (const [unused, instead] of [
    ["ip_override", "user_location"],
    ["user_agent", "device"],
  ] as const) {
    if (body[unused] === undefined || body[instead] === undefined) continue;
    const message = `Google does not look at ${unused} beside ${instead}`;
    report.tell({ level: "warning", rule: "VALUE_UNUSED", path: unused, message, fix: `Leave one of the two out` });
  }
  if (body["non_personalized_ads"] === undefined) return;
  const fix = "Send consent.ad_personalization";
  const message = "Google has replaced non_personalized_ads";
  report.tell({ level: "warning", rule: "DEPRECATED", path: "non_personalized_ads", message, fix });
}

function checkValue(value: unknown, path: string, allowed: readonly string[], report: Report): void {
  if (typeof value !== "string" || allowed.includes(value)) return;
  const message = `It is ${report.shown(value)}; Google takes ${allowed.join(" or ")}`;
  report.tell({ level: "error", rule: "VALUE_INVALID", path, message, fix: `Send ${allowed.join(" or ")}` });
}

const USER_PROPERTY_NAMES: NameRules = {
  max_chars: GA4_USER_PROPERTY_NAME_MAX_CHARS,
  prefixes: GA4_USER_PROPERTY_PREFIXES,
  reserved: GA4_RESERVED_USER_PROPERTIES,
  rules: {
    invalid: "USER_PROPERTY_NAME_INVALID",
    too_long: "USER_PROPERTY_NAME_TOO_LONG",
    reserved: "USER_PROPERTY_NAME_RESERVED",
  },
};

function checkUserProperties(properties: Members, report: Report): void {
  const entries = Object.entries(properties);
  const path = "user_properties";
  if (entries.length > GA4_USER_PROPERTIES_MAX) {
    const message = `There are ${entries.length} user properties; Google takes ${GA4_USER_PROPERTIES_MAX}`;
    report.tell({ level: "error", rule: "TOO_MANY_USER_PROPERTIES", path, message, fix: "Leave some out" });
  }
  for (const [name, property] of entries) {
    checkName(name, path, USER_PROPERTY_NAMES, report);
    checkUserProperty(property, report.at(path, name), report);
  }
}

function checkUserProperty(property: unknown, path: string, report: Report): void {
  const value = isMembers(property) ? property["value"] : undefined;
  const type = typeOf(value);
  if (type !== "string" && type !== "number" && type !== "boolean") {
    const message = "A user property is an object whose value is a text, a number or a boolean";
    report.tell({ level: "error", rule: "USER_PROPERTY_TYPE", path, message, fix: 'Send {"value": …}' });
    return;
  }
  const length = String(value).length;
  if (length <= GA4_USER_PROPERTY_VALUE_MAX_CHARS) return;
  const message = `The value ${report.shown(value)} has ${length} characters; Google takes ${GA4_USER_PROPERTY_VALUE_MAX_CHARS}`;
  report.tell({ level: "error", rule: "USER_PROPERTY_VALUE_TOO_LONG", path, message, fix: "Shorten it" });
}

/** The time of an event goes before that of the request; without either it is the time at which Google receives it. */
function checkTimes(body: Members, events: readonly unknown[], report: Report): void {
  const own = events.map((event) => (isMembers(event) ? event["timestamp_micros"] : undefined));
  own.forEach((micros, index) => {
    if (micros !== undefined) checkTime(micros, `events.${index}.timestamp_micros`, report);
  });
  const is_used = own.length === 0 || own.includes(undefined);
  if (is_used && body["timestamp_micros"] !== undefined) {
    checkTime(body["timestamp_micros"], "timestamp_micros", report);
  }
}

/** In microseconds: what is less was in 1973, and what is more will be in 5138. */
const MICROS_FROM = 1e14;
const MICROS_TO = 1e17;

function checkTime(micros: unknown, path: string, report: Report): void {
  // Another type is told of already.
  if (typeof micros !== "number") return;
  if (!Number.isInteger(micros) || micros <= 0) {
    const message = `The time is ${report.shown(micros)}; Google takes a whole number of microseconds since 1970`;
    const fix = "Send the milliseconds of a clock, times 1000";
    report.tell({ level: "error", rule: "TIMESTAMP_INVALID", path, message, fix });
    return;
  }
  if (micros < MICROS_FROM || micros >= MICROS_TO) {
    const unit = micros >= MICROS_TO ? "nanoseconds" : micros < MICROS_FROM / 1_000 ? "seconds" : "milliseconds";
    const message = `The time ${micros} looks like ${unit}; Google takes microseconds since 1970`;
    const fix = "Send the milliseconds of a clock, times 1000";
    report.tell({ level: "error", rule: "TIMESTAMP_UNIT", path, message, fix });
    return;
  }
  checkAge(report.now_ms - micros / 1_000, path, report);
}

/** @param age_ms negative where the time is yet to come */
function checkAge(age_ms: number, path: string, report: Report): void {
  if (age_ms > GA4_AGE_MAX_MS) {
    const message = `It happened ${inHours(age_ms)} h ago; Google takes 72 h, and moves what is older to that age`;
    const fix = "Send it sooner, or with the current time";
    report.tell({ level: "strict", rule: "TIMESTAMP_TOO_OLD", path, message, fix });
  }
  if (-age_ms > GA4_AHEAD_MAX_MS) {
    const minutes = Math.ceil(-age_ms / 60_000);
    const message = `It lies ${minutes} min ahead; Google takes what has happened, and nobody knows what it does with the rest`;
    report.tell({ level: "strict", rule: "TIMESTAMP_AHEAD", path, message, fix: "Set the clock of whoever made it" });
  }
}

function inHours(ms: number): string {
  return (Math.ceil(ms / 360_000) / 10).toString();
}
