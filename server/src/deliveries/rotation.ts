// Whose turn it is among lanes that have something to send. While too much of large bodies is under way, lanes that have one
// at their head wait aside, and those with small ones, which the slots bound, go on. Pure; used by lanes.ts.
import { SMALL_BODY_BYTES } from "./lane-memory.ts";

/** A lane as far as its turn goes. */
export interface Rotating {
  readonly slow: boolean;
  readonly queue: readonly { readonly body: string }[];
  in_rotation: boolean;
}

/** Those that are fast, or those that are slow. */
interface Line<Lane> {
  waiting: Lane[];
  /** Whose turn came while no large body might be sent. */
  aside: Lane[];
}

/** @param maySendLarge whether a large body may be sent to such lanes */
export function createRotation<Lane extends Rotating>(maySendLarge: (kind: Pick<Rotating, "slow">) => boolean) {
  const fast: Line<Lane> = { waiting: [], aside: [] };
  const slow: Line<Lane> = { waiting: [], aside: [] };
  const lineOf = (kind: Pick<Rotating, "slow">) => (kind.slow ? slow : fast);

  function enter(lane: Lane): void {
    if (lane.in_rotation || lane.queue.length === 0) return;
    lane.in_rotation = true;
    lineOf(lane).waiting.push(lane);
  }

  /** To be called before it becomes slow or fast. */
  function leave(lane: Lane): void {
    if (!lane.in_rotation) return;
    lane.in_rotation = false;
    for (const part of Object.values(lineOf(lane)) as Lane[][]) {
      const index = part.indexOf(lane);
      if (index >= 0) part.splice(index, 1);
    }
  }

  function next(kind: Pick<Rotating, "slow">): Lane | undefined {
    const lane = nextOf(lineOf(kind), maySendLarge(kind));
    if (lane !== undefined) lane.in_rotation = false;
    return lane;
  }

  function nextOf({ waiting, aside }: Line<Lane>, may_be_large: boolean): Lane | undefined {
    if (may_be_large) return aside.shift() ?? waiting.shift();
    let lane = waiting.shift();
    while (lane !== undefined && isLarge(lane)) {
      aside.push(lane);
      lane = waiting.shift();
    }
    return lane;
  }

  return { enter, leave, next };
}

function isLarge({ queue: [first] }: Rotating): boolean {
  return first !== undefined && first.body.length > SMALL_BODY_BYTES;
}
