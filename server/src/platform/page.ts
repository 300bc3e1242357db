// Pages of lists that are sorted newest first, by time of creation and id. Called by modules whose lists have no filter that
// could look at many rows for nothing; those that do end their pages by PAGE_SCAN_MAX.
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { type Statement, sql } from "./sql.ts";

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export interface PageInput {
  limit: number;
  cursor?: string | undefined;
}

/** Where a page begins: after this item. */
export interface After {
  created_at: number;
  id: string;
}

/** @throws AppError `invalid_request` with the path `cursor` */
export function placeOf({ cursor }: Pick<PageInput, "cursor">): After | null {
  if (cursor === undefined) return null;
  const [created_at, id] = decodeCursor(cursor, ["number", "string"]);
  return { created_at: Number(created_at), id: String(id) };
}

export function cursorOf(place: After | null): string | null {
  return place === null ? null : encodeCursor([place.created_at, place.id]);
}

/** The rows behind a place, as a condition. */
export function after(place: After | null): Statement {
  return place === null ? sql`true` : sql`(created_at, id) < (${place.created_at}, ${place.id})`;
}

/** The rows were asked for with one more than the limit, which tells whether another page follows. */
export function composePage<Row extends After, Item>(
  rows: readonly Row[],
  limit: number,
  show: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  return { items: shown.map(show), next_cursor: rows.length > limit ? cursorOf(shown.at(-1) ?? null) : null };
}
