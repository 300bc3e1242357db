// Lanes that found the room of all taken stand in line for it, those that are slow apart from the others: else each place
// that is left would go to whoever has just left one, and who has nothing in memory would come last. Each line has two parts that
// are served in turn: who keeps up wants little, and would wait until all that are far behind have had their share. Pure;
// used by claiming.ts.
import type { Ends } from "./both-ends.ts";
import type { Shortage } from "./lane-memory.ts";

/** A lane as far as its place in a line goes. */
export interface Standing {
  readonly slow: boolean;
  readonly ends: Pick<Ends, "is_behind">;
}

/** The part that is to be served next, if somebody stands there, and the other one. */
interface Line<Lane> {
  next: Set<Lane>;
  other: Set<Lane>;
  readonly keeping_up: Set<Lane>;
  readonly behind: Set<Lane>;
}

interface Place<Lane> {
  readonly line: Line<Lane>;
  readonly part: Set<Lane>;
}

export function createRoomLines<Lane extends Standing>() {
  const newLines = (): Record<Shortage, Line<Lane>> => ({ places: newLine(), chars: newLine() });
  const lines = { fast: newLines(), slow: newLines() };
  const places = new Map<Lane, Place<Lane>>();
  const lineOf = ({ slow }: Standing, shortage: Shortage) => (slow ? lines.slow : lines.fast)[shortage];

  /** At the end of its part of the line; one that stands there keeps its place. */
  function join(lane: Lane, shortage: Shortage): void {
    const line = lineOf(lane, shortage);
    const part = lane.ends.is_behind ? line.behind : line.keeping_up;
    const place = places.get(lane);
    if (place?.part === part) return;
    place?.part.delete(lane);
    part.add(lane);
    places.set(lane, { line, part });
  }

  function leave(lane: Lane): void {
    const place = places.get(lane);
    if (place === undefined) return;
    const { line, part } = place;
    part.delete(lane);
    places.delete(lane);
    line.next = part === line.behind ? line.keeping_up : line.behind;
    line.other = part;
  }

  /**
   * Who is the first to be given what was short. Whoever has become slow, or fast, since it came waits for room that others have: it
   * goes to the end of their line, for here it would hold up all that stand behind it. So does who has fallen behind meanwhile.
   */
  function first(kind: Standing, shortage: Shortage): Lane | undefined {
    const line = lineOf(kind, shortage);
    for (const part of [line.next, line.other]) {
      for (const lane of part) {
        if (lane.slow === kind.slow && (part === line.behind || !lane.ends.is_behind)) return lane;
        join(lane, shortage);
      }
    }
    return undefined;
  }

  return { join, leave, first, isEmpty: () => places.size === 0 };
}

function newLine<Lane>(): Line<Lane> {
  const [keeping_up, behind] = [new Set<Lane>(), new Set<Lane>()];
  return { next: keeping_up, other: behind, keeping_up, behind };
}
