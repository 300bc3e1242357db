// What became of an app's events at each of its destinations, in numbers: for each of them the fates add up to the events.
// A long range is answered in parts, each of which adds up. Created once by compose-pipeline.ts.
import type { z } from "zod";
import { FATE_STATES, type FatesAnswer, type FatesQuery } from "#contract/events.ts";
import type { AppDestinations } from "../destinations/registry.ts";
import { decodeCursor, encodeCursor, positionRange } from "../platform/cursor.ts";
import { uuidFloor } from "../platform/ids.ts";
import { fateWithout } from "./fate.ts";
import type { FateCount, FatesStore, Stretch } from "./fates-store.ts";
import type { EventStore } from "./store.ts";

const FATES_PAIRS_MAX = 50_000;
/** Events that one answer counts, however few destinations there are. */
const FATES_EVENTS_MAX = 20_000;

type Counts = z.output<typeof FatesAnswer>["items"][number]["fates"];

export type Fates = ReturnType<typeof createFates>;

export interface FatesOptions {
  store: FatesStore;
  history: Pick<EventStore, "historyAround">;
  destinations: { ofApp(app_id: string): Promise<AppDestinations> };
  /** Pairs of an event and a destination that one answer counts. */
  pairs_max?: number;
}

export function createFates({ store, history, destinations, pairs_max = FATES_PAIRS_MAX }: FatesOptions) {
  /** @throws AppError invalid_request (since, cursor) */
  async function countFates(app_id: string, query: z.output<typeof FatesQuery>): Promise<z.output<typeof FatesAnswer>> {
    const stretch = stretchOf(app_id, query);
    const { destinations: known } = await destinations.ofApp(app_id);
    const size = Math.min(FATES_EVENTS_MAX, Math.ceil(pairs_max / Math.max(1, known.length)));
    const edge = await store.edgeOf(stretch, size);
    const part: Stretch = edge === null ? stretch : { ...stretch, end_position: edge };
    const found = await store.countFates(part);
    const by_destination = Map.groupBy(found, ({ destination_id }) => destination_id);
    const items = await Promise.all(
      [...by_destination].map(async ([destination_id, counts]) => {
        return { destination_id, fates: await tell(destination_id, counts) };
      }),
    );
    const [first] = by_destination.values();
    const events = first === undefined ? await store.countEvents(part) : sum(first);
    return { events, items, next_cursor: edge === null ? null : encodeCursor([edge]) };
  }

  async function tell(destination_id: string, counts: readonly FateCount[]): Promise<Counts> {
    // Object.fromEntries forgets the names of the keys.
    const told = Object.fromEntries(FATE_STATES.map((state) => [state, 0])) as Counts;
    const times = counts.flatMap(({ created_at }) => (created_at === null ? [] : [created_at]));
    const range = { from: earliest(times), until: latest(times) };
    const changes = times.length === 0 ? [] : await history.historyAround(destination_id, range);
    for (const { state, event, created_at, for_another, count } of counts) {
      if (state !== null || event === null || created_at === null) {
        told[state ?? "missed"] += count;
        continue;
      }
      const target_id = for_another === 1 ? "another" : null;
      told[fateWithout({ event, created_at, target_id }, destination_id, changes)] += count;
    }
    return told;
  }

  return { countFates };
}

function stretchOf(app_id: string, { since, until, cursor }: z.output<typeof FatesQuery>): Stretch {
  // No position is the smallest of its millisecond, so behind it is the same as from it on.
  const { from_position = uuidFloor(0), until_position = null } = positionRange({ since, until }, undefined);
  const after = cursor === undefined ? from_position : String(decodeCursor(cursor, ["string"])[0]);
  return { app_id, after: after > from_position ? after : from_position, end_position: until_position };
}

function earliest(times: readonly number[]): number {
  return times.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
}

function latest(times: readonly number[]): number {
  return times.reduce((most, at) => Math.max(most, at), 0);
}

function sum(counts: readonly FateCount[]): number {
  return counts.reduce((total, { count }) => total + count, 0);
}
