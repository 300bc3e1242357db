// What the outside may rely on, checked at every commit and at every request of a simulated world. It sees the disk and
// the network only, never the memory of a process. The promises at the end of a world are in ending.ts.

import { parseDeliveryId } from "../../src/deliveries/delivery.ts";
import { LEASE_MS } from "../../src/deliveries/leases.ts";
import type { OutboundRequest } from "../../src/platform/egress.ts";
import type { Change, State } from "./disk.ts";
import { type Life, SKEW_MAX_MS } from "./life.ts";
import { createOrder } from "./order.ts";
import { createPace, JUMP_SETTLES_MS, OFF_SEEN_MS } from "./pace.ts";
import type { World } from "./world.ts";

/** One request as the network saw it. */
export interface Send {
  readonly life: Life;
  readonly track: Track;
  readonly number: number;
  readonly trigger: string | undefined;
  readonly at: number;
  /** A status or the code of a failure; null while nobody knows. */
  answer: number | string | null;
}

/** The life of one delivery. */
export interface Track {
  readonly id: string;
  readonly destination_id: string;
  readonly position: string;
  row: State;
  /** Which trigger each claimed number had. */
  readonly claims: Map<number, string>;
  readonly sends: Send[];
  grants: number;
  /** Leases that ran out, and those that a new process took up. */
  lost: number;
  taken_up: number;
  has_succeeded: boolean;
  /** Elapsed time when a person last retried or canceled it. */
  touched_at: number;
}

export interface Ledger {
  readonly tracks: Map<string, Track>;
  /** After each commit of a process. */
  observe(life: Life): void;
  sent(life: Life, request: OutboundRequest): Send | undefined;
  answered(send: Send, answer: number | string): void;
  clockJumped(): void;
  /** One has started or ended. */
  dispatchersChanged(): void;
}

interface Settings {
  rate_per_second: number | null;
  schedule_length: number;
}

/** A person's call and what was claimed at the same moment may cross for so long. */
const CROSSING_MS = 3_000;
/** How long what a person asked for is put off while another one of its link is on its way; two clocks may differ. */
const PUT_OFF_MS = 250 + 2 * SKEW_MAX_MS;

export function createLedger(world: World, is_pair: boolean): Ledger {
  const { time, disk, weather } = world;
  const tracks = new Map<string, Track>();
  const settings = new Map<string, Settings>();
  const events = new Map<string, { id: string; body: string }>();
  const order = createOrder(world, ({ destination_id, position }) => tracks.get(`${destination_id} ${position}`));
  const pace = createPace(world, is_pair, { expect, rateOf: (track) => settingsOf(track).rate_per_second });

  function expect(isKept: boolean, promise: string, track?: Track): void {
    if (isKept) return;
    const of = track === undefined ? "" : ` (${track.destination_id} ${track.position}: ${JSON.stringify(track.row)})`;
    world.violate(`${promise}${of}`);
  }

  function observe(life: Life): void {
    const changes = disk.takeChanges();
    for (const change of changes) note(life, change);
    order.committed(changes);
    for (const event of disk.takeEvents()) {
      events.set(event.position, event);
      expectDeliveries(event, changes);
    }
  }

  /** Every event has one delivery for each destination that wanted it when it was accepted, and no other. */
  function expectDeliveries(event: ReturnType<typeof disk.takeEvents>[number], changes: readonly Change[]): void {
    const found = disk.ask<{ id: string; state: string; events: string }>(
      "select id, state, events from destinations where app_id = ?",
      event.app_id,
    );
    const wanted = found.filter(({ id, state, events }) => {
      if (event.target_id !== null) return event.target_id === id;
      return (state === "active" || state === "paused") && JSON.parse(events).includes(event.event);
    });
    const made = changes.filter((one) => one.old === null && one.position === event.position);
    const ids = (list: readonly string[]) => [...list].sort().join(" ");
    expect(
      ids(wanted.map((one) => one.id)) === ids(made.map((one) => one.destination_id)),
      `each event has exactly the deliveries that it should have (${event.position})`,
    );
  }

  function note(life: Life, { destination_id, position, old, new: row }: Change): void {
    const key = `${destination_id} ${position}`;
    const track = tracks.get(key) ?? createTrack(destination_id, position, row, tracks.size + 1);
    expect((old === null) === !tracks.has(key), "a delivery is made once", track);
    tracks.set(key, track);
    track.row = row;
    const change = old === null ? "made" : explain(life, track, old, row);
    if (row.leased === 1 && (old === null || row.attempt > old.attempt)) track.claims.set(row.attempt, row.trigger);
    if (change !== "renewed") world.note(`${life.name} ${track.id} ${change}: ${summarize(row)}`);
  }

  /** Gives the change its name; a change that has none is a violation. */
  function explain(life: Life, track: Track, old: State, row: State): string {
    if (isOvertaken(old, row)) {
      expect(row.failures <= settingsOf(track).schedule_length + 1, "attempts stay within the schedule", track);
      const has_failed = track.sends.some(
        (one) => one.number <= row.attempt && one.answer !== null && !isAccepted(one),
      );
      expect(has_failed, "a failure is counted only after an attempt has failed", track);
      return "failed beside a granted attempt";
    }
    if (
      row.resume_state !== null &&
      row.trigger === "manual" &&
      row.leased === 0 &&
      row.due_at === 0 &&
      row.attempt === old.attempt
    ) {
      // Taking up a manual attempt that was in flight looks the same.
      track.grants++;
      touch(track);
      return "granted";
    }
    if (isMoved(old, row)) return "moved within its link";
    // A success that comes in after a cancel.
    const is_late = row.state === "succeeded" && old.state !== "succeeded";
    expect(old.state === "pending" || is_late, "a settled delivery changes only when a person asks for it", track);
    if (row.state === "canceled" && row.failures === old.failures && old.resume_state !== "canceled") {
      touch(track);
      return "canceled";
    }
    if (row.state === "succeeded" && old.resume_state !== "succeeded") {
      track.has_succeeded = true;
      expect(track.sends.some(isAccepted), "success is recorded only after a 2xx", track);
      return "succeeded";
    }
    if (row.attempt === old.attempt + 1 && row.leased === 1) return explainClaim(life, track, old);
    if (row.attempt === old.attempt - 1) {
      expect(old.leased === 1 && row.leased === 0, "only a lease is given back", track);
      return "given back";
    }
    expect(row.attempt === old.attempt, "the number of attempts grows one by one", track);
    if (row.leased === 1) {
      expect(old.leased === 1, "only a claim takes a lease", track);
      return "renewed";
    }
    const is_back = row.state !== "pending" && row.state === old.resume_state && row.resume_state === null;
    if (is_back && old.leased === 0 && row.failures === old.failures) {
      touch(track);
      return "taken back";
    }
    if (old.leased === 0 && row.state === "pending" && row.attempt === old.attempt && row.failures === 0) {
      const was_far = (old.due_at ?? 0) > (row.due_at ?? 0) + 2 * LEASE_MS;
      expect(was_far, "only what a clock that was ahead had put off is made due", track);
      return "made due";
    }
    expect(old.leased === 1, "only who holds the lease settles an attempt", track);
    if (old.resume_state !== null && row.resume_state === null) return "restored";
    if (row.failures === old.failures + 1) {
      const { schedule_length } = settingsOf(track);
      expect(row.failures <= schedule_length + 1, "attempts stay within the schedule", track);
      return "failed";
    }
    expect(row.state === "pending" && row.failures === old.failures, "every change has an explanation", track);
    track.taken_up++;
    return "taken up";
  }

  function touch(track: Track): void {
    track.touched_at = time.elapsed();
    order.touched(track);
  }

  function explainClaim(life: Life, track: Track, old: State): string {
    const has_jumped = time.elapsed() - weather.jumped_at < JUMP_SETTLES_MS;
    const is_due = old.due_at !== null && old.due_at <= life.clock.now();
    const is_probe = track.row.trigger === "probe";
    // What was put off until its link is free goes when it is.
    const is_put_off =
      old.trigger === "manual" && old.order_key !== null && (old.due_at ?? 0) <= life.clock.now() + PUT_OFF_MS;
    expect(is_due || is_put_off || is_probe || has_jumped, "nothing but a probe is claimed before it is due", track);
    if (old.leased === 0) return "claimed";
    track.lost++;
    const last = track.sends.at(-1);
    const is_own = last !== undefined && last.life === life && last.number === old.attempt;
    expect(!is_own, "a process does not take over from itself", track);
    expect(weather.disturbances > 0, "a lease is lost only when something went wrong", track);
    return "claimed from a lost lease";
  }

  function sent(life: Life, request: OutboundRequest): Send | undefined {
    const headers = readHeaders(request.headers);
    const key = parseDeliveryId(headers.get("X-LinkMe-Delivery") ?? "");
    const track = key === null ? undefined : tracks.get(`${key.destination_id} ${key.position}`);
    expect(track !== undefined, "only deliveries are sent");
    if (track === undefined) return undefined;
    const number = Number(headers.get("X-LinkMe-Attempt"));
    const trigger = track.claims.get(number);
    const send: Send = { life, track, number, trigger, at: time.elapsed(), answer: null };
    world.note(`${life.name} ${track.id} sends attempt ${number} (${trigger})`);
    const event = events.get(track.position);
    expect(request.body === event?.body, "every attempt sends the same bytes", track);
    expect(headers.get("webhook-id") === event?.id, "every attempt sends the same id", track);
    expectTurn(send);
    expectWanted(send);
    pace.sent(send, request.connections ?? 0);
    order.sent(send);
    track.sends.push(send);
    expectSchedule(track);
    return send;
  }

  /** It is this attempt's turn: claimed, not settled, never sent before. */
  function expectTurn({ track, number, trigger }: Send): void {
    const { row } = track;
    const crossed = track.touched_at > (is_pair ? Number.NEGATIVE_INFINITY : time.elapsed() - CROSSING_MS);
    const is_held = row.state === "pending" && row.leased === 1 && row.attempt === number;
    // Asked for by hand while an earlier attempt was in flight, and that one succeeded: it is made all the same.
    const is_granted = trigger === "manual" && row.state === "succeeded" && row.attempt === number;
    expect(is_held || crossed || is_granted, `attempt ${number} is sent under its lease`, track);
    expect(
      track.sends.every((one) => one.number !== number),
      `attempt ${number} is sent once`,
      track,
    );
    expect(
      crossed || track.sends.every((one) => one.number < number),
      `attempt ${number} comes after the earlier ones`,
      track,
    );
    const is_wanted = !track.has_succeeded || trigger === "manual" || crossed;
    expect(is_wanted, "nothing is sent after success unless a person asks", track);
  }

  /** What nobody asked for by hand waits while its destination is off. */
  function expectWanted({ life, track, trigger }: Send): void {
    const [found] = disk.ask<{ state: string; state_changed_at: number }>(
      "select state, state_changed_at from destinations where id = ?",
      track.destination_id,
    );
    const is_off = found !== undefined && found.state !== "active";
    // The change is dated by the clock of the process that made it.
    const seen_ms = OFF_SEEN_MS + 2 * SKEW_MAX_MS;
    const is_noticed = is_off && life.clock.now() - found.state_changed_at > seen_ms && !jumped();
    expect(
      !is_noticed || trigger !== "auto",
      "nothing is sent by itself to a destination that is off or paused",
      track,
    );
    const is_probe_late = is_noticed && found.state !== "paused" && trigger === "probe";
    expect(!is_probe_late, "only what is paused is probed", track);
  }

  /** What a disturbance costs is one attempt each; everything else is the schedule. */
  function expectSchedule(track: Track): void {
    const planned = settingsOf(track).schedule_length + 1;
    const automatic = track.sends.filter((one) => one.trigger !== "manual" && one.trigger !== "probe").length;
    expect(
      automatic <= planned + track.lost + track.taken_up + track.grants,
      "attempts stay within the schedule, but for those that were interrupted",
      track,
    );
  }

  function answered(send: Send, answer: number | string): void {
    send.answer = answer;
    order.answered(send);
    pace.answered(send);
    world.note(`${send.life.name} ${send.track.id} attempt ${send.number} is answered ${answer}`);
  }

  /** A story changes neither of them, so they are read once. */
  function settingsOf({ destination_id }: Track): Settings {
    const known = settings.get(destination_id);
    if (known !== undefined) return known;
    const [found] = disk.ask<Settings>(
      `select rate_per_second, json_array_length(retry_schedule) as schedule_length from destinations where id = ?`,
      destination_id,
    );
    const read = found ?? { rate_per_second: null, schedule_length: 0 };
    settings.set(destination_id, read);
    return read;
  }

  const jumped = () => time.elapsed() - weather.jumped_at < JUMP_SETTLES_MS;
  const { clockJumped, dispatchersChanged } = pace;

  return { tracks, observe, sent, answered, clockJumped, dispatchersChanged };
}

export function isAccepted({ answer }: Send): boolean {
  return typeof answer === "number" && answer >= 200 && answer < 300;
}

/** Another failure, of an attempt beside which a person was granted one that is on its way or was not counted. */
function isOvertaken(old: State, row: State): boolean {
  const is_beside = old.resume_state === "pending" && old.trigger === "manual" && row.trigger === "manual";
  return (
    old.state === "pending" &&
    row.failures === old.failures + 1 &&
    row.attempt === old.attempt &&
    (is_beside ? row.leased === old.leased : old.leased === 0)
  );
}

/** Nothing but when it is due has changed, and it has or had a key. */
function isMoved(old: State, row: State): boolean {
  const rest = ({ due_at: _, order_key: __, ...others }: State) => JSON.stringify(others);
  return old.order_key !== null && old.state === "pending" && old.leased === 0 && rest(old) === rest(row);
}

function createTrack(destination_id: string, position: string, row: State, count: number): Track {
  return {
    ...{ id: `#${count}@${destination_id.slice(-4)}`, destination_id, position, row, claims: new Map(), sends: [] },
    ...{ grants: 0, lost: 0, taken_up: 0, has_succeeded: false },
    touched_at: Number.NEGATIVE_INFINITY,
  };
}

function summarize(row: State): string {
  const lease = row.leased === 1 ? " leased" : "";
  const resume = row.resume_state === null ? "" : ` resumes ${row.resume_state}`;
  return `${row.state}${lease} attempt ${row.attempt} failures ${row.failures} ${row.trigger}${resume}`;
}

function readHeaders(flat: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let index = 0; index + 1 < flat.length; index += 2) headers.set(flat[index] ?? "", flat[index + 1] ?? "");
  return headers;
}
