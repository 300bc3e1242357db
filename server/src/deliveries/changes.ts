// What the journal says of deliveries: which changed, and how. Pure. Written in the transactions that store, settle, replay,
// cancel, expire and erase deliveries; read by tail.ts. What a delivery is like now stands in its own row.
import type { ChangeKind } from "#contract/streams.ts";
import { eventPositionsIn, type JournalEntry, type JournalRow, listOf } from "../platform/journal.ts";
import type { DeliveryKey } from "./delivery.ts";

export interface Change {
  position: string;
  kind: ChangeKind;
  /** Which attempt was recorded; null for other changes. */
  number: number | null;
}

/** A list is groups, each a mark and the positions that it is true of: `A1:<position>,<position>;A2:<position>`. */
const MARKS = { attempted: "A", asked_for: "M", replayed: "R", canceled: "C", expired: "X", erased: "E" } as const;
type Marked = keyof typeof MARKS;
// Object.entries forgets the names of the keys.
const KINDS = new Map<string, Marked>(Object.entries(MARKS).map(([kind, mark]) => [mark, kind as Marked]));
/** New deliveries, by their places in the list of their app's events in the same row; alone: all of them. */
const CREATED = "+";

/** The deliveries of one destination that were made for some of an app's events, all in one transaction. */
export function createdList(positions: readonly string[], of_app: readonly string[]): string {
  if (positions.length === of_app.length) return CREATED;
  const places = new Map(of_app.map((position, place) => [position, place]));
  return CREATED + positions.map((position) => places.get(position)).join(",");
}

interface Group {
  attempt: number;
  positions: string[];
}

/** What one transaction records of finished attempts. */
export function attemptsEntry(finished: readonly { key: DeliveryKey; attempt: number }[], at: number): JournalEntry {
  const of_destinations = new Map<string, Group[]>();
  for (const { key, attempt } of finished) {
    const groups = of_destinations.get(key.destination_id);
    const last = groups?.at(-1);
    // Most are first attempts of the same destination.
    if (last?.attempt === attempt) last.positions.push(key.position);
    else if (groups !== undefined) groups.push({ attempt, positions: [key.position] });
    else of_destinations.set(key.destination_id, [{ attempt, positions: [key.position] }]);
  }
  const lists = new Map<string, string>();
  for (const [destination_id, groups] of of_destinations) {
    const written = groups.map(({ attempt, positions }) => `${MARKS.attempted}${attempt}:${positions.join(",")}`);
    lists.set(destination_id, written.join(";"));
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
  const lists = new Map([[destination_id, `${mark}:${positions.join(",")}`]]);
  return { part: `${mark}${positions[0]}${destination_id}`, at, lists };
}

/** What a row of the journal says of a destination, in the order in which it stands there. */
export function changesIn(row: JournalRow, destination: { id: string; app_id: string }): Change[] {
  const list = listOf(row, destination.id);
  if (list === undefined) return [];
  if (list.startsWith(CREATED)) return createdIn(row, destination.app_id, list.slice(CREATED.length));
  return list.split(";").flatMap((group): Change[] => {
    const [mark = "", positions = ""] = group.split(":");
    const kind = KINDS.get(mark.slice(0, 1));
    if (kind === undefined) return [];
    const number = kind === "attempted" ? Number(mark.slice(1)) : null;
    return positions.split(",").map((position) => ({ position, kind, number }));
  });
}

function createdIn(row: JournalRow, app_id: string, places: string): Change[] {
  const events = eventPositionsIn(row, app_id);
  const chosen = places === "" ? events : places.split(",").flatMap((place) => events[Number(place)] ?? []);
  return chosen.map((position) => ({ position, kind: "created", number: null }));
}
