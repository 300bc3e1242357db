// Watches whether clicks leave the spool. One whose oldest entry stays for minutes is not drained; one that refuses entries
// loses clicks. Made by compose-edge.ts; looked at once a minute.
import type { Reading } from "../notices/conditions.ts";
import type { Spool } from "../platform/spool.ts";
import { timeText } from "../platform/time-text.ts";

/** Longer than what the database may be asked anew for, and longer than a restart of it. */
export const STUCK_MS = 300_000;

export interface DrainWatchOptions {
  spool: Pick<Spool, "read" | "count">;
  node: string;
  now(): number;
}

export function createDrainWatch({ spool, node, now }: DrainWatchOptions) {
  let oldest: number | null = null;
  let since = 0;
  let lost = 0;

  /** The spool refused so many clicks. */
  function noteLost(clicks: number): void {
    lost += clicks;
  }

  async function look(): Promise<Reading> {
    const at = now();
    const lost_now = lost;
    lost = 0;
    // A spool that cannot be read is one that cannot be drained: its oldest entry stays what it was.
    const [first] = spool.count() === 0 ? [] : await spool.read(0, 1).catch(() => [{ seq: oldest ?? 0 }]);
    const seq = first?.seq ?? null;
    if (seq !== oldest) {
      oldest = seq;
      since = at;
    }
    if (lost_now > 0) return { state: "holds", begin: noticeOfLoss(lost_now) };
    if (seq === null) return ended();
    if (at - since >= STUCK_MS) return { state: "holds", begin: noticeOfStuck() };
    // Its oldest entry is new: it moves.
    return since === at ? ended() : { state: "between" };
  }

  function noticeOfStuck() {
    const clicks = spool.count();
    const what = `${clicks} clicks wait in the spool at ${node} and cannot be stored in the database since ${timeText(since)}`;
    const next =
      "They are safe on that disk: keep it. Look at the database, and at click.failed and spool.failed in the log";
    const data = { node, clicks, since: timeText(since) };
    return { type: "drain.failing" as const, message: `${what}. ${next}.`, data };
  }

  function noticeOfLoss(clicks: number) {
    const what = `The spool at ${node} takes no clicks: ${clicks} of them were redirected without a token in the last minute`;
    const next = "Look at the disk of its data directory, and at the database";
    return { type: "drain.failing" as const, message: `${what}. ${next}.`, data: { node, clicks_lost: clicks } };
  }

  function ended(): Reading {
    const message = `Clicks leave the spool at ${node} again, or it is empty.`;
    const data = { node, clicks: spool.count() };
    return {
      state: "gone",
      end: (told_at) => ({ type: "drain.recovered", message, data: { ...data, told_at: timeText(told_at) } }),
    };
  }

  return { look, noteLost };
}
