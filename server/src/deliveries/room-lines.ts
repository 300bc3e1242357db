// Lanes that found the room of all taken stand in line for it, those that are slow apart from the others. Without the lines
// each place that becomes free would go to the lane that has just freed it, and lanes with nothing in memory would get none.
// Pure state; used by claiming.ts.
import type { Loaded, Shortage } from "./lane-memory.ts";

/** A lane as far as it is of a kind: slow, or not. */
type OfKind = Pick<Loaded, "slow">;

export function createRoomLines<Lane extends OfKind>() {
  const newLines = (): Record<Shortage, Set<Lane>> => ({ places: new Set(), chars: new Set() });
  const lines = { fast: newLines(), slow: newLines() };
  /** The one line that each lane stands in. */
  const line_of = new Map<Lane, Set<Lane>>();
  const linesOf = ({ slow }: OfKind) => (slow ? lines.slow : lines.fast);

  /** At the end of the line; one that stands there keeps its place. */
  function join(lane: Lane, shortage: Shortage): void {
    const line = linesOf(lane)[shortage];
    if (line_of.get(lane) === line) return;
    leave(lane);
    line.add(lane);
    line_of.set(lane, line);
  }

  function leave(lane: Lane): void {
    line_of.get(lane)?.delete(lane);
    line_of.delete(lane);
  }

  /** Who has waited longest among lanes of this kind. */
  function first(kind: OfKind, shortage: Shortage): Lane | undefined {
    const [lane] = linesOf(kind)[shortage];
    return lane;
  }

  return { join, leave, first, isEmpty: () => line_of.size === 0 };
}
