// Reads an app event in every shape that LinkMe's SDKs have sent: `type` or `event`, `detail` as text or `props` as an
// object. Pure; called by app-events.ts.
import { z } from "zod";
import { APP_EVENT_TYPE_MAX_CHARS } from "#contract/app-events.ts";
import type { ClaimType } from "#contract/events.ts";
import { UserIds } from "#contract/users.ts";

const ID_MAX_CHARS = 200;
const DETAIL_MAX_CHARS = 16_000;
const TIME_MAX_CHARS = 40;
const SECONDS = /^\d{1,16}(?:\.\d+)?$/;
const ISO_TIME = z.iso.datetime({ offset: true, local: true });
const HAS_ZONE = /(?:Z|[+-]\d\d:?\d\d)$/;

/** Seconds, also as a text of digits, or an ISO time; one without a zone is UTC. Empty: nothing. */
const ClientTime = z.custom<number | string | null>(isTime, { error: "seconds since 1970, or an ISO time" });

/** Unknown members are ignored, as LinkMe's SDKs expect. */
export const AppEventBody = z.object({
  type: z.string().max(APP_EVENT_TYPE_MAX_CHARS).nullish(),
  event: z.string().max(APP_EVENT_TYPE_MAX_CHARS).nullish(),
  platform: z.string().max(ID_MAX_CHARS).nullish(),
  timestamp: ClientTime.optional(),
  cid: z.string().max(ID_MAX_CHARS).nullish(),
  linkId: z.string().max(ID_MAX_CHARS).nullish(),
  bundleId: z.string().max(ID_MAX_CHARS).nullish(),
  ...UserIds,
  detail: z.union([z.string().max(DETAIL_MAX_CHARS), z.record(z.string(), z.unknown())]).nullish(),
  props: z.unknown().optional(),
  device: z.unknown().optional(),
});
export type AppEventBody = z.output<typeof AppEventBody>;

/** The name of the event; null when there is none. */
export function typeOf(body: AppEventBody): string | null {
  return body.type || body.event || null;
}

/** The properties as JSON text, as newer SDKs send them; undefined when there are none, or they are too long to keep. */
export function detailOf({ detail, props }: AppEventBody): string | undefined {
  const given = detail ?? props;
  if (given === undefined || given === null || given === "") return undefined;
  const text = typeof given === "string" ? given : JSON.stringify(given);
  return text.length <= DETAIL_MAX_CHARS ? text : undefined;
}

/** The client's clock in whole seconds; undefined for what cannot be one. */
export function timestampOf({ timestamp }: AppEventBody): number | undefined {
  const seconds = Math.trunc(typeof timestamp === "string" ? secondsOf(timestamp) : (timestamp ?? Number.NaN));
  return Number.isSafeInteger(seconds) ? seconds : undefined;
}

function isTime(value: unknown): boolean {
  if (typeof value !== "string") return value === null || Number.isFinite(value);
  if (value === "") return true;
  return value.length <= TIME_MAX_CHARS && (SECONDS.test(value) || ISO_TIME.safeParse(value).success);
}

function secondsOf(text: string): number {
  if (SECONDS.test(text)) return Number(text);
  return Date.parse(HAS_ZONE.test(text) ? text : `${text}Z`) / 1_000;
}

/** How a claim came about that an SDK reports as done; null where it does not say, or says what the server knows better. */
export function claimTypeOf(body: AppEventBody): ClaimType | null {
  const said = readObject(body.detail) ?? readObject(body.props);
  const claim_type = said?.["claim_type"];
  return claim_type === "install_referrer" || claim_type === "pasteboard" ? claim_type : null;
}

function readObject(value: unknown): Record<string, unknown> | null {
  const read = typeof value === "string" ? parse(value) : value;
  // An object that is not null has string keys.
  return typeof read === "object" && read !== null ? (read as Record<string, unknown>) : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // SDKs send plain text too: it says nothing of a claim.
    return null;
  }
}
