// The database of one server run: a new SQLite file, or a new PostgreSQL database beside the one that the caller
// named, dropped afterwards. Called by processes.ts.
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
  const url = new URL(engine.url);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => execute(engine.url, `drop database if exists ${name} with (force)`) };
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
