// What the operator is told of a change of a destination's state. Pure; called by store.ts inside the transaction of the
// change, so that no such change is ever untold. What a person turns off is told to nobody.
import { WebhookConfig } from "#destination-types/webhook.ts";
import type { NewNotice } from "../notices/notice.ts";
import type { DestinationRow } from "./destination.ts";
import { type Failed, stepForFailed } from "./failed.ts";
import { stepToRecover } from "./missed.ts";
import { inItsWords } from "./words.ts";

/** Why a state changed, as the history has it, and what of its deliveries has failed by then. */
export interface Cause {
  cause: string;
  failed: Failed;
}

export function noticeOfChange(before: DestinationRow, after: DestinationRow, why: Cause): NewNotice | null {
  const notice = composeNotice(before, after, why);
  if (notice === null || after.type === "webhook") return notice;
  return { ...notice, message: inItsWords(notice.message, after.id) };
}

function composeNotice(before: DestinationRow, after: DestinationRow, { cause, failed }: Cause): NewNotice | null {
  if (before.state === after.state) return null;
  const about = { app_id: after.app_id, destination_id: after.id };
  const host = hostOf(after);
  const what = after.type === "webhook" ? "Webhook" : `Destination (${after.type})`;
  const where = `${what} ${after.id} of app ${after.app_id}${host === null ? "" : `, which sends to ${host},`}`;
  const data = { state: after.state, before: before.state, cause, host, description: after.description };
  const step = stepForFailed(after, failed);
  const more = step === null ? "" : ` ${step}`;
  if (after.state === "paused") {
    const message = `${where} is paused. ${cause}. Tell its owner; what is pending waits, and goes on after the first success, each at its time.${more}`;
    return { type: "webhook.paused", message, data, ...about };
  }
  if (after.state === "disabled") {
    const next = "Tell its owner, who enables it when the receiver is well; what it missed can be replayed";
    return { type: "webhook.disabled", message: `${where} is disabled. ${cause}. ${next}.${more}`, data, ...about };
  }
  if (after.state === "active" && (before.state === "paused" || before.state === "disabled")) {
    const missed = before.state === "disabled" ? ` ${stepToRecover(after.id)}` : "";
    const next = `${missed}${more}` || " Nothing is to be done: what is due goes now, the rest at its next attempt.";
    return { type: "webhook.resumed", message: `${where} is active again: ${cause}.${next}`, data, ...about };
  }
  return null;
}

/** The host alone: paths and queries may carry tokens. */
function hostOf({ type, config }: DestinationRow): string | null {
  if (type !== "webhook") return null;
  const stored = WebhookConfig.safeParse(parseJson(config));
  return stored.success ? (URL.parse(stored.data.url)?.host ?? null) : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Such a row is shown as misconfigured elsewhere; its notice does without the host.
    return null;
  }
}
