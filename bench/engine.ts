// The database of one server run: a new SQLite file, or a new PostgreSQL database beside the one that the caller
// named, dropped afterwards. Called by processes.ts, and by main.ts for the version.
import { join } from "node:path";
import pg from "pg";
import type { Engine } from "./options.ts";

const CONNECT_TIMEOUT_MS = 10_000;

export type Database = { url: string; drop: () => Promise<void> };

/** @param directory where the SQLite file goes */
export async function createDatabase(engine: Engine, directory: string): Promise<Database> {
  if (engine.kind === "sqlite") return { url: `file:${join(directory, "linkme.db")}`, drop: async () => undefined };
  const name = `linkme_bench_${process.pid}_${Date.now()}`;
  await execute(engine.url, `create database ${name}`);
  const drop = async () => {
    await execute(engine.url, `drop database if exists ${name} with (force)`);
  };
  const url = new URL(engine.url);
  url.pathname = `/${name}`;
  return { url: url.href, drop };
}

/** For the head of a report, like `PostgreSQL 15.14`. */
export async function engineVersion(engine: Engine): Promise<string> {
  if (engine.kind === "sqlite") return `SQLite ${process.versions["sqlite"]}`;
  const [row] = await execute(engine.url, "show server_version");
  return `PostgreSQL ${String(row?.["server_version"]).split(" ")[0]}`;
}

async function execute(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}
