// The webhook that a replay sends to, as far as it matters whether that takes anything. Called by replays.ts and by the runner.
import type { Destination } from "../destinations/destination.ts";
import { obstacleOf } from "./replay.ts";

export interface ReplayDestinations {
  /** As it was a second ago, at the worst, where another process has changed it. */
  find(id: string): Promise<Destination | null>;
  /** After that `find` answers what was committed before. */
  refresh(app_id: string): Promise<void>;
}

/** One that was turned on a moment ago, by another process, is not told to be off: its recovery would pause itself. */
export async function findTarget({ find, refresh }: ReplayDestinations, id: string): Promise<Destination | null> {
  const found = await find(id);
  if (found === null || obstacleOf(found) === null) return found;
  await refresh(found.app_id);
  return find(id);
}
