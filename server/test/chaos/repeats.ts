// Explains, one by one, the requests that were sent again although the one before was accepted: each must be the doing of a
// mishap that kept the answer from being recorded. How many a mishap may explain is what it can have cut off, and for those
// that the product promises to live through without any it is none. Called by chaos.ts when everything has come to rest.
import { assertNone, type Ledger, type Sent } from "../support/ledger.ts";

/** What befell the server, in the time of the receiver. */
export interface Span {
  mishap: string;
  began_at: number;
  recovered_at: number;
  /** Requests that may be sent again because of it, at the most. */
  repeats_max: number;
}

/** So long an answer may wait until it is recorded, on a busy machine: what a mishap cuts off came no earlier before it. */
const RECORDED_WITHIN_MS = 2_000;

/**
 * Answers the number of repeated requests for each span. Throws when one of them belongs to none, or more to one than it can
 * have cut off.
 * @param isAccepted what the receiver answered
 */
export function explainRepeats(
  ledger: Ledger,
  spans: readonly Span[],
  isAccepted: (sent: Sent) => boolean,
): { span: Span; count: number }[] {
  const counts = new Map(spans.map((span) => [span, 0]));
  const unexplained: string[] = [];
  for (const [id, sent] of ledger.by_delivery) {
    const numbers = sent.map(({ attempt }) => attempt);
    if (new Set(numbers).size < numbers.length) unexplained.push(`${id}: sent twice under one number, ${numbers}`);
    const first = sent.findIndex(isAccepted);
    const repeats = first === -1 ? 0 : sent.length - first - 1;
    if (repeats === 0) continue;
    const at = sent[first]?.at.getTime() ?? Number.NaN;
    const span = explain(spans, at);
    if (span === undefined)
      unexplained.push(`${id}: accepted at ${at}, sent again ${repeats} times; ${JSON.stringify(spans)}`);
    else counts.set(span, (counts.get(span) ?? 0) + repeats);
  }
  assertNone(unexplained, "sent again without a mishap");
  const too_many = [...counts].filter(([{ repeats_max }, count]) => count > repeats_max);
  assertNone(
    too_many.map(([{ mishap, repeats_max }, count]) => `${mishap}: ${count} sent again, ${repeats_max} can be`),
    "mishaps that had more sent again than they can have cut off",
  );
  return [...counts].map(([span, count]) => ({ span, count }));
}

/** Mishaps may follow each other so closely that either may be it: then the one that can cut off most. */
function explain(spans: readonly Span[], accepted_at: number): Span | undefined {
  return spans
    .filter(({ began_at, recovered_at }) => began_at - RECORDED_WITHIN_MS <= accepted_at && accepted_at <= recovered_at)
    .sort((a, b) => b.repeats_max - a.repeats_max)[0];
}
