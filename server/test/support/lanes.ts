// Lanes as tests of them need them: with destinations and deliveries that only lanes look at.
import assert from "node:assert/strict";
import type { Ready } from "../../src/deliveries/attempt.ts";
import type { Lane, Lanes } from "../../src/deliveries/lanes.ts";
import type { Reaction } from "../../src/deliveries/limit.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import { each } from "../../src/platform/linked-list.ts";

export const NOW = 1_000_000;
export const WELL: Reaction = { kind: "well", duration_ms: 1 };

export function laneDestination(changes: Partial<Destination> = {}): Destination {
  const settings = { era: 0, retry_schedule: [], timeout_ms: 1_000, max_in_flight: 1_000, rate_per_second: null };
  return {
    ...{ id: "dst_a", app_id: "shop", type: "webhook", events: new Set(["link.click"] as const), created_at: 0 },
    ...{ state: "active", state_reason: null, retry_on: "retriable", filter: null, ordering: "none", ...settings },
    misconfigured: null,
    repair: null,
    build: () => assert.fail("a lane builds nothing"),
    judge: () => assert.fail("a lane judges nothing"),
    target: "",
    show: () => assert.fail("a lane shows nothing"),
    inspect: () => assert.fail("a lane shows nothing"),
    hide: () => assert.fail("a lane shows nothing"),
    ...changes,
  };
}

export function ready(position: string, body = "{}"): Ready {
  return {
    ...{ destination_id: "dst_a", position, app_id: "shop", event: "link.click", attempt: 1, failures: 0 },
    ...{ trigger: "auto", resume_state: null, resume_at: null, event_id: position, body, is_test: false },
    lease_until: NOW + 45_000,
    ...{ previous: null, next: null },
  };
}

export const list = (count: number, name = "p") =>
  Array.from({ length: count }, (_, index) => ready(`${name}${index}`));

export function openLane(lanes: Lanes, id: string, of: Partial<Destination> = {}): Lane {
  const lane = lanes.open(id);
  lane.destination = laneDestination({ id, ...of });
  return lane;
}

/** Its destination was stopped, and goes on: as the dispatcher reads one after the other. */
export function stopAndResume(lanes: Lanes, lane: Lane, now = NOW): void {
  const { destination } = lane;
  assert.ok(destination !== null && destination.state === "active");
  lanes.setDestination(lane, { ...destination, state: "paused" }, now);
  lanes.setDestination(lane, destination, now);
}

/** Starts whatever may start, as the dispatcher does; answers `lane position` in order. */
export function pump(lanes: Lanes, now = NOW): string[] {
  const started: string[] = [];
  for (let lane = lanes.next(); lane !== undefined; lane = lanes.next()) {
    if (lanes.mayStart(lane, now)) started.push(`${lane.id} ${lanes.start(lane, now).ready.position}`);
  }
  return started;
}

export function finishAll(lanes: Lanes, lane: Lane, now: number): void {
  for (const flight of [...each(lane.flights)]) lanes.finish(lane, flight, now, WELL);
}
