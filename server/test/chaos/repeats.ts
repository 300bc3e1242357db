// Explains, one by one, the requests that were sent again although the one before was accepted: the answer to that one must be
// on record nowhere, because the process that had got it was ended before it could write it down. How many the end of a process
// may explain is what it can have cut off; whatever else befalls a server explains none. Called by chaos.ts when everything
// has come to rest.
import { assertNone, type Ledger, type Sent } from "../support/ledger.ts";

/** What befell the server, in the time of the receiver. */
export interface Span {
  mishap: string;
  began_at: number;
  recovered_at: number;
  /** When the process that ran was gone; null: it was not ended. Until it is recovered from the next one has begun to send. */
  ended_at: number | null;
  /** Requests that may be sent again because of it, at the most. */
  repeats_max: number;
}

export interface Facts {
  /** What the receiver answered. */
  isAccepted(sent: Sent): boolean;
  /** The server has it in its history. */
  isRecorded(sent: Sent): boolean;
}

/**
 * An answer that is not written down within so long has been forgotten, whatever happens to the process afterwards. Generous, for
 * a busy machine; time in which something befell the server is left out.
 */
const RECORDED_WITHIN_MS = 10_000;

/**
 * Answers the number of repeated requests for each span. Throws when one of them belongs to none, or more to one than it can
 * have cut off.
 */
export function explainRepeats<Of extends Span>(
  ledger: Ledger,
  spans: readonly Of[],
  { isAccepted, isRecorded }: Facts,
): { span: Of; count: number }[] {
  const counts = new Map(spans.map((span) => [span, 0]));
  const unexplained: string[] = [];
  for (const [id, sent] of ledger.by_delivery) {
    const numbers = sent.map(({ attempt }) => attempt);
    if (new Set(numbers).size < numbers.length) unexplained.push(`${id}: sent twice under one number, ${numbers}`);
    for (const [index, before] of sent.slice(0, -1).entries()) {
      const again = sent[index + 1];
      if (again === undefined || !isAccepted(before)) continue;
      const cause = isRecorded(before) ? "its acceptance is on record" : explain(spans, before, again);
      if (typeof cause === "string") unexplained.push(`${id}: ${tell(before)}, again ${tell(again)}; ${cause}`);
      else counts.set(cause, (counts.get(cause) ?? 0) + 1);
    }
  }
  assertNone(unexplained, "sent again without a mishap");
  const too_many = [...counts].filter(([{ repeats_max }, count]) => count > repeats_max);
  assertNone(
    too_many.map(([{ mishap, repeats_max }, count]) => `${mishap}: ${count} sent again, ${repeats_max} can be`),
    "mishaps that had more sent again than they can have cut off",
  );
  return [...counts].map(([span, count]) => ({ span, count }));
}

/** The end of the process that had sent it; in words, why there is none. */
function explain<Of extends Span>(spans: readonly Of[], before: Sent, again: Sent): Of | string {
  const accepted_at = before.at.getTime();
  const [first, second] = spans.filter((one) => one.ended_at !== null && one.recovered_at >= accepted_at);
  const is_of_next = (first?.ended_at ?? accepted_at) < accepted_at;
  const [end] = [...(is_of_next ? [second] : []), first]
    .filter((one) => one !== undefined && one.began_at <= again.at.getTime())
    // What reached the receiver just before the end may be read after it: then the one that can cut off most.
    .sort((a, b) => (b?.repeats_max ?? 0) - (a?.repeats_max ?? 0));
  if (end === undefined) return "no process had ended in between";
  let waited_ms = end.began_at - accepted_at;
  for (const { began_at, recovered_at } of spans.filter((one) => one.began_at < end.began_at)) {
    waited_ms -= Math.max(0, Math.min(recovered_at, end.began_at) - Math.max(began_at, accepted_at));
  }
  if (waited_ms > RECORDED_WITHIN_MS) return `it was not written down in ${waited_ms} ms before "${end.mishap}"`;
  return end;
}

function tell({ attempt, at }: Sent): string {
  return `attempt ${attempt} at ${at.toISOString()}`;
}
