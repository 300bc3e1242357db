// A stream of events against real tables: nothing is missed and nothing comes twice, wherever it begins and however often it is
// left. On both engines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { deliveryRows } from "../../test/support/tail.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createDeliveryTail } from "../deliveries/tail.ts";
import { createDeliveryTailStore } from "../deliveries/tail-store.ts";
import { createIds } from "../platform/ids.ts";
import { insertJournal } from "../platform/journal.ts";
import { createJournalStore, JOURNAL_KEPT_MS } from "../platform/journal-store.ts";
import { SETTLED_TX, type Statement, sql } from "../platform/sql.ts";
import type { Source } from "../platform/stream.ts";
import { composeEvent, type EventRow } from "./event.ts";
import { eventsEntry } from "./journaled.ts";
import { insertEvents, journalNewEvents } from "./store.ts";
import { createEventTail } from "./tail.ts";
import { createEventTailStore } from "./tail-store.ts";

const NOW = 1_800_000_000_000;

async function openTail(engine: Engine) {
  const db = await engine.open();
  /** Streams wait for every transaction of the server that is older, and other suites have some under way. */
  async function settled(): Promise<void> {
    const unread = sql`select 1 as one from journal where tx >= ${SETTLED_TX} limit 1`;
    await waitUntil(async () => (await db.query(unread)).length === 0, "what was committed to be read");
  }
  async function commit(statements: readonly Statement[]): Promise<void> {
    await db.batch(statements);
    await settled();
  }
  const journal = createJournalStore(db);
  await journal.prepare(NOW);
  let at = NOW;
  const ids = createIds({ now: () => at, random: (bytes) => void bytes.fill(7) });
  const make = (n: number, app_id = "shop", link_id = "lnk_1"): EventRow =>
    composeEvent({ app_id, event: "link.click", data: { n }, link_id }, ids, at);
  const tail = createEventTail({ store: createEventTailStore(db), journal, now: () => at });
  const store = (...events: EventRow[]) => commit(statementsOf(events));
  return {
    ...{ db, journal, tail, make, store, commit, settled },
    setTime(to: number) {
      at = to;
    },
  };
}

function statementsOf(events: readonly EventRow[], at = NOW): Statement[] {
  return [insertEvents(events), insertJournal(eventsEntry(events, [], at))];
}

/** Everything there is at the moment, and where it ends. */
async function readAll(source: Source) {
  const found: { n: number; id: string }[] = [];
  for (let is_done = false; !is_done; ) {
    const read = await source.next();
    for (const { id, data } of read.messages) found.push({ id, n: JSON.parse(data).data.n });
    is_done = read.is_done;
  }
  return { numbers: found.map(({ n }) => n), found, last_id: source.cursor() };
}

forEachEngine((engine) => {
  /** SQLite's transactions follow one another, and its numbers come from the journal itself. */
  const onPostgres = (title: string, run: () => Promise<void>) => {
    if (engine.name === "postgres") test(title, run);
  };

  test("a stream begins now, and has what is committed after that in the order of the commits", async () => {
    const { tail, make, store } = await openTail(engine);
    const late = make(1);
    await store(make(0));
    const source = await tail.open("shop", {}, {});
    assert.deepEqual((await readAll(source)).numbers, []);
    await store(make(2), make(3));
    await store(make(9, "another"));
    await store(late);
    assert.deepEqual((await readAll(source)).numbers, [2, 3, 1]);
    assert.deepEqual((await readAll(source)).numbers, []);
  });

  test("from each of its ids a stream goes on behind that message", async () => {
    const { tail, make, store } = await openTail(engine);
    const start = (await tail.open("shop", {}, {})).cursor();
    const all: number[] = [];
    for (let n = 0; n < 90; n += 3) {
      await store(make(n), make(n + 1), make(n + 2));
      await store(make(-1, "another"));
      all.push(n, n + 1, n + 2);
    }
    const { found, numbers } = await readAll(await tail.open("shop", {}, { last_id: start }));
    assert.deepEqual(numbers, all);
    for (const [index, { id }] of found.entries()) {
      const rest = await readAll(await tail.open("shop", {}, { last_id: id }));
      assert.deepEqual(rest.numbers, all.slice(index + 1));
    }
  });

  test("filters leave out what does not match, also behind an id", async () => {
    const { tail, make, store } = await openTail(engine);
    const source = await tail.open("shop", { link_id: "lnk_2" }, {});
    await store(make(1), make(2, "shop", "lnk_2"), make(3));
    await store(make(4, "shop", "lnk_2"));
    const { numbers, found } = await readAll(source);
    assert.deepEqual(numbers, [2, 4]);
    const again = await tail.open("shop", { link_id: "lnk_2", event: "link.click" }, { last_id: found[0]?.id });
    assert.deepEqual((await readAll(again)).numbers, [4]);
    assert.deepEqual(
      (await readAll(await tail.open("shop", { event: "link.claim" }, { last_id: found[0]?.id }))).numbers,
      [],
    );
  });

  test("an event that is drained from a spool again comes once", async () => {
    const { tail, make, store, commit } = await openTail(engine);
    const source = await tail.open("shop", {}, {});
    const [first, second] = [make(1), make(2)];
    await store(first);
    await commit([journalNewEvents([first, second], [], NOW), insertEvents([first, second])]);
    await commit([journalNewEvents([first, second], [], NOW), insertEvents([first, second])]);
    assert.deepEqual((await readAll(source)).numbers, [1, 2]);
  });

  test("a stream that begins in the past has what is stored, then what comes, each once, from every id of it", async () => {
    const { tail, make, store, setTime } = await openTail(engine);
    await store(make(0));
    setTime(NOW + 1_000);
    const late = make(50);
    await store(...Array.from({ length: 40 }, (_, n) => make(n + 1)));
    const since = new Date(NOW + 1_000).toISOString();
    const source = await tail.open("shop", {}, { since });
    // Committed after the stream began, with a position among those that are gone through.
    await store(late);
    await store(make(60));
    const { numbers, found } = await readAll(source);
    const wanted = [...Array.from({ length: 40 }, (_, n) => n + 1), 50, 60];
    assert.deepEqual(numbers, wanted);
    for (const [index, { id }] of found.entries()) {
      const rest = await readAll(await tail.open("shop", {}, { since, last_id: id }));
      assert.deepEqual(rest.numbers, wanted.slice(index + 1), `behind ${wanted[index]}`);
    }
  });

  test("behind an id that the journal does not have any more, a stream goes on by position", async () => {
    const { db, tail, make, store } = await openTail(engine);
    const source = await tail.open("shop", {}, {});
    await store(make(1), make(2));
    const { found } = await readAll(source);
    await store(make(3));
    await db.query(sql`delete from journal`);
    await store(make(4));
    const again = await tail.open("shop", {}, { last_id: found[0]?.id });
    await store(make(5));
    assert.deepEqual((await readAll(again)).numbers, [2, 3, 4, 5]);
  });

  test("an id that is none is refused by its header", async () => {
    const { tail } = await openTail(engine);
    for (const last_id of ["", "x", "a".repeat(600), Buffer.from('["a",1,2,3,4]').toString("base64url")]) {
      await assert.rejects(tail.open("shop", {}, { last_id }), {
        code: "invalid_request",
        message: /^last-event-id: /,
      });
    }
  });

  test("rows are kept for a day and removed in their order, but for the newest", async () => {
    const { db, journal, make, commit } = await openTail(engine);
    for (let n = 0; n < 5; n++) await commit(statementsOf([make(n)], NOW + n));
    const count = async () => (await db.query<{ n: number }>(sql`select count(*) as n from journal`))[0]?.n;
    while (await journal.prune(NOW + JOURNAL_KEPT_MS));
    assert.equal(await count(), 6);
    while (await journal.prune(NOW + JOURNAL_KEPT_MS + 3));
    assert.equal(await count(), 2);
    while (await journal.prune(NOW + 10 * JOURNAL_KEPT_MS));
    assert.equal(await count(), 1);
    assert.equal(await journal.has(await journal.head()), true);
  });

  test("a transaction with more rows than one step looks at goes too", async () => {
    const { db, journal } = await openTail(engine);
    const rows = Array.from({ length: 1_200 }, (_, n) =>
      insertJournal({ part: `part ${n}`, at: NOW, lists: new Map([["shop", `${n}`]]) }),
    );
    await db.batch(rows);
    while (await journal.prune(NOW + 2 * JOURNAL_KEPT_MS));
    assert.deepEqual(await db.query(sql`select count(*) as n from journal`), [{ n: 1 }]);
  });

  onPostgres("what others have committed is not passed by, whichever transaction ends first", async () => {
    const { db, tail, make, settled } = await openTail(engine);
    const source = await tail.open("shop", {}, {});
    const slow = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const first = db.transaction(async (within) => {
      for (const statement of statementsOf([make(1)])) await within(statement);
      written.resolve();
      await slow.promise;
    });
    await written.promise;
    await db.batch(statementsOf([make(2)]));
    const begun = await tail.open("shop", {}, { since: new Date(NOW - 1).toISOString() });
    assert.deepEqual((await readAll(source)).numbers, [], "it waits for the one that began before");
    slow.resolve();
    await first;
    await settled();
    assert.deepEqual((await readAll(source)).numbers, [1, 2]);
    assert.deepEqual((await readAll(begun)).numbers, [1, 2]);
  });

  onPostgres("a journal with numbers that its cluster has not reached is begun anew", async () => {
    const { db, journal, tail, make, store } = await openTail(engine);
    await store(make(1));
    await db.query(sql`update journal set tx = tx + 1000000000`);
    await journal.prepare(NOW);
    const source = await tail.open("shop", {}, {});
    await store(make(2));
    assert.deepEqual((await readAll(source)).numbers, [2]);
  });

  test("a stream of deliveries has each change of its own webhook, and says when some may be missing", async () => {
    const { db, journal, make, store, commit } = await openTail(engine);
    const destinations = { find: async () => deliveryRows.destination };
    const tail = createDeliveryTail({ store: createDeliveryTailStore(db), journal, destinations, now: () => NOW });
    const destination = await tail.find("dst_a", "shop");
    await assert.rejects(tail.find("dst_a", "another"), { code: "not_found" });
    const source = await tail.open(destination, undefined);
    const events = [make(1), make(2), make(3)];
    await commit(deliveryRows.create(events, ["dst_a", "dst_b"]));
    await commit(deliveryRows.settle(events.slice(1)));
    const kinds = async (from: Source) => {
      const { messages } = await from.next();
      return messages.map(({ data }) => {
        const { event_id, change, state, attempt } = JSON.parse(data);
        return [events.findIndex(({ id }) => id === event_id), change, state, attempt?.status_code ?? null];
      });
    };
    assert.deepEqual(await kinds(source), [
      [0, "created", "pending", null],
      [1, "created", "succeeded", null],
      [2, "created", "succeeded", null],
      [1, "attempted", "succeeded", 200],
      [2, "attempted", "succeeded", 200],
    ]);
    const last_id = source.cursor();
    await commit(deliveryRows.settle(events.slice(0, 1)));
    const again = await tail.open(destination, last_id);
    assert.deepEqual(await kinds(again), [[0, "attempted", "succeeded", 200]]);
    assert.equal(again.notice, null);
    await db.query(sql`delete from journal`);
    await store(make(4));
    assert.match((await tail.open(destination, last_id)).notice ?? "", /from now/);
  });
});
