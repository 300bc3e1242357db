// What lanes hold in memory: deliveries and bodies that wait, are being claimed, or are being sent. Slow lanes have a room of
// their own, so that receivers that hang with large bodies leave all of the other room to the rest. Pure; used by lanes.ts.

/** Deliveries that wait in memory for one destination, at the most. */
export const QUEUE_MAX = 500;
/** The same over all destinations that are not slow: beyond it the table is the queue. */
const QUEUED_MAX = 5_000;
const QUEUED_MAX_CHARS = 32 * 1024 * 1024;
/** Where every body is this small, the number of deliveries bounds the bodies too. */
export const SMALL_BODY_BYTES = Math.floor(QUEUED_MAX_CHARS / QUEUED_MAX);

interface Room {
  deliveries: number;
  chars: number;
  /** Of what one lane may have waiting; a single body may be larger. */
  lane_chars: number;
  /** Of bodies that are being sent: reached, no further request starts. */
  sent_chars: number;
}

const ROOMS: Readonly<Record<Kind, Room>> = {
  // Of the bodies one destination has the same part as of the deliveries.
  fast: {
    deliveries: QUEUED_MAX,
    chars: QUEUED_MAX_CHARS,
    lane_chars: QUEUED_MAX_CHARS * (QUEUE_MAX / QUEUED_MAX),
    sent_chars: QUEUED_MAX_CHARS,
  },
  // What is slow needs little at hand, and there may be many.
  slow: {
    deliveries: QUEUED_MAX / 2,
    chars: QUEUED_MAX_CHARS / 2,
    lane_chars: QUEUED_MAX_CHARS / 128,
    sent_chars: QUEUED_MAX_CHARS / 2,
  },
};

type Kind = "fast" | "slow";

/** What a lane holds; a part of it. */
export interface LaneLoad {
  /** Waiting or being claimed. */
  deliveries: number;
  /** Of their bodies. */
  chars: number;
  /** Of the bodies that are being sent. */
  sent_chars: number;
}

/** A lane as far as memory goes. */
export interface Loaded {
  readonly slow: boolean;
  readonly load: LaneLoad;
}

export function emptyLoad(): LaneLoad {
  return { deliveries: 0, chars: 0, sent_chars: 0 };
}

export type LaneMemory = ReturnType<typeof createLaneMemory>;

export function createLaneMemory() {
  const used: Record<Kind, LaneLoad> = { fast: emptyLoad(), slow: emptyLoad() };

  /** Negative numbers give back. */
  function add({ slow, load }: Loaded, more: Partial<LaneLoad>): void {
    addTo(load, more);
    addTo(used[kindOf(slow)], more);
  }

  /** To be called when a lane has become slow or fast: what it holds counts there from now on. */
  function move({ slow, load }: Loaded): void {
    addTo(used[kindOf(!slow)], { deliveries: -load.deliveries, chars: -load.chars, sent_chars: -load.sent_chars });
    addTo(used[kindOf(slow)], load);
  }

  function deliveriesLeft(lane: Loaded | undefined): number {
    const kind = kindOf(lane?.slow ?? false);
    return ROOMS[kind].deliveries - used[kind].deliveries;
  }

  /** For bodies; a first one may be larger than what is left. */
  function charsLeft(lane: Loaded | undefined): number {
    const kind = kindOf(lane?.slow ?? false);
    const room = ROOMS[kind];
    return Math.min(room.chars - used[kind].chars, room.lane_chars - (lane?.load.chars ?? 0));
  }

  /** Whether so little room is left for the lane's bodies that a claim should wait until it takes more than one at a time. */
  function isNearlyFull({ slow, load }: Loaded): boolean {
    const { lane_chars } = ROOMS[kindOf(slow)];
    return lane_chars - load.chars < lane_chars / 2;
  }

  /** Whether it holds more than it would be given now. */
  function isOver(lane: Loaded): boolean {
    return deliveriesLeft(lane) < 0 || charsLeft(lane) < 0;
  }

  function maySend(kind: Kind): boolean {
    return used[kind].sent_chars < ROOMS[kind].sent_chars;
  }

  return { add, move, deliveriesLeft, charsLeft, isNearlyFull, isOver, maySend };
}

function kindOf(slow: boolean): Kind {
  return slow ? "slow" : "fast";
}

function addTo(load: LaneLoad, { deliveries = 0, chars = 0, sent_chars = 0 }: Partial<LaneLoad>): void {
  load.deliveries += deliveries;
  load.chars += chars;
  load.sent_chars += sent_chars;
}
