// How a lane that is far behind divides its claims between those that wait longest and those that came last, so that a backlog
// of any size, of retries or of what waited during a pause, does not keep fresh events waiting until all of it is gone. A
// lane that keeps up takes the oldest first, and nothing here costs it anything. Called by claiming.ts.
import type { ClaimedRow } from "./claim-store.ts";
import type { DeliveryStore } from "./store.ts";

/** A lane is behind when its oldest due delivery has waited for longer than this. */
export const BEHIND_MS = 5_000;

/** Which ends a lane claims from: both while it is behind. `singles` counts claims of one delivery, to alternate them. */
export interface Ends {
  is_behind: boolean;
  singles: number;
}

/** Claims for a lane: what it takes, and when something is due next. */
export async function claimBothEnds(
  store: Pick<DeliveryStore, "claim">,
  lane: { id: string; ends: Ends },
  bounds: Parameters<DeliveryStore["claim"]>[1],
): ReturnType<DeliveryStore["claim"]> {
  const newest = countNewest(lane.ends, bounds.limit);
  const { claimed, next_due_at } = await store.claim(lane.id, { ...bounds, newest });
  noteOldest(lane.ends, next_due_at, bounds.now);
  return { claimed: alternately(claimed, newest), next_due_at };
}

/** How many of a claim come from the newest end. */
export function countNewest(ends: Ends, limit: number): number {
  if (!ends.is_behind) return 0;
  return limit > 1 ? Math.floor(limit / 2) : ends.singles++ % 2;
}

/** What a claim and each poll tell: when the oldest that is left is due. */
export function noteOldest(ends: Ends, next_due_at: number | null, now: number): void {
  ends.is_behind = next_due_at !== null && now - next_due_at > BEHIND_MS;
}

/** Deliveries from both ends alternately, the newest first. Positions tell when they were accepted. */
export function alternately<Row extends Pick<ClaimedRow, "position">>(rows: Row[], newest: number): Row[] {
  if (newest === 0) return rows;
  const sorted = rows.toSorted((a, b) => (a.position < b.position ? -1 : 1));
  const mixed: Row[] = [];
  for (let from = 0, to = sorted.length - 1; from <= to; ) {
    const [late, early] = [sorted[to--], sorted[from]];
    if (late !== undefined) mixed.push(late);
    if (from++ <= to && early !== undefined) mixed.push(early);
  }
  return mixed;
}
