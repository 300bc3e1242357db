// Watches whether the database answers and takes writes. What a database that is away means cannot be agreed on through
// it, so each process tells it for itself, from memory, and tells its end through the database that is back.

import type { Clock } from "../platform/clock.ts";
import type { Statement } from "../platform/sql.ts";
import { timeText } from "../platform/time-text.ts";
import type { NewNotice } from "./notice.ts";
import type { Outbox } from "./outbox.ts";
import { probeWrite } from "./store.ts";

/** Shorter outages, such as a fail-over, are no notice. Its end is believed after as long. */
export const SUSTAINED_MS = 30_000;

export interface DatabaseLookOptions {
  node: string;
  writes: {
    /** True when the last transaction failed for want of the database, and none was taken since. */
    hasFailed(): boolean;
    batch(statements: readonly Statement[]): Promise<unknown>;
  };
  /** Whether it answers a question. */
  isAnswering(): Promise<boolean>;
  outbox: Pick<Outbox, "post" | "sendDirectly" | "flush">;
  clock: Pick<Clock, "now">;
}

export function createDatabaseLook({ node, writes, isAnswering, outbox, clock }: DatabaseLookOptions) {
  let failing_since: number | null = null;
  let well_since: number | null = null;
  let is_told = false;

  async function isWell(): Promise<boolean> {
    if (!(await isAnswering())) return false;
    if (!writes.hasFailed()) return true;
    // Nobody may be writing at the moment: one write tells.
    return writes.batch([probeWrite(node, clock.now())]).then(
      () => true,
      // Why is in the log, from the watch of the writes.
      () => false,
    );
  }

  return async (): Promise<void> => {
    const is_well = await isWell();
    const now = clock.now();
    if (!is_well) {
      well_since = null;
      failing_since ??= now;
      if (is_told || now - failing_since < SUSTAINED_MS) return;
      is_told = true;
      outbox.sendDirectly(noticeOfFailure(node, failing_since));
      return;
    }
    well_since ??= now;
    // What others hold in memory, too: a shorter outage that nobody is told of keeps notices from the database as well.
    await outbox.flush();
    if (!is_told) failing_since = null;
    else if (now - well_since >= SUSTAINED_MS) {
      await outbox.post(noticeOfRecovery(node, failing_since ?? now, well_since));
      is_told = false;
      failing_since = null;
    }
  };
}

function noticeOfFailure(node: string, since: number): NewNotice {
  const what = `The database has answered nothing, or taken no writes, since ${timeText(since)}, as seen from ${node}`;
  const next = "Clicks go to the spool and everybody else is told to come back. Look at the database and its disk";
  return { type: "database.failing", message: `${what}. ${next}.`, data: { node, since: timeText(since) } };
}

function noticeOfRecovery(node: string, since: number, until: number): NewNotice {
  const data = { node, since: timeText(since), until: timeText(until) };
  const message = `The database takes writes again, as seen from ${node}. It was away from ${data.since} to ${data.until}.`;
  return { type: "database.recovered", message, data };
}
