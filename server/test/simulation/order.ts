// What a destination with `ordering: "link"` may rely on, checked at every commit and every request: one request of a link
// at a time, in the order of positions, and no link that stands still. Used by ledger.ts.
import type { Change } from "./disk.ts";
import type { Send, Track } from "./ledger.ts";
import type { World } from "./world.ts";

/** The due time of what is set aside, as the table has it. */
const SET_ASIDE = 8_640_000_000_000_000;

export interface Order {
  /** The changes of one commit, each after its track was brought up to date. */
  committed(changes: readonly Change[]): void;
  sent(send: Send): void;
  answered(send: Send): void;
  touched(track: Track): void;
}

interface Place {
  readonly track: Track;
  /** The number of the commit that made it pending, and of the commit that claimed each attempt. */
  pending_since: number;
  readonly claimed: Map<number, number>;
  /** The last commit in which a person granted or canceled it. */
  touched: number;
}

export function createOrder(world: World, trackOf: (change: Change) => Track | undefined): Order {
  const places = new Map<Track, Place>();
  const flying = new Set<Send>();
  let commit = 0;

  function committed(changes: readonly Change[]): void {
    commit++;
    const keys = new Map<string, [string, string]>();
    for (const change of changes) {
      const track = trackOf(change);
      if (track !== undefined) note(placeOf(track), change);
      for (const key of [change.old?.order_key, change.new.order_key]) {
        if (key != null) keys.set(`${change.destination_id} ${key}`, [change.destination_id, key]);
      }
    }
    for (const [destination_id, order_key] of keys.values()) expectMoving(destination_id, order_key);
  }

  function placeOf(track: Track): Place {
    const known = places.get(track);
    if (known !== undefined) return known;
    const place: Place = { track, pending_since: commit, claimed: new Map(), touched: -1 };
    places.set(track, place);
    return place;
  }

  function note(place: Place, { old, new: row }: Change): void {
    if (old === null || (old.state !== "pending" && row.state === "pending")) place.pending_since = commit;
    if (row.leased === 1 && row.attempt !== (old?.attempt ?? 0)) place.claimed.set(row.attempt, commit);
  }

  /** Of all that is pending of a link something is on its way or has a time. */
  function expectMoving(destination_id: string, order_key: string): void {
    const [found] = world.disk.ask<{ pending: number; first: number | null }>(
      `select count(*) as pending, min(due_at) as first from deliveries
        where destination_id = ? and order_key = ? and state = 'pending'`,
      ...[destination_id, order_key],
    );
    if (found !== undefined && found.pending > 0 && found.first === SET_ASIDE) {
      world.violate(`no link stands still (${destination_id} ${order_key}: ${found.pending} set aside)`);
    }
  }

  function sent(send: Send): void {
    const { track } = send;
    const key = track.row.order_key;
    if (key !== null) {
      expectAlone(send, key);
      if (send.trigger === "auto" || send.trigger === "probe" || send.trigger === "replay") expectFirst(send, key);
    }
    flying.add(send);
  }

  /** Whatever else of the link is in flight has lost its lease, or a person has acted on it meanwhile. */
  function expectAlone(send: Send, key: string): void {
    for (const other of flying) {
      const { track } = other;
      if (track.destination_id !== send.track.destination_id || track.row.order_key !== key) continue;
      const is_held = track.row.state === "pending" && track.row.leased === 1 && track.row.attempt === other.number;
      const is_live = (track.row.due_at ?? 0) > send.life.clock.now();
      // An attempt that a person grants while another one of the same delivery is in flight ends with the success of either.
      const asked_from = other.trigger === "manual" ? other.number - 1 : other.number;
      const claimed_at = placeOf(track).claimed.get(asked_from) ?? 0;
      const is_explained = world.weather.disturbances > 0 || placeOf(track).touched >= claimed_at;
      if ((is_held && is_live && track !== send.track) || !is_explained) {
        world.violate(`one request of a link at a time (${send.track.id} beside ${track.id} attempt ${other.number})`);
      }
    }
  }

  /** Whatever stands before it in its link became pending after this attempt was claimed. */
  function expectFirst(send: Send, key: string): void {
    const claimed_at = placeOf(send.track).claimed.get(send.number) ?? 0;
    for (const { track, pending_since } of places.values()) {
      if (track.destination_id !== send.track.destination_id || track.row.order_key !== key) continue;
      const is_before = track.position < send.track.position && track.row.state === "pending";
      if (is_before && pending_since < claimed_at) {
        world.violate(`events of a link are sent in order (${send.track.id} before ${track.id})`);
      }
    }
  }

  return {
    ...{ committed, sent },
    answered: (send) => void flying.delete(send),
    touched: (track) => {
      placeOf(track).touched = commit;
    },
  };
}
