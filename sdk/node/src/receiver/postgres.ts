// What the two tables of the receiver in PostgreSQL have in common: the client, and names that are put into statements.
import { optionError } from "./options.ts";

/** A `Pool` or a `Client` of pg, or anything that has its `query`. */
export interface PostgresLike {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
}

const TABLE_FORM = /^[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?$/;

/** @throws {LinkMeUsageError} `receiver_option`: what is no name would be a piece of SQL. */
export function checkTable(table: string): string {
  if (TABLE_FORM.test(table)) return table;
  throw optionError(
    `table must be a name in lower case, with its schema if need be (shop.linkme), unlike ${JSON.stringify(table)}.`,
  );
}

/** The name of an index of a table; indexes live in the schema of theirs. */
export function indexOf(table: string, suffix: string): string {
  return `${table.split(".").at(-1)}_${suffix}`;
}
