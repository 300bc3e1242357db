// Lanes that found the room of all taken stand in line for it, those that are slow apart from the others: else each place
// that is left would go to whoever has just left one, and who has nothing in memory would come last. Pure; used by claiming.ts.
import type { Shortage } from "./lane-memory.ts";

/** A lane as far as its place in a line goes. */
export interface Standing {
  readonly slow: boolean;
}

export function createRoomLines<Lane extends Standing>() {
  const newLines = (): Record<Shortage, Set<Lane>> => ({ places: new Set(), chars: new Set() });
  const lines = { fast: newLines(), slow: newLines() };
  const places = new Map<Lane, Set<Lane>>();
  const linesOf = ({ slow }: Standing) => (slow ? lines.slow : lines.fast);

  /** At the end of the line; one that stands there keeps its place. */
  function join(lane: Lane, shortage: Shortage): void {
    const line = linesOf(lane)[shortage];
    if (places.get(lane) === line) return;
    leave(lane);
    line.add(lane);
    places.set(lane, line);
  }

  function leave(lane: Lane): void {
    places.get(lane)?.delete(lane);
    places.delete(lane);
  }

  /** Who is the first to be given what was short. */
  function first(kind: Standing, shortage: Shortage): Lane | undefined {
    const [lane] = linesOf(kind)[shortage];
    return lane;
  }

  return { join, leave, first, isEmpty: () => places.size === 0 };
}
