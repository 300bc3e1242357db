// SQL as text with values kept apart. `sql` builds a statement that both engines run: `$1` placeholders are numbered
// when the engine renders it, statements nest, and `rows` stands for a list of rows. Called by every store.
// Portable text only; the dialect differences are SKIP_LOCKED_TEXT, LOCKED_TEXT, KEPT_TEXT and ENGINE_TEXTS.
import assert from "node:assert/strict";

export type SqlValue = string | number | null;

/** A list of rows inside a statement. */
export interface Rows {
  readonly kind: "rows" | "each_row";
  readonly list: readonly (readonly SqlValue[])[];
  /** Column types, needed where PostgreSQL cannot infer them: in `from (values …)`. */
  readonly types: readonly ("text" | "bigint")[] | undefined;
}

export interface Statement {
  readonly kind: "statement";
  /** Text around the values: always one element more than `values`. */
  readonly parts: readonly string[];
  readonly values: readonly (SqlValue | Rows)[];
  /** When set, the statement must return exactly this many rows, or the whole batch is undone. */
  readonly expect?: number;
}

/** Locks claimed rows and passes over those that another process has locked; SQLite has one writer and needs neither. */
const SKIP_LOCKED_TEXT = "/* skip locked */";
export const SKIP_LOCKED: Statement = { kind: "statement", parts: [SKIP_LOCKED_TEXT], values: [] };

/** To be written out, so that a template stays one: locks what a subquery finds, in its order. See SKIP_LOCKED. */
const LOCKED_TEXT = "/* locked */";

/** Keeps what a statement has found from being deleted before its transaction ends, or finds it gone. See SKIP_LOCKED. */
const KEPT_TEXT = "/* kept */";
export const KEPT: Statement = { kind: "statement", parts: [KEPT_TEXT], values: [] };

/**
 * The place of a row in the journal, which is read in the order of the commits. SQLite's transactions follow one another, so
 * a row comes after all others. On PostgreSQL it is the number of the transaction, and only rows below SETTLED_TX are read:
 * no transaction with such a number is under way any more, in whichever order they end. UNBORN_TX is the first number that
 * no transaction of this cluster has had. Key and storage are for the migration: SQLite keeps a table in the order of such a
 * column without an index beside it, and PostgreSQL a row in its place that it would compress and store apart.
 * Counts in their key are for a migration too: SQLite keeps the table itself in the order of the key, and PostgreSQL, which
 * cannot, a copy of the counts in the index, from which alone it answers.
 */
const ENGINE_TEXTS = {
  "/* next tx */": {
    sqlite: "(select coalesce(max(tx), 0) + 1 from journal)",
    postgres: "pg_current_xact_id()::text::bigint",
  },
  "/* settled tx */": {
    sqlite: "9223372036854775807",
    postgres: "pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
  },
  "/* journal key */": {
    sqlite: "tx integer primary key, part text not null",
    postgres: "tx bigint not null, part text not null, primary key (tx, part)",
  },
  "/* journal storage */": { sqlite: "", postgres: "with (toast_tuple_target = 8160)" },
  "/* counts in key */": { sqlite: "", postgres: "include (clicks)" },
  "/* in key order */": { sqlite: "without rowid", postgres: "" },
  "/* unborn tx */": {
    sqlite: "9223372036854775807",
    postgres: "pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
  },
} as const;
export const NEXT_TX: Statement = { kind: "statement", parts: ["/* next tx */"], values: [] };
export const SETTLED_TX: Statement = { kind: "statement", parts: ["/* settled tx */"], values: [] };
export const UNBORN_TX: Statement = { kind: "statement", parts: ["/* unborn tx */"], values: [] };

/** Puts an engine's own expressions in. */
export function localise(text: string, engine: "sqlite" | "postgres"): string {
  if (!text.includes("/* ")) return text;
  let localised = text.replaceAll(SKIP_LOCKED_TEXT, engine === "postgres" ? "for update skip locked" : "");
  localised = localised.replaceAll(LOCKED_TEXT, engine === "postgres" ? "for no key update" : "");
  localised = localised.replaceAll(KEPT_TEXT, engine === "postgres" ? "for key share" : "");
  for (const [marker, texts] of Object.entries(ENGINE_TEXTS)) localised = localised.replaceAll(marker, texts[engine]);
  return localised;
}

/**
 * Builds a statement. Values become placeholders; a nested statement is spliced in.
 * @example sql`select * from links where slug = ${slug}`
 */
export function sql(strings: TemplateStringsArray, ...values: readonly (SqlValue | Rows | Statement)[]): Statement {
  let nested = false;
  for (const value of values) if (isStatement(value)) nested = true;
  // The common case shares the template's own strings, so that the engines can cache the rendered text by identity.
  if (!nested) return { kind: "statement", parts: strings, values: values as readonly (SqlValue | Rows)[] };
  return splice(strings, values);
}

/** A list of rows for `values ${rows(list)}`; SQLite runs the statement once per row, PostgreSQL once for all. */
export function rows(list: readonly (readonly SqlValue[])[], types?: Rows["types"]): Rows {
  assert(list.length > 0, "a statement over rows has at least one");
  return { kind: "rows", list, types };
}

/**
 * Changes many rows, each by its own values: `update t set a = column2 ${eachRow(list, types)} where id = column1`.
 * PostgreSQL joins the list with `from (values …)`; SQLite runs the statement once per row with `column1`, `column2`, … as
 * parameters, which costs it half. Such a statement takes no other values.
 */
export function eachRow(list: readonly (readonly SqlValue[])[], types: Rows["types"]): Rows {
  assert(list.length > 0, "a statement over rows has at least one");
  return { kind: "each_row", list, types };
}

/** The same statement, which must return exactly `count` rows. */
export function expectRows(count: number, statement: Statement): Statement {
  return { ...statement, expect: count };
}

/** Joins conditions with `and`; an empty list is `true`. */
export function allOf(conditions: readonly Statement[]): Statement {
  if (conditions.length === 0) return sql`true`;
  return join(conditions, " and ");
}

/**
 * Sets the named columns alone, so that two changes of one row at the same moment both hold; what is undefined is left out.
 * @param changes by column; the names come from our own code
 * @example sql`update apps set ${assign({ name: "Shop", updated_at: now })} where id = ${id}`
 */
export function assign(changes: Readonly<Record<string, SqlValue | undefined>>): Statement {
  const assignments = Object.entries(changes).flatMap(([column, value]): Statement[] => {
    assert.match(column, /^[a-z0-9_]+$/);
    return value === undefined ? [] : [{ kind: "statement", parts: [`${column} = `, ""], values: [value] }];
  });
  return join(assignments, ", ");
}

/** A comma-separated list of placeholders, for `in (${list(ids)})`. Never empty. */
export function list(values: readonly SqlValue[]): Statement {
  assert(values.length > 0, "`in ()` is no SQL");
  return {
    kind: "statement",
    parts: ["", ...values.map((_, index) => (index < values.length - 1 ? ", " : ""))],
    values,
  };
}

/**
 * The same, for long lists of any length: filled up with their last value to a power of two, so that there are few texts
 * to keep prepared.
 */
export function paddedList(values: readonly SqlValue[]): Statement {
  const length = 2 ** Math.ceil(Math.log2(values.length));
  return list(Array.from({ length }, (_, index) => values[Math.min(index, values.length - 1)] ?? null));
}

function join(statements: readonly Statement[], separator: string): Statement {
  const parts: string[] = [""];
  const values: (SqlValue | Rows)[] = [];
  statements.forEach((statement, index) => {
    append(parts, values, statement);
    if (index < statements.length - 1) parts[parts.length - 1] += separator;
  });
  return { kind: "statement", parts, values };
}

function splice(strings: TemplateStringsArray, inserted: readonly (SqlValue | Rows | Statement)[]): Statement {
  const parts: string[] = [strings[0] ?? ""];
  const values: (SqlValue | Rows)[] = [];
  inserted.forEach((value, index) => {
    if (isStatement(value)) append(parts, values, value);
    else {
      values.push(value);
      parts.push("");
    }
    parts[parts.length - 1] += strings[index + 1] ?? "";
  });
  return { kind: "statement", parts, values };
}

function append(parts: string[], values: (SqlValue | Rows)[], statement: Statement): void {
  parts[parts.length - 1] += statement.parts[0] ?? "";
  statement.values.forEach((value, index) => {
    values.push(value);
    parts.push(statement.parts[index + 1] ?? "");
  });
}

function isStatement(value: SqlValue | Rows | Statement): value is Statement {
  return typeof value === "object" && value !== null && value.kind === "statement";
}

export function isRows(value: SqlValue | Rows): value is Rows {
  return typeof value === "object" && value !== null;
}
