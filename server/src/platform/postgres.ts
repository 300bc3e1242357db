// PostgreSQL 15 or newer behind `Database`: a bounded pool of pipelined connections, so that a batch is one round trip.
// Opened by database-open.ts. Deadlocks and serialization failures are tried again here; everything else is reported.
import type pg from "pg";
import { type Database, DatabaseError, type Limits, type Query, type Row } from "./database.ts";
import { codeOf, kindOf, translate } from "./postgres-errors.ts";
import { answerTimeoutMs, createPool, type Pool } from "./postgres-pool.ts";
import { createWire, openLine } from "./postgres-wire.ts";
import { isRows, localise, type Rows, type SqlValue, type Statement } from "./sql.ts";

const CONNECTIONS_DEFAULT = 10;
/** Kept for the connection that listens. */
const LISTENING = 1;
const STATEMENT_TIMEOUT_MS = 10_000;
/** The protocol counts parameters in 16 bits. */
const PARAMETERS_MAX = 60_000;
const CONFLICT_TRIES = 5;

export interface PostgresOptions {
  /** Most connections that this process opens, the one that listens included; at least 2. */
  readonly connections?: number;
  readonly statement_timeout_ms?: number;
}

/** Opens a pool; the first query connects. */
export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const pool = createPool(url, {
    connections: Math.max(1, (options.connections ?? CONNECTIONS_DEFAULT) - LISTENING),
    statement_timeout_ms: options.statement_timeout_ms ?? STATEMENT_TIMEOUT_MS,
  });

  // What the columns are only the text of the statement says: whoever writes it names the type of its rows.
  const query: Query = async <Result>(statement: Statement) => {
    if (statement.expect !== undefined || isChunked(statement)) return (await batch([statement]))[0] as Result[];
    return retryConflicts(() => withClient(pool, async (client) => (await run(client, statement)) as Result[], false));
  };

  function batch(statements: readonly Statement[]): Promise<Row[][]> {
    return retryConflicts(() => withClient(pool, (client) => runBatch(client, statements)));
  }

  function transaction<Result>(work: (query: Query) => Promise<Result>, limits: Limits = {}): Promise<Result> {
    const { statement_ms } = limits;
    const wait_ms = statement_ms === undefined ? undefined : answerTimeoutMs(statement_ms);
    return retryConflicts(() =>
      withClient(pool, async (client) => {
        await client.query("begin");
        if (statement_ms !== undefined) await client.query(`set local statement_timeout = ${statement_ms}`);
        // As above.
        const result = await work(async <R>(statement: Statement) => (await run(client, statement, wait_ms)) as R[]);
        await client.query("commit");
        return result;
      }),
    );
  }

  const wire = createWire({
    open: (channel) => openLine(pool.config(), channel),
    async notify(channel, text) {
      await withClient(pool, (client) => client.query("select pg_notify($1, $2)", [channel, text]), false);
    },
  });
  return { engine: "postgres", query, batch, transaction, wire, close: pool.close };
}

/** One transaction in one round trip: everything is sent before the first answer, unless a result decides. */
async function runBatch(client: pg.PoolClient, statements: readonly Statement[]): Promise<Row[][]> {
  const begun = client.query("begin");
  const running = statements.map((statement) => run(client, statement));
  const rows = settle(running);
  if (statements.every((statement) => statement.expect === undefined)) {
    await settle<unknown>([begun, rows, client.query("commit")]);
    return rows;
  }
  await settle<unknown>([begun, rows]);
  await client.query("commit");
  return rows;
}

/** Waits for all, so that no answer is left over, then throws the first failure: the later ones only follow from it. */
async function settle<Result>(promises: readonly Promise<Result>[]): Promise<Result[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/** `in_transaction`: what fails is undone before the connection is given back. */
async function withClient<Result>(
  pool: Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
  in_transaction = true,
): Promise<Result> {
  return translate(async () => {
    const client = await pool.connect();
    let broken = true;
    let failure: unknown;
    try {
      const result = await work(client);
      broken = false;
      return result;
    } catch (error) {
      failure = error;
      if (kindOf(error) !== "unavailable") {
        if (in_transaction) await client.query("rollback");
        broken = false;
      }
      throw error;
    } finally {
      // A connection in an unknown state is closed, which also undoes its transaction.
      pool.release(client, broken, failure);
    }
  });
}

async function run(client: pg.PoolClient, statement: Statement, wait_ms?: number): Promise<Row[]> {
  const pieces = isChunked(statement) ? chunks(statement) : [statement];
  const found = await settle(pieces.map((piece) => client.query<Row>(render(piece, wait_ms))));
  const result = found.length === 1 ? (found[0]?.rows ?? []) : found.flatMap((one) => one.rows);
  const count = found.reduce((sum, one) => sum + (one.fields.length > 0 ? one.rows.length : (one.rowCount ?? 0)), 0);
  if (statement.expect !== undefined && statement.expect !== count) {
    throw new DatabaseError("unmet", `PostgreSQL: expected ${statement.expect} rows, got ${count}`);
  }
  return result;
}

function isChunked(statement: Statement): boolean {
  const bulk = statement.values.find(isRows);
  return bulk !== undefined && bulk.list.length * (bulk.list[0]?.length ?? 0) > PARAMETERS_MAX;
}

function chunks(statement: Statement): Statement[] {
  const bulk = statement.values.find(isRows);
  if (bulk === undefined) return [statement];
  const size = Math.floor(PARAMETERS_MAX / (bulk.list[0]?.length ?? 1));
  const pieces: Statement[] = [];
  for (let from = 0; from < bulk.list.length; from += size) {
    const part: Rows = { ...bulk, list: bulk.list.slice(from, from + size) };
    pieces.push({ ...statement, values: statement.values.map((value) => (value === bulk ? part : value)) });
  }
  return pieces;
}

/** `query_timeout`: how long the client waits for the answer, where that differs from its pool's. */
interface Rendered extends pg.QueryConfig {
  query_timeout?: number;
}

function render(statement: Statement, wait_ms: number | undefined): Rendered {
  const values: SqlValue[] = [];
  let text = statement.parts[0] ?? "";
  statement.values.forEach((value, index) => {
    text += isRows(value) ? renderRows(value, values) : `$${values.push(value)}`;
    text += statement.parts[index + 1] ?? "";
  });
  text = localise(text, "postgres");
  return wait_ms === undefined ? { text, values } : { text, values, query_timeout: wait_ms };
}

function renderRows(bulk: Rows, values: SqlValue[]): string {
  const list = bulk.list
    .map((row, number) => {
      const fields = row.map((value, column) => {
        const cast = number === 0 && bulk.types ? `::${bulk.types[column] ?? "text"}` : "";
        return `$${values.push(value)}${cast}`;
      });
      return `(${fields.join(", ")})`;
    })
    .join(", ");
  return bulk.kind === "each_row" ? `from (values ${list}) as each_row` : list;
}

async function retryConflicts<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let left = CONFLICT_TRIES - 1; ; left--) {
    try {
      return await work();
    } catch (error) {
      // 40001 serialization failure, 40P01 deadlock: PostgreSQL undid everything and asks for another try.
      const code = codeOf(error);
      if (left === 0 || (code !== "40001" && code !== "40P01")) throw error;
    }
  }
}
