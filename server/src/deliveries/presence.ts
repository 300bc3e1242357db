// Who dispatches beside this process, so that the limits of a webhook hold over all of them (share.ts). Each dispatcher writes
// a row now and then and reads those of the others; who joins or leaves says so over the wire of hints, too. A dispatcher
// counts for as long as its row changes: nobody's clock is compared with another's but at the first sight of a row. What
// cannot be read or written changes nothing. Used by dispatcher.ts, which joins and leaves with its own start and stop.
import type { Destination } from "../destinations/destination.ts";
import type { Clock } from "../platform/clock.ts";
import { createSeldomLog } from "../platform/seldom-log.ts";
import { createSerial } from "../platform/serial.ts";
import type { NodeRow, PresenceStore } from "./presence-store.ts";
import { type Bound, shareOf } from "./share.ts";

/** Between two words of a dispatcher. */
export const BEAT_MS = 1_500;
/** The same when the last one failed. */
const RETRY_MS = 1_000;
/** Beats of this process during which the row of another one has not changed: 6 s of a database that answers. */
export const SILENT_BEATS_MAX = 4;
/** So many, and the row is removed. */
export const PRUNED_AFTER = 40;
/** A row of this age does not count when it is first seen: 6 s, and 5 s by which two clocks may differ. */
export const OLD_MS = 11_000;
/** A stop waits no longer for its row to go; the others notice. */
const LEAVE_MAX_MS = 1_000;

export interface PresenceOptions {
  store: PresenceStore;
  clock: Clock;
  /** This process, and no other one before or after it. */
  id: string;
  /** Lets the other dispatchers look. */
  tell(): void;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn" | "error"): void;
}

export interface Presence {
  /** @param tellLimits what it tells every process of the webhooks that it limits, with each beat */
  join(tellLimits?: () => string | null): Promise<void>;
  leave(): Promise<void>;
  /** A hint: another one has joined or left. */
  hear(): void;
  onChange(listener: () => void): void;
  /** What this process may send of what the webhook may be sent. */
  shareOf(destination: Pick<Destination, "id"> & Bound): Bound;
  /** This process, as it is named among them. */
  readonly self: string;
  /** Dispatchers, this one included. */
  nodes(): readonly string[];
}

/** For a process that shares with nobody: all is its own. */
export const ALONE: Presence = {
  async join() {},
  async leave() {},
  hear() {},
  onChange() {},
  shareOf: (destination) => destination,
  self: "",
  nodes: () => [""],
};

interface Seen {
  seen_at: number;
  /** Beats of this process since it changed. */
  silent_beats: number;
}

export function createPresence({ store, clock, id, tell, log }: PresenceOptions): Presence {
  const logSeldom = createSeldomLog(log, clock.now);
  const listeners: (() => void)[] = [];
  let others = new Map<string, Seen>();
  let nodes: readonly string[] = [id];
  let shares = new WeakMap<object, Bound>();
  let state: "idle" | "joined" | "left" = "idle";
  /** False until the others can know of it, and after they may have given it up. */
  let is_known = false;
  let beat_at = Number.NEGATIVE_INFINITY;
  let tellLimits: () => string | null = () => null;
  /** What its row says of limits; undefined: it is not known. */
  let told: string | null | undefined;
  let cancelBeat = () => {};
  /** So that nothing older is read last. */
  const serially = createSerial();
  let is_look_waiting = false;

  async function join(tell_limits = tellLimits): Promise<void> {
    if (state !== "idle") return;
    tellLimits = tell_limits;
    state = "joined";
    await whileJoined(beat);
  }

  function whileJoined(work: () => Promise<void>): Promise<void> {
    return serially(async () => {
      if (state === "joined") await work();
    });
  }

  async function beat(): Promise<void> {
    try {
      // It was suspended, and the others may have given it up.
      if (Math.abs(clock.now() - beat_at) >= SILENT_BEATS_MAX * BEAT_MS) is_known = false;
      beat_at = clock.now();
      const limits = tellLimits();
      observe(await store.announce({ id, seen_at: clock.now(), limits }, limits !== told), 1);
      told = limits;
      if (!is_known) tell();
      is_known = true;
      for (const [other, { seen_at, silent_beats }] of others) {
        if (silent_beats >= PRUNED_AFTER) await store.prune({ id: other, seen_at });
      }
    } catch (error) {
      // It goes on with what it knew; the others may count it out meanwhile, and are told when it is back.
      is_known = false;
      told = undefined;
      logSeldom("dispatchers.not_announced", { error }, "warn");
    }
    if (state === "joined") cancelBeat = clock.after(is_known ? BEAT_MS : RETRY_MS, () => void whileJoined(beat));
  }

  function hear(): void {
    if (is_look_waiting || state !== "joined") return;
    is_look_waiting = true;
    void whileJoined(async () => {
      is_look_waiting = false;
      // The next beat reads the same.
      await store.listNodes().then(
        (rows) => observe(rows, 0),
        () => {},
      );
    });
  }

  function observe(rows: readonly NodeRow[], beats: number): void {
    const seen = new Map<string, Seen>();
    for (const row of rows)
      if (row.id !== id) seen.set(row.id, { seen_at: row.seen_at, silent_beats: silentBeatsOf(row, beats) });
    others = seen;
    const present = [...seen].flatMap(([other, { silent_beats }]) => (silent_beats < SILENT_BEATS_MAX ? [other] : []));
    const now_there = [id, ...present].sort();
    if (now_there.join() === nodes.join()) return;
    log("dispatchers.changed", { count: now_there.length, before: nodes.length });
    nodes = now_there;
    shares = new WeakMap();
    for (const listener of listeners) listener();
  }

  function silentBeatsOf({ id: other, seen_at }: NodeRow, beats: number): number {
    const before = others.get(other);
    if (before === undefined) return clock.now() - seen_at > OLD_MS ? SILENT_BEATS_MAX : 0;
    return before.seen_at === seen_at ? before.silent_beats + beats : 0;
  }

  async function leave(): Promise<void> {
    const was_there = state === "joined";
    state = "left";
    cancelBeat();
    if (!was_there) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(LEAVE_MAX_MS, resolve);
    // A row that stays is counted out by the others.
    const removed = serially(() => store.remove(id)).then(tell, () => {});
    await Promise.race([removed, promise]);
    cancel();
  }

  function share(destination: Pick<Destination, "id"> & Bound): Bound {
    if (nodes.length === 1) return destination;
    const known = shares.get(destination);
    if (known !== undefined) return known;
    const own = shareOf(destination, nodes, id);
    shares.set(destination, own);
    return own;
  }

  return {
    ...{ join, leave, hear, shareOf: share },
    onChange: (listener) => void listeners.push(listener),
    self: id,
    nodes: () => nodes,
  };
}
