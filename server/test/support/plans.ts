// What an engine means to do for the statements that the running code gave it: recorded under a real server, explained
// afterwards, and read for scans of tables that grow without end. Called by server/test/conformance/plans.test.ts.
import type { Database, Query } from "../../src/platform/database.ts";
import { isRows, type Statement } from "../../src/platform/sql.ts";

/** Tables with millions of rows. */
export const LARGE_TABLES = [
  "events",
  "deliveries",
  "attempts",
  "clicks",
  "click_hours",
  "click_days",
  "click_parts",
  "click_tallies",
  "link_tallies",
  "app_events",
  "identities",
  "links",
];
const EXPLAINED = /^\s*(with|select|insert|update|delete)\b/i;

export interface Recording {
  db: Database;
  /** Each text once for each number of rows that it came with, one or several, with the fewest values. */
  statements(): Statement[];
}

/** A database that remembers what it is asked, from the first call of `begin` on. */
export function record(database: Database): Recording {
  const seen = new Map<string, Statement>();
  const note = (statement: Statement) => {
    const bulk = statement.values.find(isRows);
    const text = `${bulk === undefined || bulk.list.length > 1} ${statement.parts.join("?")}`;
    const before = seen.get(text);
    // The fewest rows: one that names a good part of so small a table is right to read it all.
    if (before === undefined || sizeOf(statement) < sizeOf(before)) seen.set(text, statement);
  };
  const noting = (query: Query): Query => {
    return <Result>(statement: Statement) => {
      note(statement);
      return query<Result>(statement);
    };
  };
  const db: Database = {
    ...database,
    query: noting(database.query),
    batch(statements) {
      statements.forEach(note);
      return database.batch(statements);
    },
    transaction: (work, limits) => database.transaction((query) => work(noting(query)), limits),
  };
  return { db, statements: () => [...seen.values()].filter(({ parts }) => EXPLAINED.test(parts[0] ?? "")) };
}

function sizeOf({ values }: Statement): number {
  return values.find(isRows)?.list.length ?? 0;
}

/** What the engine would read from end to end, in words; empty when it seeks everywhere. */
export async function findScans(database: Database, statement: Statement): Promise<string[]> {
  const rows = await askForPlan(database, statement);
  const text = statement.parts.join("?").replaceAll(/\s+/g, " ");
  const found = database.engine === "postgres" ? postgresScans(rows) : sqliteScans(rows, text);
  return found.map((scan) => `${scan}: ${text}`);
}

/** The whole plan, as a text to look for names in. */
export async function explain(database: Database, statement: Statement): Promise<string> {
  return JSON.stringify(await askForPlan(database, statement));
}

function askForPlan(database: Database, { expect: _, ...statement }: Statement): Promise<Record<string, unknown>[]> {
  const prefix = database.engine === "postgres" ? "explain (format json) " : "explain query plan ";
  const parts = [prefix + (statement.parts[0] ?? ""), ...statement.parts.slice(1)];
  return database.query<Record<string, unknown>>({ ...statement, parts });
}

/** Those parts of a node that are looked at. */
interface Node {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Index Cond"?: string;
  Plans?: Node[];
}

function postgresScans(rows: readonly Record<string, unknown>[]): string[] {
  // The documented form of EXPLAIN (FORMAT JSON): one list of one plan.
  const plans = rows.flatMap((row) => row["QUERY PLAN"] as { Plan: Node }[]);
  return plans.flatMap(({ Plan }) => [...scansOf(Plan, false)]);
}

function* scansOf(node: Node, is_limited: boolean): Generator<string> {
  const { "Node Type": type, "Relation Name": table = "", "Index Name": index = "" } = node;
  if (type === "Seq Scan" && LARGE_TABLES.includes(table)) yield `Seq Scan of ${table}`;
  // Reading an index in its order, until there is enough, is a seek too.
  const reads_all = /^(Index|Bitmap Index|Index Only) Scan$/.test(type) && node["Index Cond"] === undefined;
  if (reads_all && !is_limited && LARGE_TABLES.some((large) => index.startsWith(large))) yield `all of ${index}`;
  const below = is_limited || type === "Limit";
  for (const child of node.Plans ?? []) yield* scansOf(child, below);
}

function sqliteScans(rows: readonly Record<string, unknown>[], text: string): string[] {
  const details = rows.map(({ detail }) => String(detail));
  return details.filter((detail) => {
    const [, name = ""] = /^SCAN (\w+)/.exec(detail) ?? [];
    if (!LARGE_TABLES.some((large) => name === large || aliasesOf(large, text).includes(name))) return false;
    // An index is read in its order until there is enough.
    return !/USING (COVERING )?INDEX/.test(detail) || !/\blimit\b/.test(text);
  });
}

function aliasesOf(table: string, text: string): string[] {
  return [...text.matchAll(new RegExp(`\\b${table} as (\\w+)`, "g"))].map(([, alias = ""]) => alias);
}

/** An index that begins with the app alone would go through all that the app has. */
export const OF_PERSON = /from (?:events|app_events|clicks) where app_id = \? and (?:cid|user_id|device) = \? and/;

/** What has to be served by an index of its own, whatever the planner is told. */
export const SERVED_BY: readonly (readonly [statement: RegExp, index: RegExp])[] = [
  [OF_PERSON, /(?:events|clicks)_(?:cid|user|device)\b|clicks_pkey|sqlite_autoindex_clicks/],
  // Every other index that helps with these reads all that is pending of a destination.
  [/f\.order_key/, /deliveries_first/],
  // So do all others than the one in the order in which deliveries are due.
  [/as o where o\.created_at|as l\) as h\s+where order_key/, /deliveries_due/],
  // No other knows the network.
  [/claimed_at is null and platform in/, /clicks_match/],
];
