// The language in which requests of the type `http` are written: text with places to fill in, and no logic.
//
//   {{name}}       the value as text: a text as it is, numbers and booleans as they are written, objects and lists as JSON,
//                  what is absent or null as nothing
//   {{json name}}  the value as JSON, with quotes where it is a text; what is absent is null
//
// Spaces next to the braces do not count. `{{` always begins a place; `}}` outside of one is text. Names:
//
//   id, event, ts, app_id      of the envelope
//   event_name                 linkme_link_click of link.click
//   ts_ms, ts_seconds          when it happened, since 1970
//   data, data.link_id, …      any member, or a member of it; lists by number, like data.methods.0
//   properties, properties.…   what vendors are told of every event: see properties.ts
//   envelope                   all of it
//   secret.name                one of the settings' secrets
//
// How a value is escaped says where it stands: see Escape. Pure; used by http.ts beside this file.
import { type Properties, propertiesOf } from "./properties.ts";
import { eventName, type SourceEvent, timeOf } from "./source.ts";

export interface Place {
  /** As it is written, for messages: `data.link_id`. */
  readonly name: string;
  readonly path: readonly string[];
  readonly as_json: boolean;
}

export type Part = string | Place;
export type Template = readonly Part[];

/** The secrets of the settings, by name. */
export type Secrets = Readonly<Record<string, string>>;

const ROOTS = ["id", "event", "ts", "app_id", "event_name", "ts_ms", "ts_seconds", "data", "properties", "envelope"];
const WITH_MEMBERS: ReadonlySet<string> = new Set(["data", "properties"]);
const PLACE = /^\s*(json\s+)?([A-Za-z_]\w*(?:\.[\w$-]+)*)\s*$/;
/** Complete by its type. */
const PROPERTY_NAMES: Readonly<Record<keyof Properties, true>> = {
  linkme_event: true,
  linkme_event_id: true,
  linkme_app_id: true,
  linkme_link_id: true,
  linkme_platform: true,
  linkme_dest_host: true,
  linkme_dest_path: true,
  linkme_campaign: true,
  linkme_referrer_host: true,
  linkme_token_methods: true,
  linkme_match_type: true,
  linkme_matched: true,
  linkme_reason: true,
  linkme_first_open: true,
  linkme_app_version: true,
  linkme_seconds_since_click: true,
};

/** @returns a sentence for the one who wrote it where it cannot be read, or names what there is not */
export function parseTemplate(text: string, secret_names: ReadonlySet<string>): Template | { problem: string } {
  const parts: Part[] = [];
  let at = 0;
  for (;;) {
    const start = text.indexOf("{{", at);
    if (start > at || start === -1) parts.push(text.slice(at, start === -1 ? undefined : start));
    if (start === -1) return parts.filter((part) => part !== "");
    const end = text.indexOf("}}", start);
    if (end === -1) return { problem: `{{ at character ${start + 1} has no }} after it` };
    const place = parsePlace(text.slice(start + 2, end), secret_names);
    if ("problem" in place) return place;
    parts.push(place);
    at = end + 2;
  }
}

function parsePlace(text: string, secret_names: ReadonlySet<string>): Place | { problem: string } {
  const [, json, name = ""] = PLACE.exec(text) ?? [];
  const shown = `{{${text.trim().slice(0, 60)}}}`;
  if (name === "") return { problem: `${shown} is no place: write {{name}} or {{json name}}, like {{data.link_id}}` };
  const path = name.split(".");
  const [root = "", member = ""] = path;
  if (root === "secret") {
    if (path.length === 2 && secret_names.has(member)) return { name, path, as_json: json !== undefined };
    return { problem: `${shown}: the settings have no such secret` };
  }
  if (!ROOTS.includes(root) || (path.length > 1 && !WITH_MEMBERS.has(root))) {
    return { problem: `${shown} is not known: there are ${ROOTS.join(", ")}, data.… and secret.…` };
  }
  const is_unknown =
    root === "properties" && path.length > 1 && !Object.hasOwn(PROPERTY_NAMES, path.slice(1).join("."));
  return is_unknown ? { problem: `${shown}: there is no such property` } : { name, path, as_json: json !== undefined };
}

/**
 * What a value becomes where it stands. `json`: a text goes into a JSON text, without the quotes, and JSON as it is. `url`: as a
 * part of a path, a query or a form. `header`: whatever is no printable ASCII, and %, is percent-encoded, so that no line can end.
 * `none`: as it is.
 */
export type Escape = "json" | "url" | "header" | "none";

/** Never fails: what the event does not say is empty. */
export function fill(template: Template, event: SourceEvent, secrets: Secrets, escaping: Escape): string {
  return template
    .map((part) => (typeof part === "string" ? part : fillPlace(part, valueAt(part, event, secrets), escaping)))
    .join("");
}

function fillPlace({ as_json, path }: Place, value: unknown, escaping: Escape): string {
  const text = as_json ? JSON.stringify(value ?? null) : textOfValue(value);
  switch (escaping) {
    case "none":
      return text;
    case "json":
      return as_json ? text : JSON.stringify(text).slice(1, -1);
    case "url":
      return encodeURIComponent(text.toWellFormed());
    case "header":
      // Secrets were printable when they were set, and are meant as they are.
      return path[0] === "secret" ? text : text.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]+/gu, encodeURIComponent);
  }
}

function textOfValue(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/** Undefined where the event does not say it. */
export function valueAt({ path }: Place, event: SourceEvent, secrets: Secrets): unknown {
  const [root = "", ...members] = path;
  return members.reduce<unknown>(memberOf, rootOf(root, event, secrets));
}

function rootOf(root: string, event: SourceEvent, secrets: Secrets): unknown {
  const happened_at = timeOf(event.ts);
  switch (root) {
    case "id":
    case "event":
    case "ts":
    case "app_id":
    case "data":
      return event[root];
    case "event_name":
      return eventName(event.event);
    case "ts_ms":
      return happened_at;
    case "ts_seconds":
      return happened_at === undefined ? undefined : Math.floor(happened_at / 1_000);
    case "properties":
      return propertiesOf(event);
    case "envelope":
      return event;
    default:
      // The one that is left: see parsePlace.
      return secrets;
  }
}

/** Own members alone: an event has no `constructor`, and a list has nothing but what is in it. */
function memberOf(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(name) ? value[Number(name)] : undefined;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  // It has just been found there.
  return (value as Record<string, unknown>)[name];
}

/**
 * Whether it is JSON whatever is filled in: null, else what the parser says. A place for a text has to stand between quotes, one
 * for JSON outside of them: both show when each is filled with two things.
 */
export function whyNoJson(template: Template): string | null {
  for (const sample of ["null", '{"a":"b"}']) {
    const text = template.map((part) => (typeof part === "string" ? part : part.as_json ? sample : "x")).join("");
    try {
      JSON.parse(text);
    } catch (error) {
      // Written by whoever sets it up.
      return error instanceof Error ? error.message : String(error);
    }
  }
  return null;
}
