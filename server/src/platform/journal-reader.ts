// Goes through what the journal says of one topic, entry by entry, and knows at each entry how to go on behind it later,
// from another process if need be. Made by the sources of streams.
import type { JournalRow } from "./journal.ts";
import type { JournalStore, Place } from "./journal-store.ts";

/** The last row that is behind the reader, and how many entries of the next row that names the topic are. */
export interface ReaderPlace extends Place {
  index: number;
}

export interface Read<Entry> {
  entry: Entry;
  /** Where to go on behind it. */
  place: ReaderPlace;
}

export function createJournalReader<Entry>(
  journal: Pick<JournalStore, "page">,
  topic: string,
  from: ReaderPlace,
  entriesOf: (row: JournalRow) => readonly Entry[],
) {
  let place = from;
  /** What was read and not taken. */
  let waiting: Read<Entry>[] = [];
  let end: Place = from;
  let is_full = false;

  /** At most so many; `is_done` when that was all there is at the moment. */
  async function take(limit: number): Promise<{ taken: Read<Entry>[]; is_done: boolean }> {
    if (waiting.length === 0) await read();
    const taken = waiting.splice(0, limit);
    place = taken.at(-1)?.place ?? place;
    if (waiting.length === 0) place = { tx: end.tx, part: end.part, index: 0 };
    return { taken, is_done: waiting.length === 0 && !is_full };
  }

  async function read(): Promise<void> {
    const page = await journal.page(topic, place);
    let skipped = place.index;
    const found: Read<Entry>[] = [];
    for (const { row, before } of page.rows) {
      const entries = entriesOf(row);
      for (let index = skipped; index < entries.length; index++) {
        const is_last = index === entries.length - 1;
        const { tx, part } = is_last ? row : before;
        // The index is within the list.
        found.push({ entry: entries[index] as Entry, place: { tx, part, index: is_last ? 0 : index + 1 } });
      }
      // A row that a pattern found by mistake has no entries; the count is for the first that has.
      if (entries.length > 0) skipped = 0;
    }
    waiting = found;
    end = page.end;
    is_full = page.is_full;
  }

  return { take, place: () => place };
}
