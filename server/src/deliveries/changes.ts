// What the journal says of deliveries: which changed, and how. Pure. Written in the transactions that store, settle, replay
// and cancel deliveries; read by tail.ts. What a delivery is like now stands in its own row.
import type { ChangeKind } from "#contract/streams.ts";
import { type JournalEntry, type JournalRow, listOf, pack, unpack } from "../platform/journal.ts";
import type { DeliveryKey } from "./delivery.ts";

export interface Change {
  position: string;
  kind: ChangeKind;
  /** Which attempt was recorded; null for other changes. */
  number: number | null;
}

const MARKS = { attempted: "A", asked_for: "M", replayed: "R", canceled: "C" } as const;
type Marked = keyof typeof MARKS;
const KINDS = new Map(Object.entries(MARKS).map(([kind, mark]) => [mark, kind as Marked]));
/** New deliveries, by their places in the list of their app's events in the same row; alone: all of them. */
const CREATED = "+";

/** The deliveries of one destination that were made for some of an app's events, all in one transaction. */
export function createdList(positions: readonly string[], of_app: readonly string[]): string {
  if (positions.length === of_app.length) return CREATED;
  const places = new Map(of_app.map((position, place) => [position, place]));
  return CREATED + positions.map((position) => places.get(position)).join(",");
}

/** What one transaction records of finished attempts. */
export function attemptsEntry(finished: readonly { key: DeliveryKey; attempt: number }[], at: number): JournalEntry {
  const of_destinations = new Map<string, { key: DeliveryKey; attempt: number }[]>();
  for (const one of finished) {
    const known = of_destinations.get(one.key.destination_id);
    if (known === undefined) of_destinations.set(one.key.destination_id, [one]);
    else known.push(one);
  }
  const lists = new Map<string, string>();
  for (const [destination_id, list] of of_destinations) {
    const positions = list.map(({ key }) => key.position);
    lists.set(
      destination_id,
      pack(positions, (index) => MARKS.attempted + (list[index]?.attempt ?? 0)),
    );
  }
  const [first] = finished;
  const part = `A${first?.attempt}${first?.key.position}${first?.key.destination_id}`;
  return { part, at, lists };
}

/** What else happened to deliveries of one destination. */
export function changeEntry(
  kind: Exclude<Marked, "attempted">,
  destination_id: string,
  positions: readonly string[],
  at: number,
): JournalEntry {
  const mark = MARKS[kind];
  return {
    part: `${mark}${positions[0]}${destination_id}`,
    at,
    lists: new Map([[destination_id, pack(positions, () => mark)]]),
  };
}

/** What a row of the journal says of a destination, in the order in which it stands there. */
export function changesIn(row: JournalRow, destination: { id: string; app_id: string }): Change[] {
  const list = listOf(row, destination.id);
  if (list === undefined) return [];
  if (list.startsWith(CREATED)) return createdIn(row, destination.app_id, list.slice(CREATED.length));
  return unpack(list).flatMap(({ position, mark }): Change[] => {
    const kind = KINDS.get(mark.slice(0, 1) as (typeof MARKS)[Marked]);
    if (kind === undefined) return [];
    return [{ position, kind, number: kind === "attempted" ? Number(mark.slice(1)) : null }];
  });
}

function createdIn(row: JournalRow, app_id: string, places: string): Change[] {
  const events = unpack(listOf(row, app_id) ?? "");
  const chosen = places === "" ? events : places.split(",").flatMap((place) => events[Number(place)] ?? []);
  return chosen.map(({ position }) => ({ position, kind: "created", number: null }));
}
