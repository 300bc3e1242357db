// A configured destination: its row as stored, and the same made ready for the hot path, unsealed and prepared once.
// Called by the registry, which keeps prepared destinations, and by the management functions. Pure but for the sealer.
import type { DestinationState, Ordering, RetryOn } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type {
  BuiltRequest,
  Exchange,
  Finding,
  Outcome,
  Outgoing,
  ShownRequest,
  SigningSecrets,
  Unsent,
} from "#destination-types/definition.ts";
import { webhook } from "#destination-types/webhook.ts";
import { SEALED_DAMAGED, SEALED_WITH_ANOTHER, SealError, type Sealed, type Sealer } from "../platform/sealing.ts";
import { type CompiledFilter, compileFilter, readFilter } from "./filter.ts";
import type { Hide } from "./hiding.ts";
import { openMaterial } from "./key-pairs.ts";
import { findType, NO_SECRETS } from "./types.ts";

/** `leaving`: it was `link`, and deliveries of that time still wait for each other until all are let go. */
export type StoredOrdering = Ordering | "leaving";

/** While it is off or disabled nothing is stored for it. */
export function isStopped({ state }: { state: string }): boolean {
  return state === "off" || state === "disabled";
}

/** A row of the table `destinations`. Structures are JSON text; secrets inside them are sealed. */
export interface DestinationRow {
  id: string;
  app_id: string;
  type: string;
  config: string;
  secrets: string;
  events: string;
  description: string;
  enabled: number;
  state: DestinationState;
  state_reason: string | null;
  state_changed_at: number;
  retry_schedule: string;
  timeout_ms: number;
  max_in_flight: number;
  rate_per_second: number | null;
  retry_on: RetryOn;
  /** JSON text; null takes every event of its types. */
  filter: string | null;
  /** When it was stopped, off or disabled, the first time of which something may be missing. */
  stopped_at: number | null;
  /** When it was turned on the last time; null while it is stopped. */
  restarted_at: number | null;
  ordering: StoredOrdering;
  created_at: number;
  updated_at: number;
  /** What is published of its key pairs, as JSON; null unless it signs with Ed25519. */
  public_keys: string | null;
  /** Raised when a person changes what attempts depend on, or enables it: what an attempt of an earlier one met is past. */
  era: number;
}

/** The column `secrets`: what signs, what is staged to sign next, and what was replaced but still signs for a while. */
export interface SealedSecrets {
  current: Sealed;
  next?: Sealed;
  /** What the last promotion replaced, and can be undone to. */
  previous?: SealedReplaced;
  /** What promotions before it replaced, the last one first. */
  older?: readonly SealedReplaced[];
}

/** `valid_until` in ms since 1970. */
export interface SealedReplaced {
  secret: Sealed;
  valid_until: number;
}

/** Never changes: a change of the stored one makes another. */
export interface Destination {
  readonly id: string;
  readonly app_id: string;
  readonly type: string;
  readonly events: ReadonlySet<EventType>;
  readonly state: DestinationState;
  readonly state_reason: string | null;
  readonly created_at: number;
  /** That of its row: which attempts are made with it. */
  readonly era: number;
  /** Seconds between attempts; empty means one attempt. */
  readonly retry_schedule: readonly number[];
  readonly timeout_ms: number;
  readonly max_in_flight: number;
  readonly rate_per_second: number | null;
  readonly retry_on: RetryOn;
  /** Null takes every event of its types. */
  readonly filter: CompiledFilter | null;
  readonly ordering: StoredOrdering;
  /** Why it cannot send although it is stored, for the engineer on call; null as a rule. Then `build` throws. */
  readonly misconfigured: string | null;
  /** What to do about that, as a sentence; null where `misconfigured` says all. */
  readonly repair: string | null;
  /** An address of the one host that all its requests go to; empty where it is misconfigured. */
  readonly target: string;
  build(delivery: Outgoing): BuiltRequest | Unsent;
  /** Says nothing of the secrets of the settings. */
  judge(exchange: Exchange): Outcome;
  /** A built request as an answer may show it. */
  show(request: BuiltRequest): ShownRequest;
  /** What is to be said of an event before it is sent. */
  inspect(delivery: Outgoing): Finding[];
  /** A receiver's words without the secrets of the settings, which it may echo. */
  hide: Hide;
}

export interface Preparing {
  sealer: Sealer;
  /** The product's version, for the user agent. */
  version: string;
}

type Sending = Pick<
  Destination,
  "misconfigured" | "repair" | "target" | "build" | "judge" | "show" | "inspect" | "hide"
>;

/** Never throws: a destination that cannot be read is `misconfigured`, and the others of its app go on. */
export function prepareDestination(row: DestinationRow, preparing: Preparing): Destination {
  return {
    id: row.id,
    app_id: row.app_id,
    type: row.type,
    // These texts are written by the functions of this module only, after validation.
    events: new Set(JSON.parse(row.events) as EventType[]),
    state: row.state,
    state_reason: row.state_reason,
    created_at: row.created_at,
    era: row.era,
    retry_schedule: JSON.parse(row.retry_schedule) as number[],
    timeout_ms: row.timeout_ms,
    max_in_flight: row.max_in_flight,
    rate_per_second: row.rate_per_second,
    retry_on: row.retry_on,
    ordering: row.ordering,
    ...prepareFiltered(row, preparing),
  };
}

/** With a filter that cannot be read it sends nothing and takes everything: what waits is sent when it is set again. */
function prepareFiltered(row: DestinationRow, preparing: Preparing): Sending & Pick<Destination, "filter"> {
  if (row.filter === null) return { filter: null, ...prepareSending(row, preparing) };
  const filter = readFilter(row.filter);
  if (filter === null) {
    const reason = `${OF_FILTER}: set it again`;
    return { filter: null, ...misconfigured(reason) };
  }
  return { filter: compileFilter(filter), ...prepareSending(row, preparing) };
}

function prepareSending(row: DestinationRow, { sealer, version }: Preparing): Sending {
  const entry = findType(row.type);
  if (entry === undefined) return misconfigured(`${OF_TYPE} ${row.type}: upgrade it, or delete this one`);
  try {
    // Written by secrets.ts alone; only webhooks sign.
    const secrets =
      row.type === webhook.type ? openSecrets(JSON.parse(row.secrets) as SealedSecrets, sealer) : NO_SECRETS;
    const parts = { version, secrets, app_id: row.app_id, sealer };
    const { target, build, judge, show, inspect, hide } = entry.prepare(JSON.parse(row.config), parts);
    const rules = { retry_on: row.retry_on };
    const is_webhook = row.type === webhook.type;
    // What vendors answer is quoted, and a quotation that is cut may end within a secret. Of a webhook's answer nothing is.
    const hidden = (exchange: Exchange): Exchange =>
      is_webhook || exchange.kind === "failure" ? exchange : { ...exchange, snippet: hide(exchange.snippet, true) };
    const judgeHidden = (exchange: Exchange) => hideIn(judge(hidden(exchange), rules), hide);
    return { misconfigured: null, repair: null, target, build, judge: judgeHidden, show, inspect, hide };
  } catch (error) {
    // One unreadable row must not stop the app's other destinations; the reason is shown wherever this one is.
    if (error instanceof SealError) return sealedAway(row, error, sealer);
    return misconfigured(`${OF_SETTINGS}: set them again`);
  }
}

/** What it says of the answer is stored, logged and sent on in many places: none of them holds a secret. */
export function hideIn(outcome: Outcome, hide: Hide): Outcome {
  if (!("message" in outcome)) return outcome;
  const hidden = { ...outcome, message: hide(outcome.message) };
  if ("disable" in hidden && hidden.disable !== undefined) hidden.disable = hide(hidden.disable);
  return hidden;
}

const OF_SETTINGS = "Its stored settings cannot be read by this version of the server";
const OF_FILTER = "Its stored filter cannot be read by this version of the server";
const OF_TYPE = "This version of the server knows no webhooks of type";

/** Whether a text is one that `misconfigured` had at some time. */
export function isUnreadableText(text: string): boolean {
  return [SEALED_WITH_ANOTHER, SEALED_DAMAGED, OF_SETTINGS, OF_FILTER, OF_TYPE].some((start) => text.startsWith(start));
}

/** Nothing but the key brings back what was sealed; without it there are new secrets. */
function sealedAway(row: DestinationRow, error: SealError, sealer: Sealer): Sending {
  if (row.type !== webhook.type) {
    const again = `send its secrets again, within \`config\`, with PATCH /api/destinations/${row.id}`;
    const lost = error.is_other_key ? "; if that key is lost, " : ": ";
    return misconfigured(`${error.message}${lost}${again}`);
  }
  const makes = `POST /api/webhooks/${row.id}/secret/revoke makes a new secret`;
  const send = `send the values of its headers again with PATCH /api/webhooks/${row.id}`;
  const cure = canOpenSecrets(row, sealer) ? send : makes;
  const message = error.is_other_key ? `${error.message}; if that key is lost, ${cure}` : `${error.message}: ${cure}`;
  const first = error.is_other_key ? "Give the server back the seal key that it had before. If that key is lost: " : "";
  const taught = "which its receiver has to learn; then send the values of its headers again, if it has any";
  return misconfigured(message, `${first}${cure === makes ? `${makes}, ${taught}` : send}.`);
}

function canOpenSecrets(row: DestinationRow, sealer: Sealer): boolean {
  try {
    // Written by secrets.ts alone.
    openSecrets(JSON.parse(row.secrets) as SealedSecrets, sealer);
    return true;
  } catch {
    // Why not is told by the error that led here.
    return false;
  }
}

export function openSecrets({ current, next, previous, older = [] }: SealedSecrets, sealer: Sealer): SigningSecrets {
  const signs = openMaterial(current, sealer);
  const secrets: SigningSecrets = { current: signs.secret };
  const private_keys: NonNullable<SigningSecrets["private_keys"]> = {};
  if (signs.private_key !== undefined) private_keys.current = signs.private_key;
  if (next !== undefined) {
    const { secret, private_key } = openMaterial(next, sealer);
    secrets.next = secret;
    if (private_key !== undefined) private_keys.next = private_key;
  }
  const replaced = [previous ?? [], older].flat();
  if (replaced.length > 0) {
    secrets.replaced = replaced.map(({ secret, valid_until }) => ({ ...openMaterial(secret, sealer), valid_until }));
  }
  return { ...secrets, private_keys };
}

function misconfigured(reason: string, repair: string | null = null): Sending {
  return {
    misconfigured: reason,
    repair,
    target: "",
    build: () => {
      throw new Error(`a misconfigured destination sends nothing: ${reason}`);
    },
    judge: () => ({ kind: "misconfigured", retriable: true, message: reason }),
    show: ({ method, url }) => ({ method, url, headers: {}, body: "" }),
    inspect: () => [],
    hide: (text) => text,
  };
}
