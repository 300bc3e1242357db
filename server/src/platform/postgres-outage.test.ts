// Outages that PostgreSQL reports in words: what only an operator can mend, a server that takes no writes, statements that
// take too long, and more callers than connections.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { createTestDatabase } from "../../test/support/postgres.ts";
import { findClosedPort } from "../../test/support/receivers.ts";
import { waitUntil } from "../../test/support/wait.ts";
import type { Database, DatabaseError } from "./database.ts";
import { migrate, readMigrations } from "./migrate.ts";
import { openPostgres, type PostgresOptions } from "./postgres.ts";
import { expectRows, sql } from "./sql.ts";

const ONE = sql`select 1 as one`;

test("what only an operator can mend is an outage, and its message says what to do", async (t) => {
  const { url, db, open } = await openWorld(t);
  const role = new URL(url).pathname.slice(1).replace("linkme_test", "role");
  await db.query({ kind: "statement", parts: [`create role ${role} login password 'right'`], values: [] });
  await db.query(sql`create table secrets (id bigint)`);
  const as = (user: string, password: string, path = new URL(url).pathname) => {
    const address = new URL(url);
    Object.assign(address, { username: user, password, pathname: path });
    return open(address.href);
  };
  const cases: [Database, RegExp][] = [
    [as(role, "wrong"), /Check user and password in DATABASE_URL/],
    [as("nobody_by_this_name", "x"), /Check user and password in DATABASE_URL/],
    [as(role, "right", "/no_such_database"), /Create that database/],
    [as(role, "right"), /Give the role of DATABASE_URL its rights/],
  ];
  for (const [refused, message] of cases) {
    await assert.rejects(refused.query(sql`select id from secrets`), { kind: "unavailable", message });
    await assert.rejects(refused.batch([sql`select id from secrets`]), { kind: "unavailable", message });
  }
  await db.query({ kind: "statement", parts: [`drop role ${role}`], values: [] });
});

test("connections to a server that stops taking writes are all dropped with the first write that it refuses", async (t) => {
  const { url, db, open } = await openWorld(t);
  await db.query(sql`create table notes (id bigint)`);
  const used = open(url);
  await Promise.all([1, 2, 3].map(() => used.query(sql`select pg_sleep(0.05)`)));
  const name = new URL(url).pathname.slice(1);
  const set = (value: string) =>
    db.query({
      kind: "statement",
      parts: [`alter database ${name} set default_transaction_read_only = ${value}`],
      values: [],
    });
  const write = () => used.query(sql`insert into notes (id) values (1)`);
  await set("on");
  const fresh = open(url);
  await assert.rejects(fresh.query(sql`insert into notes (id) values (1)`), {
    kind: "unavailable",
    message: /primary/,
  });
  assert.deepEqual(await fresh.query(ONE), [{ one: 1 }], "links can still be read");
  // A primary that was demoted: the sessions that are open only read, those that come go to the new one.
  await Promise.all(
    [1, 2, 3].map(() =>
      used.query(sql`select set_config('default_transaction_read_only', 'on', false), pg_sleep(0.05)`),
    ),
  );
  await set("off");
  await assert.rejects(write(), { kind: "unavailable" });
  for (let again = 0; again < 3; again++) await write();
  assert.deepEqual(await db.query(sql`select count(*) as n from notes`), [{ n: 3 }]);
});

test("of several hosts the next one is tried when one cannot be reached", async (t) => {
  const { url, open } = await openWorld(t);
  const { host } = new URL(url);
  const closed = `127.0.0.1:${await findClosedPort()}`;
  for (const hosts of [`${closed},${host}`, `${host},${closed}`, `${closed},${closed},${host}`]) {
    assert.deepEqual(await open(url.replace(host, hosts)).query(ONE), [{ one: 1 }], hosts);
  }
  const nowhere = open(url.replace(host, `${closed},${closed}`));
  await assert.rejects(nowhere.query(ONE), { kind: "unavailable" });
});

test("of several hosts that take no writes none is used", async (t) => {
  const { url, db, open } = await openWorld(t);
  const { host } = new URL(url);
  const name = new URL(url).pathname.slice(1);
  const parts = [`alter database ${name} set default_transaction_read_only = on`];
  await db.query({ kind: "statement", parts, values: [] });
  await assert.rejects(open(url.replace(host, `${host},${host}`)).query(ONE), {
    kind: "unavailable",
    message: /primary/,
  });
});

test("a statement that takes too long is an outage, undoes its transaction, and the next one works", async (t) => {
  const { url, db, open } = await openWorld(t);
  await db.query(sql`create table notes (id bigint)`);
  const slow = sql`select pg_sleep(60)`;
  const note = sql`insert into notes (id) values (1)`;
  const hasty = open(url, { statement_timeout_ms: 50 });
  const uses: [string, () => Promise<unknown>][] = [
    ["a query", () => hasty.query(slow)],
    ["a batch", () => hasty.batch([note, slow, note])],
    ["a guarded batch", () => hasty.batch([note, expectRows(1, slow)])],
    ["a transaction", () => hasty.transaction(async (query) => [await query(note), await query(slow)])],
  ];
  for (const [use, run] of uses) {
    await assert.rejects(run(), { kind: "unavailable", message: /statement timeout/ }, use);
    assert.deepEqual(await hasty.query(sql`select count(*) as n from notes`), [{ n: 0 }], use);
  }
  // Longer than the usual limits of both sides.
  await hasty.transaction((query) => query(sql`select pg_sleep(2.2)`), { statement_ms: 60_000 });
  await assert.rejects(hasty.query(slow), { kind: "unavailable" }, "the usual limit holds again");
});

test("a migration waits 3 s for a table that is in use, holds nobody up for longer, and can be tried again", async (t) => {
  const { url, db, open } = await openWorld(t);
  const known = readMigrations();
  await migrate(db, known);
  const version = (known.at(-1)?.version ?? 0) + 1;
  const next = [...known, { version, name: `${version}_x.sql`, text: "alter table apps add column x bigint" }];
  const reading = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  const reader = open(url).transaction(async (query) => {
    await query(sql`select id from apps`);
    began.resolve();
    await reading.promise;
  });
  await began.promise;
  await assert.rejects(migrate(db, next), { kind: "unavailable", message: /lock timeout/ });
  reading.resolve();
  await reader;
  assert.deepEqual(await migrate(db, next), [`${version}_x.sql`]);
});

test("whoever waits 3 s for a connection is told that all were in use", async (t) => {
  const { url, open } = await openWorld(t);
  const narrow = open(url, { connections: 2 });
  const began = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const holding = narrow.transaction(async (query) => {
    await query(ONE);
    began.resolve();
    await end.promise;
  });
  await began.promise;
  await assert.rejects(narrow.query(ONE), { kind: "unavailable", message: /all 1 connections were in use/ });
  end.resolve();
  await holding;
  assert.deepEqual(await narrow.query(ONE), [{ one: 1 }]);
});

test("whoever waits for a connection to a server that says nothing is told of that first", async (t) => {
  const { url, open } = await openWorld(t);
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => void sockets.add(socket.on("error", () => {})));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  await once(silent.listen(0, "127.0.0.1"), "listening");
  const address = new URL(url);
  address.host = `127.0.0.1:${(silent.address() as AddressInfo).port}`; // it listens on a port
  const mute = open(address.href, { connections: 2 });
  const told = await Promise.all([1, 2].map(() => mute.query(ONE).catch((error: DatabaseError) => error.message)));
  const [waited] = told.filter((message) => /connections were in use/.test(String(message)));
  assert.match(
    String(waited),
    /does not answer at all: see whether it runs .* LINKME_DATABASE_CONNECTIONS/,
    told.join(),
  );
});

test("more callers than can wait for a connection are told so at once", async (t) => {
  const { url, db, open } = await openWorld(t);
  const narrow = open(url, { connections: 2, statement_timeout_ms: 1_000 });
  const holding = assert.rejects(narrow.query(sql`select pg_sleep(60)`), { kind: "unavailable" });
  await waitUntil(async () => {
    const [found] = await db.query<{ n: number }>(
      sql`select count(*) as n from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
    );
    return found?.n === 1;
  }, "the only connection to be in use");
  const waiting = Array.from({ length: 1_000 }, () => narrow.query(ONE));
  await assert.rejects(narrow.query(ONE), { kind: "unavailable", message: /1000 callers wait/ });
  await holding;
  // On a busy machine the last of them may have waited for too long.
  for (const one of await Promise.allSettled(waiting)) {
    if (one.status === "rejected") assert.equal(one.reason.kind, "unavailable");
  }
});

async function openWorld(t: TestContext) {
  const database = await createTestDatabase();
  const opened: Database[] = [];
  const open = (url: string, options?: PostgresOptions) => {
    const db = openPostgres(url, options);
    opened.push(db);
    return db;
  };
  t.after(async () => {
    for (const db of opened) await db.close();
    await database.drop();
  });
  return { url: database.url, db: open(database.url), open };
}
