// Watches for deliveries that should have been sent long ago: no dispatcher runs, or it cannot keep up. Looked at once a
// minute by every process that dispatches or answers the management API, and told once by all of them together.

import type { Conditions } from "../notices/conditions.ts";
import type { NewNotice } from "../notices/notice.ts";
import type { Condition } from "../notices/store.ts";
import type { Clock } from "../platform/clock.ts";
import { timeText } from "../platform/time-text.ts";
import type { createBacklogStore, Late } from "./backlog-store.ts";

/** So many destinations are told one by one; when more are late, that is one notice. */
export const TOLD_ONE_BY_ONE_MAX = 20;
const KIND = "backlog";
/** Stands for deliveries as a whole. */
const EVERYWHERE: Condition = { kind: KIND, subject: "*" };

export interface BacklogLookOptions {
  store: ReturnType<typeof createBacklogStore>;
  conditions: Pick<Conditions, "report" | "openSubjects">;
  /** How long a delivery that is due may wait. */
  late_ms: number;
  clock: Pick<Clock, "now">;
}

export function createBacklogLook({ store, conditions, late_ms, clock }: BacklogLookOptions) {
  return async (): Promise<void> => {
    const now = clock.now();
    const late = await store.findLate(now, now - late_ms, TOLD_ONE_BY_ONE_MAX + 1);
    if (late.length > TOLD_ONE_BY_ONE_MAX) {
      // Which of them are well again is not known now; those that were told stay told.
      await conditions.report(EVERYWHERE, { state: "holds", begin: noticeOfAll(late, late_ms) });
      return;
    }
    for (const one of late) {
      const condition = { kind: KIND, subject: one.destination_id };
      await conditions.report(condition, { state: "holds", begin: noticeOf(one, late_ms) });
    }
    await endOthers(late);
  };

  async function endOthers(late: readonly Late[]): Promise<void> {
    const open = await conditions.openSubjects(KIND, TOLD_ONE_BY_ONE_MAX * 2);
    const ended = open.filter((subject) => late.every(({ destination_id }) => destination_id !== subject));
    const apps = await store.appsOf(ended.filter((subject) => subject !== EVERYWHERE.subject));
    for (const subject of ended) {
      const app_id = apps.get(subject);
      await conditions.report(
        { kind: KIND, subject },
        { state: "gone", end: (since) => noticeOfEnd(subject, app_id, since) },
      );
    }
  }
}

function noticeOf({ destination_id, app_id, waiting_since }: Late, late_ms: number): NewNotice {
  const since = timeText(waiting_since);
  const what = `Webhook ${destination_id} of app ${app_id} is behind: a delivery is due since ${since}`;
  const next =
    "Look whether a process with the role dispatcher runs and keeps up, and whether the webhook's rate_per_second, max_in_flight or a slow receiver hold it back";
  const data = { waiting_since: since, late_seconds: late_ms / 1_000 };
  return { type: "backlog.old", message: `${what}. ${next}.`, data, app_id, destination_id };
}

function noticeOfAll(late: readonly Late[], late_ms: number): NewNotice {
  const oldest = timeText(Math.min(...late.map(({ waiting_since }) => waiting_since)));
  const what = `More than ${TOLD_ONE_BY_ONE_MAX} webhooks are behind: deliveries have waited for their turn since ${oldest}`;
  const next = "Look whether a process with the role dispatcher runs, and whether the database and the network keep up";
  const data = { waiting_since: oldest, late_seconds: late_ms / 1_000, webhooks_at_least: late.length };
  return { type: "backlog.old", message: `${what}. ${next}.`, data };
}

function noticeOfEnd(subject: string, app_id: string | undefined, since: number): NewNotice {
  const data = { told_at: timeText(since) };
  const end = "sent in time again, or waits by design";
  if (subject === EVERYWHERE.subject) {
    return { type: "backlog.recovered", message: `What webhooks were behind with is ${end}.`, data };
  }
  const message = `What webhook ${subject} was behind with is ${end}.`;
  return { type: "backlog.recovered", message, data, destination_id: subject, ...(app_id !== undefined && { app_id }) };
}
