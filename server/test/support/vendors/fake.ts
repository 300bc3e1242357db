// What the stand-ins for vendors have in common: a real HTTP server on a loopback port, a queue of faults, and a ledger in which
// every event that came is stored, rejected with a reason, or dropped with a reason. Nothing is silent here, whatever the vendor is.
import assert from "node:assert/strict";
import { type Answer, type ReceivedRequest, type Receiver, startReceiver } from "../receiver.ts";

/** What becomes of one event. `id` is what the vendor recognises it by; empty where it could not be read. */
export type Verdict =
  | { id: string; fate: "stored"; event: Members }
  | { id: string; fate: "rejected" | "dropped"; reason: string };

export type Members = Readonly<Record<string, unknown>>;

/** Of one request: a verdict for each of its events, and the answer. */
export interface Taken {
  verdicts: readonly Verdict[];
  reply: Answer;
}

/**
 * `throttle` answers 429 and takes nothing, `fail` 503; `lose_answer` takes what came and hangs up, so that nobody knows, and
 * `hang` takes it and says nothing. Each is for one request.
 */
export type Fault = "throttle" | "fail" | "lose_answer" | "hang";

export interface FakeVendor {
  /** What the destination's setting `host` is to be. */
  url: string;
  requests: Receiver["received"];
  received(): number;
  stored(): Members[];
  rejected(): string[];
  dropped(): string[];
  /** For the next requests, in this order. */
  fail(...faults: Fault[]): void;
  /** Every event that came has one fate. */
  assertAddsUp(): void;
  close(): Promise<void>;
}

export const RETRY_AFTER_SECONDS = 7;

/** @param take the vendor's rules: pure but for what it remembers of events that it has stored */
export async function startFake(take: (request: ReceivedRequest) => Taken): Promise<FakeVendor> {
  const verdicts: Verdict[] = [];
  const faults: Fault[] = [];
  let received = 0;
  const receiver = await startReceiver((request) => {
    const fault = faults.shift();
    const count = Math.max(countEvents(request), 1);
    const taken = fault === "throttle" || fault === "fail" ? refuse(fault, count) : take(request);
    received += count;
    verdicts.push(...taken.verdicts);
    if (fault === "hang") return "hang";
    return fault === "lose_answer" ? "reset" : taken.reply;
  });
  const reasons = (fate: "rejected" | "dropped") => verdicts.flatMap((one) => (one.fate === fate ? [one.reason] : []));
  return {
    url: receiver.url,
    requests: receiver.received,
    received: () => received,
    stored: () => verdicts.flatMap((one) => (one.fate === "stored" ? [one.event] : [])),
    rejected: () => reasons("rejected"),
    dropped: () => reasons("dropped"),
    fail: (...next) => faults.push(...next),
    assertAddsUp: () => assert.equal(verdicts.length, received, "every event that came has one fate"),
    close: receiver.close,
  };
}

function refuse(fault: "throttle" | "fail", count: number): Taken {
  const [status, reason] = fault === "throttle" ? [429, "throttled"] : [503, "not available"];
  const headers = { "retry-after": String(RETRY_AFTER_SECONDS) };
  return {
    verdicts: Array.from({ length: count }, () => ({ id: "", fate: "rejected", reason })),
    reply: { status, headers, body: `{"error":"${reason}"}` },
  };
}

/** Counted apart from the verdicts, so that one that is forgotten is missed. */
function countEvents({ body }: ReceivedRequest): number {
  const value = readJson(body);
  const list = Array.isArray(value) ? value : isMembers(value) ? (value["batch"] ?? value["events"]) : undefined;
  return Array.isArray(list) ? list.length : 1;
}

/** Undefined where it is no JSON. */
export function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    // That is for the vendor's rules to answer.
    return undefined;
  }
}

export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** All of a request's events meet the same end. */
export function rejectAll(events: readonly unknown[], reason: string): Verdict[] {
  return (events.length === 0 ? [undefined] : events).map(() => ({ id: "", fate: "rejected", reason }));
}

export function json(status: number, value: unknown, headers: Record<string, string> = {}): Answer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}

export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
