// PostgreSQL 15 or newer behind `Database`: a bounded pool of pipelined connections, so that a batch is one round trip.
// Opened by database-open.ts. Deadlocks and serialization failures are tried again here; everything else is reported.
import pg from "pg";
import { AppError } from "../errors.ts";
import { type Database, DatabaseError, type DatabaseErrorKind, type Query, type Row } from "./database.ts";
import { isRows, localise, type Rows, type SqlValue, type Statement } from "./sql.ts";

const CONNECTIONS_DEFAULT = 10;
const CONNECT_TIMEOUT_MS = 3_000;
const STATEMENT_TIMEOUT_MS = 10_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** A server that has vanished answers nothing, not even the statement timeout. */
const ANSWER_TIMEOUT_MS = 12_000;
/** The protocol counts parameters in 16 bits. */
const PARAMETERS_MAX = 60_000;
const CONFLICT_TRIES = 5;

const OID_INT8 = 20;

export interface PostgresOptions {
  /** Most connections that this process opens. */
  readonly connections?: number;
}

/** Opens a pool; the first query connects. */
export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const types = new pg.TypeOverrides();
  // Times and counts stay far below 2^53.
  types.setTypeParser(OID_INT8, Number);
  const pool = new pg.Pool({
    connectionString: url,
    max: options.connections ?? CONNECTIONS_DEFAULT,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
    pipeline: true,
    application_name: "linkme-server",
    types,
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", () => {});
  // The same while it is in use, when the pool does not listen: whoever waits for its answers is told by their queries.
  pool.on("connect", (client) => client.on("error", () => {}));

  const query: Query = async <Result>(statement: Statement) => {
    if (statement.expect !== undefined || isChunked(statement)) return (await batch([statement]))[0] as Result[];
    return retryConflicts(() => translate(async () => (await run(pool, statement)) as Result[]));
  };

  function batch(statements: readonly Statement[]): Promise<Row[][]> {
    return retryConflicts(() => withClient(pool, (client) => runBatch(client, statements)));
  }

  function transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    return retryConflicts(() =>
      withClient(pool, async (client) => {
        await client.query("begin");
        const result = await work(async <R>(statement: Statement) => (await run(client, statement)) as R[]);
        await client.query("commit");
        return result;
      }),
    );
  }

  return { engine: "postgres", query, batch, transaction, close: () => pool.end() };
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

async function withClient<Result>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  return translate(async () => {
    const client = await pool.connect();
    let broken = true;
    try {
      const result = await work(client);
      broken = false;
      return result;
    } catch (error) {
      if (kindOf(error) !== "unavailable") {
        await client.query("rollback");
        broken = false;
      }
      throw error;
    } finally {
      // A connection in an unknown state is closed, which also undoes its transaction.
      client.release(broken);
    }
  });
}

async function run(client: pg.Pool | pg.PoolClient, statement: Statement): Promise<Row[]> {
  const pieces = isChunked(statement) ? chunks(statement) : [statement];
  const found = await settle(pieces.map((piece) => client.query<Row>(render(piece))));
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

function render(statement: Statement): { text: string; values: SqlValue[] } {
  const values: SqlValue[] = [];
  let text = statement.parts[0] ?? "";
  statement.values.forEach((value, index) => {
    text += isRows(value) ? renderRows(value, values) : `$${values.push(value)}`;
    text += statement.parts[index + 1] ?? "";
  });
  return { text: localise(text, "postgres"), values };
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
      const code = codeOf(error instanceof DatabaseError ? error.cause : error);
      if (left === 0 || (code !== "40001" && code !== "40P01")) throw error;
    }
  }
}

async function translate<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DatabaseError || !isDriverError(error)) throw error;
    throw new DatabaseError(kindOf(error), `PostgreSQL: ${error.message}`, { cause: error });
  }
}

/** A refusal thrown inside a transaction is the caller's own, although it has a code too. */
function isDriverError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof AppError) return false;
  return codeOf(error) !== undefined || CONNECTION_MESSAGES.test(error.message);
}

const CONNECTION_MESSAGES = /terminated|timeout|not queryable|closed|ended|ECONN|socket/i;
/** Connection lost, out of resources, shutting down or starting up, lock or statement timeout, network errors. */
const UNAVAILABLE_CODES = /^(08|53|57P|58|55P03|57014|25P0[34]|40001|40P01|25006|E[A-Z]+$)/;

function kindOf(error: unknown): DatabaseErrorKind {
  if (error instanceof DatabaseError) return error.kind;
  if (!isDriverError(error)) return "bug";
  const code = codeOf(error);
  if (code === "23505") return "unique";
  return code === undefined || UNAVAILABLE_CODES.test(code) ? "unavailable" : "bug";
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
