// When a delivery is due, who has it under way, and why what is due has not gone out yet, in sentences. Pure; called by
// delivery.ts, and by what tells the fate of an event.
import { timeText } from "../platform/time-text.ts";
import type { DeliveryRow } from "./delivery.ts";
import { behindReason, type Holds, holdReason, limitReason } from "./limit-text.ts";
import { waitsForTurn } from "./turn.ts";

/** Due before everything else, whatever the backlog: what a person asked for now. */
export const DUE_FIRST = 0;

/** Under a lease that has not run out; one that has is due for whoever claims it. */
export function isUnderWay(row: Pick<DeliveryRow, "state" | "leased" | "due_at">, now: number): boolean {
  return row.state === "pending" && row.leased === 1 && row.due_at !== null && row.due_at > now;
}

/** A dispatcher claims ahead of what it sends, and only its memory knows which of it has begun. */
export const UNDER_WAY =
  "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow.";

/** The same where the webhook takes one at a time: others tell that it is under way, and not which one it is. */
const UNDER_WAY_SINGLE =
  "With a dispatcher: it is the one request that the webhook may have at a time (max_in_flight), or waits for that one.";

/** What is due for longer has not been taken by the poll that finds it at the latest. */
const TAKEN_MS = 2_000;
const LATE =
  "A dispatcher takes it within a second as a rule, when one has died without a word some seconds later, and when many wait in its turn.";
/** What is due for so long is more than a process that is busy: something keeps it. */
export const OVERDUE_MS = 60_000;

/** An attempt for which the time came, and nobody has come. */
export function isOverdue(row: DeliveryRow, now: number): boolean {
  // When a person asked for it, its time says only that it goes first.
  if (row.state !== "pending" || row.due_at === null || row.due_at === DUE_FIRST || waitsForTurn(row)) return false;
  return now - dueSince(row) > OVERDUE_MS;
}

/** Why what is due has not gone out yet; null while its time is to come. */
export function dueReason(row: DeliveryRow, limits: Holds | null, now: number): string | null {
  if (row.state !== "pending" || row.due_at === null || waitsForTurn(row)) return null;
  // What a person asked for waits for nothing that was learned.
  if (row.due_at === DUE_FIRST) return join("An attempt is due now.", limits?.own?.reason ?? null);
  if (dueSince(row) >= now) return null;
  const since = `It is due since ${timeText(dueSince(row))}`;
  if ((limits?.nobody ?? null) !== null) return `${since}.`;
  const limited = holdReason(limits);
  if (limited !== null) return `${since}. ${limited}`;
  if (now - dueSince(row) <= TAKEN_MS) return `${since}.`;
  if (!isOverdue(row, now)) return `${since}. ${LATE}`;
  if (limits !== null) return `${since}, ${behindReason("it")}.`;
  // A limit that nobody has told of may be the reason, or one of the webhook's own.
  return `${since}, and nothing has taken it: no process with the role dispatcher runs, or a backlog or a limit of the webhook keeps it.`;
}

/** Of one that a dispatcher has: only a hold is certain to keep it, unless a person asked for it, and what has no room. */
export function underWayReason(row: DeliveryRow, limits: Holds | null): string {
  if ((limits?.nobody ?? null) !== null && row.due_at !== null) {
    return `A dispatcher took it, and had until ${timeText(row.due_at)} to send it.`;
  }
  const sending = limits?.sending?.(row.position) ?? null;
  if (sending !== null) return sending;
  const is_held = (limits?.held_until ?? null) !== null && !isAsked(row);
  const behind = limits?.behind?.(row.position) ?? null;
  if (behind !== null) return join(is_held ? join(behind, limitReason(limits)) : behind, limits?.own?.rate ?? null);
  // Its time is the end of the lease, which a dispatcher that lives moves on.
  const lease =
    row.due_at === null ? null : `Should that one have ended, another one takes it by ${timeText(row.due_at)}.`;
  const waits = join(limits?.own?.is_single === true ? UNDER_WAY_SINGLE : UNDER_WAY, lease);
  return join(is_held ? join(waits, limitReason(limits)) : waits, limits?.own?.reason ?? null);
}

export function dueSince({ due_at, created_at }: DeliveryRow): number {
  return Math.max(due_at ?? 0, created_at);
}

/** Whether a person asked for this attempt: it waits for no state, no hold and no backlog. */
export function isAsked({ trigger }: Pick<DeliveryRow, "trigger">): boolean {
  return trigger === "manual" || trigger === "test";
}

/** A reason and what comes after it, as sentences. */
export function join(reason: string, more: string | null): string;
export function join(reason: string | null, more: string): string;
export function join(reason: string | null, more: string | null): string {
  if (more === null) return reason ?? "";
  return reason === null ? more : `${reason.endsWith(".") ? reason : `${reason}.`} ${more}`;
}
