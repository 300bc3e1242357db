// How much the network sees at a time and a second, for each process and over all of them: part of ledger.ts.
import { SLOW_SHARE } from "../../src/deliveries/lanes.ts";
import type { Send, Track } from "./ledger.ts";
import type { World } from "./world.ts";

/** What is under way to one destination, and what has started lately. */
interface Traffic {
  flying: Set<Send>;
  starts: Send[];
}

/** Another process reads the settings again every second, and the database may hold that up. */
export const OFF_SEEN_MS = 4_000;
/** After a jump of the clock what was decided before may still arrive for so long. */
export const JUMP_SETTLES_MS = 60_000;
/** A lane is looked at every 250 ms for slowness, and the database may hold that up. */
const SLOW_SEEN_MS = 3_000;
/** A timer may be 50 ms late and made up for, so starts keep their rate over a span less that much. */
const LATE_MS = 50;
/** Over a second, and over a span in which it says little by how much each dispatcher may be early. */
const RATE_SPANS_S = [1, 10];
/** All dispatchers know of one that came or died after so long: 6 beats of 3 s, and what the database holds up. */
const SHARED_AFTER_MS = 25_000;

interface Beliefs {
  expect(isKept: boolean, promise: string, track?: Track): void;
  rateOf(track: Track): number | null;
}

export function createPace({ time, disk, weather }: World, is_pair: boolean, { expect, rateOf }: Beliefs) {
  const traffic = new Map<string, Traffic>();
  const bounds = new Map<string, { max_in_flight: number; changed_at: number }>();
  let dispatchers_changed_at = Number.NEGATIVE_INFINITY;

  function sent(send: Send, max_in_flight: number): void {
    const { track, at } = send;
    const own = note(ofProcess(send), send);
    expect(own.flying.size <= max_in_flight, `at most ${max_in_flight} requests of a process are in flight`, track);
    const [oldest] = own.flying;
    const has_jumped = at - weather.jumped_at < JUMP_SETTLES_MS;
    const is_slow = oldest !== undefined && at - oldest.at > SLOW_SEEN_MS && !has_jumped;
    expect(!is_slow || own.flying.size <= SLOW_SHARE, "a slow destination holds only its share", track);
    expectRate(own.starts, send, 0);
    if (is_pair) expectShared(send, max_in_flight);
  }

  /** The limits are the destination's, once all know of each other and of its settings. */
  function expectShared(send: Send, known_to_it: number): void {
    const { track } = send;
    const all = note(track.destination_id, send);
    const since = sharedSince(track.destination_id);
    const isShared = (one: Send) => one.at > since;
    const most = bounds.get(track.destination_id)?.max_in_flight ?? known_to_it;
    const flying = [...all.flying].filter(isShared).length;
    expect(flying <= most, `at most ${most} requests of all processes are in flight, not ${flying}`, track);
    expectRate(all.starts.filter(isShared), send, 1);
  }

  function note(key: string, send: Send): Traffic {
    const known = traffic.get(key) ?? { flying: new Set(), starts: [] };
    known.flying.add(send);
    const from = send.at - Math.max(...RATE_SPANS_S) * 1_000;
    known.starts = [...known.starts.filter((one) => one.at > from), send];
    traffic.set(key, known);
    return known;
  }

  /** @param early by how many all processes together may be */
  function expectRate(starts: readonly Send[], { at, track }: Send, early: number): void {
    const rate = rateOf(track);
    if (rate === null) return;
    for (const span_s of RATE_SPANS_S) {
      const recent = starts.filter((one) => one.at > at - span_s * 1_000 + LATE_MS).length;
      const most = rate * span_s + early;
      expect(recent <= most, `at most ${most} requests start in ${span_s} s, not ${recent}`, track);
    }
  }

  /** Since when all processes know of each other and of the present settings. */
  function sharedSince(destination_id: string): number {
    const [found] = disk.ask<{ max_in_flight: number }>(
      "select max_in_flight from destinations where id = ?",
      destination_id,
    );
    const known = bounds.get(destination_id);
    const max_in_flight = found?.max_in_flight ?? 0;
    const changed_at = known?.max_in_flight === max_in_flight ? known.changed_at : time.elapsed();
    bounds.set(destination_id, { max_in_flight, changed_at });
    const all_know = Math.max(dispatchers_changed_at, weather.outage_until) + SHARED_AFTER_MS;
    return Math.max(all_know, changed_at + OFF_SEEN_MS, weather.jumped_at + JUMP_SETTLES_MS);
  }

  function answered(send: Send): void {
    for (const key of [ofProcess(send), send.track.destination_id]) traffic.get(key)?.flying.delete(send);
  }

  function clockJumped(): void {
    for (const one of traffic.values()) one.starts = [];
  }

  function dispatchersChanged(): void {
    dispatchers_changed_at = time.elapsed();
    // What a dead one had under way is nobody's now.
    for (const { flying } of traffic.values()) for (const one of flying) if (!one.life.isAlive()) flying.delete(one);
  }

  return { sent, answered, clockJumped, dispatchersChanged };
}

function ofProcess({ life, track }: Send): string {
  return `${life.name} ${track.destination_id}`;
}
