// What lanes hold in memory: deliveries and bodies that wait, are being claimed, or are being sent. Slow lanes have a room of
// their own, so that receivers that hang with large bodies leave all of the other room to the rest. Pure; used by lanes.ts.

/** Deliveries that wait in memory for one destination, at the most. */
export const QUEUE_MAX = 500;
/** The same over all destinations that are not slow: beyond it the table is the queue. */
const QUEUED_MAX = 5_000;
const QUEUED_MAX_CHARS = 32 * 1024 * 1024;
/** The number of deliveries bounds bodies as small as this; what is larger is counted in characters too. */
export const SMALL_BODY_BYTES = Math.floor(QUEUED_MAX_CHARS / QUEUED_MAX);

interface Room {
  deliveries: number;
  chars: number;
  /** Of what one lane may have waiting; a single body may be larger. */
  lane_chars: number;
  /** Of bodies that are being sent: reached, no further request with a large one starts. */
  sent_chars: number;
  /** Of what one lane has of these; a single body may be larger. */
  lane_sent_chars: number;
}

const ROOMS: Readonly<Record<Kind, Room>> = {
  // Of the bodies one destination has the same part as of the deliveries.
  fast: {
    deliveries: QUEUED_MAX,
    chars: QUEUED_MAX_CHARS,
    lane_chars: QUEUED_MAX_CHARS * (QUEUE_MAX / QUEUED_MAX),
    sent_chars: QUEUED_MAX_CHARS,
    lane_sent_chars: QUEUED_MAX_CHARS / 4,
  },
  // What is slow needs little at hand, and there may be many.
  slow: {
    deliveries: QUEUED_MAX / 2,
    chars: QUEUED_MAX_CHARS / 2,
    lane_chars: QUEUED_MAX_CHARS / 128,
    sent_chars: QUEUED_MAX_CHARS / 2,
    lane_sent_chars: QUEUED_MAX_CHARS / 20,
  },
};
/** Of both: what has turned out to be slow takes its requests along, and that must not let as many start anew each time. */
const SENT_MAX_CHARS = ROOMS.fast.sent_chars + ROOMS.slow.sent_chars;

type Kind = "fast" | "slow";

/** What of the room for all lanes of a kind is taken: deliveries, or the characters of large bodies. */
export const SHORTAGES = ["places", "chars"] as const;
export type Shortage = (typeof SHORTAGES)[number];
/** So many places are worth a claim. */
const PLACES_MIN = 50;

/** What a lane holds; a part of it. */
export interface LaneLoad {
  /** Waiting or being claimed. */
  deliveries: number;
  /** Of their large bodies. */
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

/** Of a body, in characters. Small ones are no reason to wait for large ones of others. */
export function weightOf(chars: number): number {
  return chars > SMALL_BODY_BYTES ? chars : 0;
}

/** As far as is known: what was looked at last was large on average. */
export function hasLarge({ body_bytes }: { readonly body_bytes: number }): boolean {
  return body_bytes > SMALL_BODY_BYTES;
}

export type LaneMemory = ReturnType<typeof createLaneMemory>;

export function createLaneMemory() {
  const used: Record<Kind, LaneLoad> = { fast: emptyLoad(), slow: emptyLoad() };

  /** What waits or is being claimed; negative numbers give back. Called for each delivery, so without an object for it. */
  function add({ slow, load }: Loaded, deliveries: number, chars: number): void {
    const all = used[kindOf(slow)];
    load.deliveries += deliveries;
    all.deliveries += deliveries;
    load.chars += chars;
    all.chars += chars;
  }

  /** The body of a request that starts; a negative number: that has ended. */
  function addSent({ slow, load }: Loaded, chars: number): void {
    load.sent_chars += chars;
    used[kindOf(slow)].sent_chars += chars;
  }

  /** To be called when a lane has become slow or fast: what it holds counts there from now on. */
  function move({ slow, load }: Loaded): void {
    for (const part of ["deliveries", "chars", "sent_chars"] as const) {
      used[kindOf(!slow)][part] -= load[part];
      used[kindOf(slow)][part] += load[part];
    }
  }

  function deliveriesLeft(lane: Loaded | undefined): number {
    const kind = kindOf(lane?.slow ?? false);
    return ROOMS[kind].deliveries - used[kind].deliveries;
  }

  /** For large bodies; a first one may be larger than what is left. */
  function charsLeft(lane: Loaded | undefined): number {
    const kind = kindOf(lane?.slow ?? false);
    const room = ROOMS[kind];
    return Math.min(room.chars - used[kind].chars, room.lane_chars - (lane?.load.chars ?? 0));
  }

  /** How many of the first there is room for, by the sizes of their bodies; a first one may be larger than what is left. */
  function fitting(lane: Loaded, count: number, sizeOf: (index: number) => number): number {
    let left = charsLeft(lane);
    let fit = 0;
    for (; fit < count; fit++) {
      const weight = weightOf(sizeOf(fit));
      if (weight > 0 && (left <= 0 || (left < weight && fit > 0))) break;
      left -= weight;
    }
    return fit;
  }

  /** Whether so little room is left for the lane's bodies that a claim should wait until it takes more than one at a time. */
  function isNearlyFull({ slow, load }: Loaded): boolean {
    const { lane_chars } = ROOMS[kindOf(slow)];
    return lane_chars - load.chars < lane_chars / 2;
  }

  /** Null where it is not for others that the lane finds no room. @param may_be_large whether it wants some for large bodies */
  function shortageOf({ slow }: Pick<Loaded, "slow">, may_be_large: boolean): Shortage | null {
    const kind = kindOf(slow);
    if (used[kind].deliveries >= ROOMS[kind].deliveries) return "places";
    return may_be_large && used[kind].chars >= ROOMS[kind].chars ? "chars" : null;
  }

  /** Whether so little of it is left that a claim would take one or two. */
  function isShort({ slow }: Pick<Loaded, "slow">, shortage: Shortage): boolean {
    const kind = kindOf(slow);
    const room = ROOMS[kind];
    if (shortage === "places") return room.deliveries - used[kind].deliveries < PLACES_MIN;
    return room.chars - used[kind].chars < room.lane_chars / 2;
  }

  /** Whether it holds more than it would be given now. */
  function isOver(lane: Loaded): boolean {
    return deliveriesLeft(lane) < 0 || (lane.load.chars > 0 && charsLeft(lane) < 0);
  }

  /** Whether one more large body may be sent to lanes that are slow, or to those that are not. */
  function maySendLarge({ slow }: Pick<Loaded, "slow">): boolean {
    const kind = kindOf(slow);
    return (
      used[kind].sent_chars < ROOMS[kind].sent_chars && used.fast.sent_chars + used.slow.sent_chars < SENT_MAX_CHARS
    );
  }

  /** Whether one more body of the lane may be sent beside those that are. */
  function maySendMore({ slow, load }: Loaded): boolean {
    return load.sent_chars < ROOMS[kindOf(slow)].lane_sent_chars;
  }

  /** What is counted in all, for tests. */
  const counts = () => ({ fast: { ...used.fast }, slow: { ...used.slow } });
  return {
    add,
    addSent,
    move,
    deliveriesLeft,
    charsLeft,
    fitting,
    isNearlyFull,
    shortageOf,
    isShort,
    isOver,
    maySendLarge,
    maySendMore,
    counts,
  };
}

function kindOf(slow: boolean): Kind {
  return slow ? "slow" : "fast";
}
