// Where a stream of events comes from: the journal, in the order of the commits, so that an event which is committed late, with
// a position from long ago, is not missed. A stream that begins in the past goes by positions first: up to the newest one
// that is there after the journal's last row was looked up, leaving out what the journal will bring.
import { invalid } from "../errors.ts";
import { uuidFloor } from "../platform/ids.ts";
import { eventPositionsIn } from "../platform/journal.ts";
import { createJournalReader } from "../platform/journal-reader.ts";
import type { JournalStore, Place } from "../platform/journal-store.ts";
import { type Cursor, type Message, readCursor, type Source, writeCursor } from "../platform/stream.ts";
import { BODIES_MAX, type EventTailStore, POSITIONS_MAX, type TailFilter } from "./tail-store.ts";

/** Late events, among those that a stream has yet to go through by position, that it keeps in mind. */
const LATE_MAX = 100_000;

export interface EventTailOptions {
  store: EventTailStore;
  journal: Pick<JournalStore, "page" | "glimpse" | "head" | "has">;
  now(): number;
}

export interface TailStart {
  /** The cursor of the last message, which counts more than `since`. */
  last_id?: string | undefined;
  since?: string | undefined;
}

export type EventTail = ReturnType<typeof createEventTail>;

export function createEventTail(options: EventTailOptions) {
  const { store, journal, now } = options;

  /** @throws AppError invalid_request (last-event-id) */
  async function open(app_id: string, filter: TailFilter, { last_id, since }: TailStart): Promise<Source> {
    if (last_id !== undefined) {
      const cursor = readCursor(last_id);
      if (await journal.has(cursor)) return createSource(options, app_id, filter, cursor);
      if (cursor.position === "") throw invalid("last-event-id", "the id of a message of a stream of events");
      return createSource(options, app_id, filter, await throughPositions(app_id, cursor.position));
    }
    if (since === undefined) {
      const cursor = { ...(await journal.head()), index: 0, position: uuidFloor(now()), until: "" };
      return createSource(options, app_id, filter, cursor);
    }
    return createSource(options, app_id, filter, await throughPositions(app_id, uuidFloor(Date.parse(since))));
  }

  /** Whatever is in the journal up to its last row is visible to what is read after that. */
  async function throughPositions(app_id: string, position: string): Promise<Cursor> {
    const head = await journal.head();
    const until = (await store.newest(app_id)) ?? "";
    return { ...head, index: 0, position, until: until > position ? until : "" };
  }

  return { open };
}

function createSource({ store, journal }: EventTailOptions, app_id: string, filter: TailFilter, start: Cursor): Source {
  let { position, until } = start;
  /** Positions that are gone through, yet not read. */
  let ahead: string[] = [];
  const late = createLate(journal, app_id, start);
  const reader = createJournalReader(journal, app_id, start, (row) => eventPositionsIn(row, app_id));

  async function next() {
    return until === "" ? nextOfJournal() : nextOfPositions();
  }

  async function nextOfJournal() {
    const { taken, is_done } = await reader.take(BODIES_MAX);
    const bodies = await bodiesOf(taken.map(({ entry }) => entry));
    const messages = taken.flatMap(({ entry, place }): Message[] => {
      if (entry > position) position = entry;
      const data = bodies.get(entry);
      return data === undefined ? [] : [{ id: writeCursor({ ...place, position, until }), data }];
    });
    return { messages, is_done };
  }

  async function nextOfPositions() {
    if (ahead.length === 0) {
      const found = await store.positions(app_id, position, until);
      // After it: what is visible there and comes in the journal too has its row there now.
      const coming = await late.between(position, until);
      ahead = found.filter((one) => !coming.has(one));
      if (ahead.length === 0) position = found.at(-1) ?? until;
      if (found.length < POSITIONS_MAX && ahead.length === 0) until = "";
      if (ahead.length === 0) return { messages: [], is_done: false };
    }
    const taken = ahead.splice(0, BODIES_MAX);
    const bodies = await bodiesOf(taken);
    const messages = taken.flatMap((one): Message[] => {
      position = one;
      const data = bodies.get(one);
      return data === undefined ? [] : [{ id: cursor(), data }];
    });
    return { messages, is_done: false };
  }

  async function bodiesOf(positions: readonly string[]): Promise<Map<string, string>> {
    if (positions.length === 0) return new Map();
    const found = await store.bodies(app_id, positions, filter);
    return new Map(found.map((row) => [row.position, row.body]));
  }

  const cursor = () => writeCursor({ ...reader.place(), position, until });
  return { next, cursor, notice: null };
}

/** What the journal brings behind a place, of positions that are gone through before it. */
function createLate(journal: Pick<JournalStore, "glimpse">, app_id: string, from: Place) {
  const known = new Set<string>();
  /** Rows behind it are read again each time, for others may come before them. */
  let place = from;

  async function between(after: string, until: string): Promise<ReadonlySet<string>> {
    for (const one of known) if (one <= after) known.delete(one);
    let at = place;
    for (let is_full = true; is_full; ) {
      const glimpse = await journal.glimpse(app_id, at);
      for (const row of glimpse.rows) {
        for (const position of eventPositionsIn(row, app_id)) {
          if (position > after && position <= until) known.add(position);
        }
      }
      if (known.size > LATE_MAX) throw new Error("Too many events were committed late to go through them by position.");
      at = glimpse.end;
      place = glimpse.settled ?? place;
      is_full = glimpse.is_full;
    }
    return known;
  }

  return { between };
}
