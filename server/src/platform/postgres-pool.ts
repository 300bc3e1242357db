// The connections of one process to PostgreSQL: as many as it was given, to the server that takes writes. Used by postgres.ts.
// After a fail-over nobody has to restart anything: a connection to a server that has become read-only is dropped together
// with all others of its time, and of several hosts the next one is tried.
import pg from "pg";
import { DatabaseError } from "./database.ts";
import { codeOf, connectionError, READ_ONLY_CODE } from "./postgres-errors.ts";
import { splitHosts } from "./postgres-hosts.ts";

const CONNECT_TIMEOUT_MS = 3_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** How much longer than the server's own limit an answer is waited for: a server that has vanished keeps to none. */
const ANSWER_MARGIN_MS = 2_000;
/** What the pool says to whoever waited so long for a connection. */
const WAITED_MESSAGE = "timeout exceeded when trying to connect";
/** Callers that wait for a connection; with more the database is behind by seconds, and they are told to come again. */
const WAITING_MAX = 1_000;

const OID_INT8 = 20;

export interface PoolOptions {
  readonly connections: number;
  readonly statement_timeout_ms: number;
}

export interface Pool {
  /** @throws DatabaseError "unavailable" */
  connect(): Promise<pg.PoolClient>;
  /** Gives a connection back; after an error that leaves it in an unknown state it is closed. */
  release(client: pg.PoolClient, is_broken: boolean, error: unknown): void;
  /** How to connect to the server in use, for a connection beside the pool. */
  config(): pg.ClientConfig;
  close(): Promise<void>;
}

/** How long a client waits for what the server may take so long for. */
export function answerTimeoutMs(statement_timeout_ms: number): number {
  return statement_timeout_ms + ANSWER_MARGIN_MS;
}

export function createPool(url: string, { connections, statement_timeout_ms }: PoolOptions): Pool {
  const hosts = splitHosts(url);
  let host = 0;
  const types = new pg.TypeOverrides();
  // Times and counts stay far below 2^53.
  types.setTypeParser(OID_INT8, Number);
  const settings: pg.ClientConfig = {
    statement_timeout: statement_timeout_ms,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    query_timeout: answerTimeoutMs(statement_timeout_ms),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: "linkme-server",
    types,
  };
  const config = (): pg.ClientConfig => ({ ...settings, connectionString: hosts[host] ?? url });
  const pool = new pg.Pool({
    ...config(),
    max: connections,
    pipeline: true,
    // Of one host alone whatever it can do is better than nothing: a database that only reads still finds links.
    ...(hosts.length > 1 && { onConnect: refuseReadOnly }),
  });
  /** Connections that were made before the last fail-over are of an older generation. */
  let generation = 0;
  const born = new WeakMap<pg.PoolClient, number>();
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => {
    born.set(client, generation);
    // The same while it is in use, when the pool does not listen: whoever waits for its answers is told by their queries.
    client.on("error", () => {});
  });

  async function connect(): Promise<pg.PoolClient> {
    if (pool.waitingCount >= WAITING_MAX) throw tooMany();
    let failures = 0;
    for (;;) {
      const tried = host;
      try {
        const client = await pool.connect();
        if (born.get(client) === generation) return client;
        client.release(true);
      } catch (error) {
        // That all are in use says nothing about the host.
        if (error instanceof Error && error.message === WAITED_MESSAGE) throw allInUse(connections);
        tryNextHost(tried);
        if (++failures >= hosts.length) throw connectionError(error);
      }
    }
  }

  function tryNextHost(failed: number): void {
    if (failed !== host) return;
    host = (host + 1) % hosts.length;
    // Read by the pool for each connection that it makes.
    pool.options.connectionString = hosts[host];
  }

  function release(client: pg.PoolClient, is_broken: boolean, error: unknown): void {
    if (codeOf(error) === READ_ONLY_CODE && born.get(client) === generation) {
      generation++;
      tryNextHost(host);
    }
    client.release(is_broken);
  }

  return { connect, release, config, close: () => pool.end() };
}

/** A connection that is being made is one in use, and so is one whose query has no answer yet. */
const CAUSES =
  "Either it does not answer at all: see whether it runs and can be reached. Or it is too slow for this load, or LINKME_DATABASE_CONNECTIONS is too low.";

function allInUse(connections: number): DatabaseError {
  const message = `PostgreSQL: all ${connections} connections were in use for ${CONNECT_TIMEOUT_MS} ms. ${CAUSES}`;
  return new DatabaseError("unavailable", message);
}

function tooMany(): DatabaseError {
  const message = `PostgreSQL: ${WAITING_MAX} callers wait for a connection already. ${CAUSES}`;
  return new DatabaseError("unavailable", message);
}

async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ transaction_read_only: string }>("show transaction_read_only");
  if (rows[0]?.transaction_read_only !== "on") return;
  throw Object.assign(new Error("none of the hosts takes writes"), { code: READ_ONLY_CODE });
}
