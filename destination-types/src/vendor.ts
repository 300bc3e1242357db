// What the definitions of vendors have in common: reading the event, keeping to the vendor's limits, hiding secrets, and what an
// HTTP answer means when it is no 2xx. Pure. Used by posthog.ts, segment.ts, amplitude.ts, mixpanel.ts and http.ts.
import { Buffer } from "node:buffer";
import { MASK } from "#contract/destinations.ts";
import {
  type BuiltRequest,
  type Exchange,
  type FailedOutcome,
  type Finding,
  isUnsent,
  type JudgeRules,
  maskHeaders,
  type Outgoing,
  type ShownRequest,
  type Unsent,
} from "./definition.ts";
import { pauseAskedFor } from "./judging.ts";
import { type Audience, whyUnusable } from "./mapping/audience.ts";
import { eventName, type Skipped, type SourceEvent, textOf } from "./mapping/source.ts";

/** The event of a delivery. Its body is an envelope that this server has written (contract/src/events.ts). */
export function readSource({ body }: Pick<Outgoing, "body">): SourceEvent {
  return JSON.parse(body) as SourceEvent;
}

export function unsentAs({ message }: Skipped): Unsent {
  return { kind: "unsent", outcome: { kind: "skipped", message } };
}

export function unsendable(message: string): Unsent {
  return { kind: "unsent", outcome: { kind: "refused", retriable: false, message } };
}

/** The request, unless its body has more bytes than the vendor takes: it would be refused, or dropped without a word. */
export function within(request: BuiltRequest, max_bytes: number, label: string): BuiltRequest | Unsent {
  const bytes = Buffer.byteLength(request.body);
  if (bytes <= max_bytes) return request;
  return unsendable(`It would be ${bytes} bytes for ${label}, which takes at most ${max_bytes}`);
}

/** @param secrets what is hidden wherever it stands, @param header_names of those whose values are hidden as a whole */
export function showMasked(
  { method, url, headers, body }: BuiltRequest,
  secrets: readonly string[],
  header_names: ReadonlySet<string>,
): ShownRequest {
  const forms = secrets.flatMap(formsOf);
  const hide = (text: string) => hideAll(text, forms);
  return { method, url: hide(url), headers: maskHeaders(headers, header_names), body: hide(body) };
}

/** As it is, and as JSON, URLs, forms and JSON within a URL write it. */
function formsOf(secret: string): string[] {
  const in_json = JSON.stringify(secret).slice(1, -1);
  const written = [secret, in_json, encodeURIComponent(secret), encodeURIComponent(in_json)];
  const in_form = new URLSearchParams({ "": secret }).toString().slice(1);
  return [...new Set([...written, in_form])].filter((form) => form !== "");
}

/** Places that overlap are one: somebody's own secret must not cut another one in two. */
function hideAll(text: string, forms: readonly string[]): string {
  const places: [from: number, to: number][] = [];
  for (const form of forms) {
    for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1)) places.push([at, at + form.length]);
  }
  places.sort(([one], [other]) => one - other);
  let shown = "";
  let end = 0;
  for (const [from, to] of places) {
    if (from >= end) shown += `${text.slice(end, from)}${MASK}`;
    end = Math.max(end, to);
  }
  return shown + text.slice(end);
}

/** What a vendor is called, in messages. */
export interface VendorWords {
  readonly label: string;
  /** What it knows this server by, like `project API key`. */
  readonly credentials: string;
  /** What says where it is, like `region or host`. */
  readonly place: string;
  /** What an answer says of the one event that was sent, where the usual members do not; empty: nothing. */
  explain?(answer: Readonly<Record<string, unknown>>): string;
}

const UNAUTHORISED: ReadonlySet<number> = new Set([401, 403]);
const NOWHERE: ReadonlySet<number> = new Set([404, 405, 410]);
const LATER: ReadonlySet<number> = new Set([408, 425, 429]);

export type Response = Extract<Exchange, { kind: "response" }>;

/** The answer itself where it is a 2xx: what that means, each vendor says in its own way. */
export function judgeRefusal(exchange: Exchange, rules: JudgeRules, vendor: VendorWords): FailedOutcome | Response {
  if (exchange.kind === "failure") return { kind: "unreachable", retriable: true, message: exchange.message };
  const { status } = exchange;
  if (status >= 200 && status < 300) return exchange;
  const { label, credentials, place } = vendor;
  const answered = `${label} answered ${status}`;
  const answer = membersOf(exchange.snippet);
  const explained = answer === null ? "" : (vendor.explain?.(answer) ?? "");
  const words = explained === "" ? quoted(exchange) : quoted({ snippet: explained });
  if (UNAUTHORISED.has(status)) {
    return misconfigured(`${answered}: it does not accept the ${credentials}${words}. Set it again`);
  }
  if (NOWHERE.has(status) || (status >= 300 && status < 400)) {
    return misconfigured(`${answered}: it takes no events there${words}. Set the ${place} again`);
  }
  const is_later = LATER.has(status) || (status >= 500 && status < 600);
  const outcome: FailedOutcome = {
    kind: "refused",
    retriable: is_later || rules.retry_on === "any_failure",
    message: `${answered}${is_later ? "" : ": it does not take this event"}${words}`,
  };
  return withPause(outcome, exchange);
}

export function misconfigured(message: string): FailedOutcome {
  return { kind: "misconfigured", retriable: true, pause: true, message };
}

/** With the delay that the answer asks for, if it asks for one. */
export function withPause(outcome: FailedOutcome, exchange: Response): FailedOutcome {
  const delay = pauseAskedFor(exchange, exchange.started_at + exchange.duration_ms);
  return delay === null ? outcome : { ...outcome, retry_after_ms: delay };
}

const WORDS_MAX_CHARS = 300;
/** Where vendors put their sentence. */
const WORD_MEMBERS = ["error_description", "message", "error", "detail"] as const;

/** `, in its words: …`; empty where it said nothing. */
export function quoted({ snippet }: { snippet: string }): string {
  const words = wordsOf(snippet);
  return words === "" ? "" : `, in its words: ${words}`;
}

function wordsOf(snippet: string): string {
  const members = membersOf(snippet);
  const said = WORD_MEMBERS.map((name) => members?.[name]).find((one) => typeof one === "string" && one !== "");
  const text = typeof said === "string" ? said : snippet;
  const line = text.replace(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length > WORDS_MAX_CHARS ? `${line.slice(0, WORDS_MAX_CHARS)}…` : line;
}

/** The members of an answer that is a JSON object; null for any other, one that was cut off included. */
export function membersOf(snippet: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(snippet);
    return isObject(value) ? value : null;
  } catch {
    // What an answer holds is up to who wrote it.
    return null;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Limits on an event that its mapper keeps to, or that make the vendor refuse it. */
export interface EventRules {
  readonly label: string;
  readonly name_max_chars: number;
  readonly id_max_bytes: number;
}

/** What is to be said of an event for any vendor. @param built what the definition makes of it */
export function inspectEvent(
  event: SourceEvent,
  settings: Pick<Audience, "send_user_id">,
  rules: EventRules,
  built: BuiltRequest | Unsent,
): Finding[] {
  const findings: Finding[] = [];
  const { label, name_max_chars, id_max_bytes } = rules;
  if (isUnsent(built) && built.outcome.kind === "refused") {
    const fix = "Send less in the data of the event";
    findings.push({ level: "error", rule: "EVENT_TOO_LARGE", path: "body", message: built.outcome.message, fix });
  }
  const name = eventName(event.event);
  if (name.length > name_max_chars) {
    const message = `The name has ${name.length} characters; ${label} takes ${name_max_chars}`;
    findings.push({ level: "error", rule: "NAME_TOO_LONG", path: "event", message, fix: "Use one of the five types" });
  }
  const user_id = settings.send_user_id ? textOf(event.data, "user_id") : undefined;
  const reason = user_id === undefined ? null : whyUnusable(user_id, id_max_bytes);
  if (reason !== null) {
    const message = `The user id ${reason}; the event goes out without it`;
    const fix = "Give the SDK the app's own id of the user, and none while nobody is logged in";
    findings.push({ level: "warning", rule: "USER_ID_UNUSABLE", path: "data.user_id", message, fix });
  }
  return findings;
}
