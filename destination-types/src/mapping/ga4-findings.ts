// How the validator of Measurement Protocol requests tells what it finds: the rules by name, their levels in both modes, and how
// values are shown, so that no finding holds the secret. Used by the files ga4-validate*.ts.
import type { Finding } from "./finding.ts";

/** `relaxed`: what Google does with a request as it is; `enforce`: with `validation_behavior` set to ENFORCE_RECOMMENDATIONS. */
export type Ga4Mode = "relaxed" | "enforce";

export const GA4_RULES = [
  ...["URL_INVALID", "NOT_HTTPS", "WRONG_ENDPOINT", "DEBUG_ENDPOINT", "STREAM_MISSING", "STREAM_AMBIGUOUS"],
  ...["MEASUREMENT_ID_INVALID", "FIREBASE_APP_ID_INVALID", "FIREBASE_APP_ID_ENCODED", "API_SECRET_MISSING"],
  ...["BODY_TOO_LARGE", "BODY_INVALID", "KEY_UNKNOWN", "TYPE_INVALID", "VALUE_INVALID", "VALUE_UNUSED", "DEPRECATED"],
  ...["ID_MISSING", "ID_AMBIGUOUS", "ID_OF_OTHER_STREAM", "CLIENT_ID_INVALID", "UUID_CLIENT_ID"],
  ...["APP_INSTANCE_ID_INVALID", "USER_ID_TOO_LONG", "TOO_MANY_USER_PROPERTIES", "USER_PROPERTY_NAME_INVALID"],
  ...["USER_PROPERTY_NAME_TOO_LONG", "USER_PROPERTY_NAME_RESERVED", "USER_PROPERTY_TYPE"],
  ...["USER_PROPERTY_VALUE_TOO_LONG", "TIMESTAMP_INVALID", "TIMESTAMP_UNIT", "TIMESTAMP_TOO_OLD", "TIMESTAMP_AHEAD"],
  ...["EVENTS_MISSING", "TOO_MANY_EVENTS", "EVENT_NAME_INVALID", "EVENT_NAME_TOO_LONG", "EVENT_NAME_RESERVED"],
  ...["TOO_MANY_PARAMS", "PARAM_NAME_INVALID", "PARAM_NAME_TOO_LONG", "PARAM_NAME_RESERVED", "PARAM_TYPE"],
  ...["PARAM_VALUE_TOO_LONG", "ITEMS_INVALID", "TOO_MANY_ITEMS", "ITEM_UNNAMED", "TOO_MANY_ITEM_PARAMS"],
  ...["CURRENCY_MISSING", "VALUE_MISSING", "CURRENCY_INVALID", "NO_SESSION", "SESSION_ID_INVALID", "ZERO_ENGAGEMENT"],
  ...["TOO_LATE_FOR_ATTRIBUTION", "HIGH_CARDINALITY_DIMENSION", "NAME_CHANGED"],
] as const;
export type Ga4Rule = (typeof GA4_RULES)[number];

/** `strict`: taken as it is or changed a little, but refused where recommendations are enforced. */
type Severity = Finding["level"] | "strict";

export interface Found extends Omit<Finding, "level" | "rule"> {
  level: Severity;
  rule: Ga4Rule;
}

export interface Report {
  /** When the request is sent, in ms since 1970. */
  readonly now_ms: number;
  readonly findings: readonly Finding[];
  tell(found: Found): void;
  /** A value of the request as a message may show it: JSON, its start only, the secret left out. */
  shown(value: unknown): string;
  /** The path of a member that the request names, under another path. */
  at(path: string, name: string): string;
}

/** More tell nothing new. */
const FINDINGS_MAX = 100;
const SHOWN_MAX_CHARS = 60;
const HIDDEN = "(the API secret)";

/** @param secret what no finding may hold; empty: there is none */
export function createReport(mode: Ga4Mode, now_ms: number, secret: string): Report {
  const findings: Finding[] = [];
  const forms = secret === "" ? [] : [secret, JSON.stringify(secret).slice(1, -1)];
  const hide = (text: string) => forms.reduce((left, form) => left.replaceAll(form, HIDDEN), text);
  const start = (text: string) => (text.length > SHOWN_MAX_CHARS ? `${text.slice(0, SHOWN_MAX_CHARS)}…` : text);
  return {
    now_ms,
    findings,
    tell({ level, rule, path, message, fix }) {
      if (findings.length >= FINDINGS_MAX) return;
      const told = level === "strict" ? (mode === "enforce" ? "error" : "warning") : level;
      findings.push({ level: told, rule, path, message, fix });
    },
    shown: (value) => start(hide(JSON.stringify(value) ?? "nothing").toWellFormed()),
    at: (path, name) => (path === "" ? "" : `${path}.`) + start(hide(name).toWellFormed()),
  };
}

export type Members = Readonly<Record<string, unknown>>;

export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What JSON calls the type of a value. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
