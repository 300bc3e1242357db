// How a row of the journal is made and read: which topics one transaction changed, and for each the list of what. Pure.
// Written by everything that stores events or changes deliveries, in the same transaction; read by streams. A topic is an
// app's id (its events) or a destination's (its deliveries). A list is a line of text: an app's is its positions, a
// destination's is explained in deliveries/changes.ts.
import { hash } from "node:crypto";
import { NEXT_TX, rows, type SqlValue, type Statement, sql } from "./sql.ts";

const NAME_CHARS = 12;

export interface JournalEntry {
  /** Unique among the rows of its transaction; a digest of it is stored. */
  part: string;
  /** When it is written, in ms since 1970; only for its removal. */
  at: number;
  lists: ReadonlyMap<string, string>;
}

export interface JournalRow {
  tx: number;
  part: string;
  topics: string;
  changes: string;
}

/** The list of an app. */
export function eventPositionsIn(row: JournalRow, app_id: string): string[] {
  const list = listOf(row, app_id);
  return list === undefined ? [] : list.split(",");
}

/** What a row says of a topic; undefined when it says nothing. */
export function listOf({ topics, changes }: JournalRow, topic: string): string | undefined {
  const at = topics.trim().split(" ").indexOf(topic);
  return at < 0 ? undefined : changes.split("\n")[at];
}

/** The engines keep the rendered text by the identity of its parts, so they are made once. */
const INSERT = sql`insert into journal (tx, part, written_at, topics, changes)
  values (${NEXT_TX}, ${"part"}, ${"at"}, ${"topics"}, ${"changes"})`;

export function insertJournal({ part, at, lists }: JournalEntry): Statement {
  return { ...INSERT, values: [nameOf(part), at, topicsOf(lists), changesOf(lists)] };
}

/**
 * A row for each entry, unless what it is about has been stored before: `known` is a condition over `made.column5`,
 * `made.column6` and so on, which are the entry's keys.
 */
export function insertJournalUnless(
  known: Statement,
  entries: readonly { entry: JournalEntry; keys: readonly SqlValue[] }[],
  types: readonly ("text" | "bigint")[],
): Statement {
  const values = entries.map(({ entry, keys }): SqlValue[] => [
    ...[nameOf(entry.part), entry.at, topicsOf(entry.lists), changesOf(entry.lists), ...keys],
  ]);
  return sql`insert into journal (tx, part, written_at, topics, changes)
    select ${NEXT_TX}, made.column1, made.column2, made.column3, made.column4
    from (values ${rows(values, ["text", "bigint", "text", "text", ...types])}) as made where not (${known})`;
}

/** Stands in the ids of streams, also in those of other apps, whom no event's id is to be told. */
function nameOf(part: string): string {
  return hash("sha256", part, "base64url").slice(0, NAME_CHARS);
}

function topicsOf(lists: JournalEntry["lists"]): string {
  return ` ${[...lists.keys()].join(" ")} `;
}

function changesOf(lists: JournalEntry["lists"]): string {
  return [...lists.values()].join("\n");
}
