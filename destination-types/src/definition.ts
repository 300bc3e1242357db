// What every type of destination defines, and the values that pass through it. One type is one file beside this one.
// Called by the server's destinations module, which seals configs and prepares each destination once.
// Everything here and in the definitions is pure: no clock, no network, the same input gives the same bytes.
import { z } from "zod";
import { MASK } from "#contract/destinations.ts";
import type { Finding } from "./mapping/finding.ts";

export type { Finding };

/** One event on its way to one destination, for one attempt. `body` is the stored envelope, never printed again. */
export interface Outgoing {
  event_id: string;
  delivery_id: string;
  body: string;
  /** 1 for the first attempt. */
  attempt: number;
  /** When this attempt is made, in ms since 1970. */
  at: number;
}

/** What an event comes to that needs no request. */
export interface Unsent {
  kind: "unsent";
  outcome: FailedOutcome | SkippedOutcome;
}

export function isUnsent(built: BuiltRequest | Unsent): built is Unsent {
  return "outcome" in built;
}

/** A request as an answer may show it, every secret masked. */
export interface ShownRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** A request as the egress gate takes it; `headers` is flat: name, value, name, value. */
export interface BuiltRequest {
  method: "POST" | "PUT" | "PATCH";
  url: string;
  headers: string[];
  body: string;
}

/** What a definition reads of the exchange that the egress gate made. Header names are lower case. */
export type Exchange =
  | {
      kind: "response";
      status: number;
      headers: Readonly<Record<string, string>>;
      /** The start of the body, without what is secret. */
      snippet: string;
      started_at: number;
      duration_ms: number;
    }
  | {
      kind: "failure";
      code: string;
      message: string;
      /** Whether anything of the request has left; absent: that is not known. */
      is_sent?: boolean;
      started_at: number;
      duration_ms: number;
    };

/** What an exchange means for its event. `message` is read by the engineer on call, in the Portal and in the API. */
export type Outcome = HttpOutcome | UnverifiedOutcome | SkippedOutcome;

/** Of a vendor whose answer says whether it has the event. */
export type HttpOutcome = { kind: "accepted" } | FailedOutcome;
/** 2xx of a vendor that answers so to anything: what became of the event nobody knows. */
export interface UnverifiedOutcome {
  kind: "accepted_unverified";
}

/** Not meant for this destination, as its settings or the event itself say. */
export interface SkippedOutcome {
  kind: "skipped";
  message: string;
}

export interface FailedOutcome {
  kind: "refused" | "unreachable" | "ambiguous" | "misconfigured";
  retriable: boolean;
  message: string;
  /** The destination asked for at least this delay before the next attempt. */
  retry_after_ms?: number;
  /** The destination will take nothing until somebody has changed something, there or here: it pauses at once. */
  pause?: true;
  /** The destination wants nothing more, and why: it becomes `disabled` with this reason. */
  disable?: string;
}

/** Null when nothing went wrong. */
export function failureOf(outcome: Outcome): FailedOutcome | null {
  return outcome.kind === "accepted" || outcome.kind === "accepted_unverified" || outcome.kind === "skipped"
    ? null
    : outcome;
}

/** Whether the other side has said yes. @param kind of an outcome, also of one that is stored */
export function isAccepted(kind: string): boolean {
  return kind === "accepted" || kind === "accepted_unverified";
}

/** Settings of a destination that decide what its answers mean. */
export interface JudgeRules {
  retry_on: "retriable" | "any_failure";
}

/** The secrets that sign for a destination, unsealed. While a rotation is staged `next` signs beside `current`. */
export interface SigningSecrets {
  current: string;
  next?: string;
  /** Still honoured; what was replaced last stands first. */
  replaced?: readonly ReplacedSecret[];
  /** The Ed25519 key beside each secret, `whsk_…`: only what is to sign asymmetrically has one. */
  private_keys?: { current?: string; next?: string };
}

export interface ReplacedSecret {
  secret: string;
  /** Its Ed25519 key, if it has one. */
  private_key?: string | undefined;
  /** Milliseconds since 1970: from then on it signs nothing. */
  valid_until: number;
}

export interface PrepareContext {
  /** The product's version, for the user agent. */
  version: string;
  secrets: SigningSecrets;
  /** See MapContext in mapping/source.ts. */
  pseudonym(text: string): Uint8Array;
}

export interface Limits {
  max_events: number;
  max_bytes: number;
  /** Older events are refused by the vendor; absent when age does not matter. */
  max_age_ms?: number;
}

/** @typeParam Built narrowed to BuiltRequest by a type that sends every event. @typeParam Judged what its answers can come to */
export interface Definition<
  Config,
  Prepared,
  Built extends BuiltRequest | Unsent = BuiltRequest | Unsent,
  Judged extends Outcome = Outcome,
> {
  readonly type: string;
  readonly label: string;
  /** One or two sentences for the person who sets it up. */
  readonly docs: string;
  readonly config: z.ZodType<Config>;
  readonly limits: Limits;
  /** Derives once what every request would otherwise derive again: keys, constant headers. */
  prepare(config: Config, context: PrepareContext): Prepared;
  /** An address of the one host that all requests go to. */
  target(prepared: Prepared): string;
  buildRequest(delivery: Outgoing, prepared: Prepared): Built;
  /** @param prepared where settings decide what an answer means; without them their defaults do */
  judge(exchange: Exchange, rules: JudgeRules, prepared?: Prepared): Judged;
  /** A built request as answers of the API may show it. */
  show(request: BuiltRequest, prepared: Prepared): ShownRequest;
  /** What is to be said of an event before it is sent; absent where nothing can be wrong with one. */
  inspect?(delivery: Outgoing, prepared: Prepared): Finding[];
}

/** Flat pairs of headers as an answer may show them. @param masked_names of those whose values are secret, as they stand in the pairs */
export function maskHeaders(headers: readonly string[], masked_names: ReadonlySet<string>): Record<string, string> {
  const shown: [string, string][] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? "";
    shown.push([name, masked_names.has(name) ? MASK : (headers[index + 1] ?? "")]);
  }
  return Object.fromEntries(shown);
}

/** Marks a text of a config as secret: it is sealed at rest and masked in answers. */
export function secret(schema: z.ZodString): z.ZodString {
  return schema.meta({ secret: true });
}

/**
 * Copies a config with every secret text replaced; what is not secret is shared with the original.
 * @example mapSecrets(definition.config, config, () => MASK)
 */
export function mapSecrets<Config>(
  schema: z.ZodType<Config>,
  config: Config,
  change: (plain: string) => string,
): Config {
  // Only texts are replaced, and by texts, so the copy has the type of the original.
  return replace(schema, config, change) as Config;
}

function replace(schema: z.core.$ZodType, value: unknown, change: (plain: string) => string): unknown {
  if (value === undefined || value === null) return value;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    return replace(schema.unwrap(), value, change);
  }
  if (schema instanceof z.ZodString) {
    return schema.meta()?.["secret"] === true && typeof value === "string" ? change(value) : value;
  }
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item) => replace(schema.element, item, change));
  }
  if (typeof value !== "object") return value;
  const schemaOf = (name: string) => (schema instanceof z.ZodObject ? schema.shape[name] : undefined);
  const copy: [string, unknown][] = Object.entries(value).map(([name, member]) => {
    const inner = schema instanceof z.ZodRecord ? schema.valueType : schemaOf(name);
    return [name, inner === undefined ? member : replace(inner, member, change)];
  });
  return Object.fromEntries(copy);
}
