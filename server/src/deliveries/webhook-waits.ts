// What keeps the deliveries of a webhook from going out, as sentences with the call, where it is not its receiver: nobody
// takes what is due, or events wait for one of their link that is tried again and again, whatever for. Pure; called by
// present-webhooks.ts, and by fate.ts for a single one.
import { timeText } from "../platform/time-text.ts";
import { deliveryId } from "./delivery.ts";
import { behindReason, type Holds, holdReason, STEP_WHEN_BEHIND } from "./limit-text.ts";

/** So long events of a link wait for an earlier one that is tried again, before that is told: it may go at its next attempt. */
export const STUCK_MS = 60_000;

/** An ordered webhook where events wait for an earlier one of their link that is tried again. */
export interface Stuck {
  destination_id: string;
  /** Of the delivery that others have waited for the longest. */
  position: string;
  /** When it is tried next, in ms since 1970; null: it is being tried. */
  next_at: number | null;
  links: number;
  /** False: there may be more. */
  is_exact: boolean;
}

/**
 * Null where what keeps it is what was learned of the receiver, which its health says.
 * @param since when the first of them was due, in ms since 1970
 * @param holds null: no process tells this one anything
 */
export function stepWhenOverdue(since: number, holds: Holds | null): string | null {
  const due = `Deliveries are due since ${timeText(since)}`;
  if (holds === null) {
    return `${due}, and nothing has taken them. ${lookForDispatcher("them")}`;
  }
  const { own = null, nobody = null } = holds;
  if (nobody !== null) return `${due}. ${nobody.reason} ${nobody.step}`;
  if (holdReason(holds) === null) {
    return `${due}, ${behindReason("them")}. ${STEP_WHEN_BEHIND}`;
  }
  return own === null ? null : `${due}. ${own.reason} ${own.step}`;
}

/** Of what is due for long where no process tells this one anything. */
export function lookForDispatcher(what: "it" | "them"): string {
  return `See that a process with the role dispatcher runs (LINKME_ROLE): only those send. While one does, a backlog or a limit of the webhook keeps ${what}.`;
}

/** Of one that is paused, where no dispatcher is known. @param probe_at when it should have been tried */
export function stepWhenUntried(probe_at: number, { reason, step }: NonNullable<Holds["nobody"]>): string {
  return `It should have been tried at ${timeText(probe_at)}, and nothing has done so. ${reason} ${step}`;
}

/** The receiver may be well but for this one, which alone of its link is tried while the webhook is paused. */
export function stepWhilePaused({ links, is_exact, ...first }: Stuck): string {
  const id = deliveryId(first);
  const of = is_exact ? `${links} links` : "some links";
  const who =
    is_exact && links === 1
      ? `Events of a link wait for an earlier one of it, ${id}, which could not be delivered yet.`
      : `Events of ${of} wait for an earlier one of their link that could not be delivered yet. The first of these is ${id}.`;
  return `${who} If the receiver takes others, POST /api/deliveries/${id}/cancel gives it up, and the next one of its link is tried instead, the next time.`;
}

/** @param nobody no dispatcher is known, so that no call lets those behind it go on; null: one is, or nobody can tell */
export function stepWhenStuck({ links, is_exact, next_at, ...first }: Stuck, nobody: Holds["nobody"] = null): string {
  const id = deliveryId(first);
  const call = `/api/deliveries/${id}`;
  const being = `${nobody === null ? "is" : "was"} being tried again`;
  const tried = next_at === null ? being : `is tried again at ${timeText(next_at)}`;
  const what = "wait for an earlier one of their link that could not be delivered yet and is tried again";
  const of = is_exact ? `${links} links` : "some links";
  const who =
    is_exact && links === 1
      ? `Events of a link wait for an earlier one of it, ${id}, which could not be delivered yet and ${tried}.`
      : `Events of ${of} ${what}. The first of these is ${id}, which ${tried}.`;
  if (nobody !== null) return `${who} ${nobody.reason} ${nobody.step}`;
  return `${who} GET ${call} says what to do. POST ${call}/retry tries it at once, and POST ${call}/cancel gives it up, so that those behind it go on.`;
}
