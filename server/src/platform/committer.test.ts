import assert from "node:assert/strict";
import { test } from "node:test";
import { createCommitter } from "./committer.ts";
import { DatabaseError, type Row } from "./database.ts";
import { type Statement, sql } from "./sql.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

interface Call {
  texts: string[];
  finish(rows?: Row[][]): void;
  fail(error: unknown): void;
}

/** A database whose transactions end when the test says so. */
function controlled(engine: "sqlite" | "postgres" = "sqlite") {
  const calls: Call[] = [];
  const batch = (statements: readonly Statement[]) =>
    new Promise<Row[][]>((resolve, reject) => {
      const texts = statements.map((one) => `${one.parts.join("?")}${JSON.stringify(one.values)}`);
      calls.push({ texts, finish: (rows = statements.map(() => [])) => resolve(rows), fail: reject });
    });
  return { calls, committer: createCommitter({ engine, batch }) };
}

/** Long enough for the committer's own round of the event loop and what follows from it. */
async function rounds(): Promise<void> {
  for (let count = 0; count < 3; count++) await yieldToEventLoop();
}

const insert = (items: readonly number[]) => [sql`insert ${items.join(",")}`];

test("the first item goes at once, and what arrives meanwhile shares the next transaction", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert });
  const first = submit(1);
  await rounds();
  const others = [submit(2), submit(3)];
  await rounds();
  assert.deepEqual(
    calls.map((call) => call.texts),
    [['insert ?["1"]']],
  );
  calls[0]?.finish();
  await first;
  await rounds();
  assert.deepEqual(calls[1]?.texts, ['insert ?["2,3"]']);
  calls[1]?.finish();
  await Promise.all(others);
  await committer.idle();
});

test("on SQLite a full transaction goes along with the one in flight, and no third", async () => {
  const { calls, committer } = controlled("sqlite");
  const submit = committer.channel<number>({ compose: insert, max_items: 2 });
  const texts = () => calls.map((call) => call.texts[0]);
  const all = [submit(1)];
  await rounds();
  all.push(submit(2));
  await rounds();
  assert.deepEqual(texts(), ['insert ?["1"]'], "one that is not full waits");
  all.push(...[3, 4, 5, 6].map(submit));
  await rounds();
  assert.deepEqual(texts(), ['insert ?["1"]', 'insert ?["2,3"]']);
  calls[0]?.finish();
  await rounds();
  assert.deepEqual(texts().slice(2), ['insert ?["4,5"]']);
  calls[1]?.finish();
  await rounds();
  assert.equal(calls.length, 3, "6 fills no transaction");
  calls[2]?.finish();
  await rounds();
  assert.deepEqual(texts().slice(3), ['insert ?["6"]']);
  let is_idle = false;
  const idle = committer.idle().then(() => (is_idle = true));
  await rounds();
  assert.equal(is_idle, false);
  calls[3]?.finish();
  await Promise.all([...all, idle]);
});

test("on PostgreSQL one transaction is in flight at a time, however many wait", async () => {
  const { calls, committer } = controlled("postgres");
  const submit = committer.channel<number>({ compose: insert, max_items: 2 });
  const all = [1, 2, 3, 4, 5].map(submit);
  await rounds();
  for (let index = 0; index < 3; index++) {
    assert.equal(calls.length, index + 1);
    calls[index]?.finish();
    await rounds();
  }
  await Promise.all(all);
});

test("what was composed is abandoned once for each time that nothing of it was stored", async () => {
  const { calls, committer } = controlled();
  const abandoned: number[][] = [];
  const submit = committer.channel<number>({ compose: insert, abandon: (items) => void abandoned.push([...items]) });
  const settled = Promise.allSettled([submit(1), submit(666)]);
  await rounds();
  calls[0]?.fail(new DatabaseError("bug", "poison"));
  await rounds();
  calls[1]?.finish();
  await rounds();
  calls[2]?.fail(new DatabaseError("bug", "poison"));
  await settled;
  assert.deepEqual(abandoned, [[1, 666], [666]]);
});

test("channels share a transaction in the order in which they were made", async () => {
  const { calls, committer } = controlled();
  const one = committer.channel<number>({ compose: insert });
  const two = committer.channel<number, string>({
    compose: (items) => [sql`a`, sql`b ${items.length}`],
    results: (items, rows) => items.map((item) => `${item}:${rows[1]?.[0]?.["n"]}`),
  });
  const results = [two(7), one(1), two(8)];
  await rounds();
  assert.deepEqual(calls[0]?.texts, ['insert ?["1"]', "a[]", "b ?[2]"]);
  calls[0]?.finish([[], [], [{ n: 5 }]]);
  assert.deepEqual(await Promise.all(results), ["7:5", undefined, "8:5"]);
});

test("no more than max_items go into one transaction", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert, max_items: 2 });
  const all = [1, 2, 3].map(submit);
  await rounds();
  calls[0]?.finish();
  await rounds();
  calls[1]?.finish();
  await Promise.all(all);
  assert.deepEqual(
    calls.map((call) => call.texts[0]),
    ['insert ?["1,2"]', 'insert ?["3"]'],
  );
});

test("large items share a transaction until it holds a mebibyte of text", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert, size: () => 600_000 });
  const all = [1, 2, 3].map(submit);
  await rounds();
  calls[0]?.finish();
  await rounds();
  calls[1]?.finish();
  await Promise.all(all);
  assert.deepEqual(
    calls.map((call) => call.texts[0]),
    ['insert ?["1,2"]', 'insert ?["3"]'],
  );
});

test("an outage refuses everything that was in the transaction, and the next items are tried", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert });
  const refused = Promise.allSettled([submit(1), submit(2)]);
  await rounds();
  calls[0]?.fail(new DatabaseError("unavailable", "gone"));
  assert.deepEqual(
    (await refused).map((one) => one.status),
    ["rejected", "rejected"],
  );
  const later = submit(3);
  await rounds();
  calls[1]?.finish();
  await later;
});

test("one bad item is refused alone", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert });
  const other = committer.channel<number>({ compose: insert });
  const settled = Promise.allSettled([submit(1), submit(666), other(3)]);
  await rounds();
  for (let index = 0; index < 5; index++) {
    const call = calls[index];
    if (call?.texts.some((text) => text.includes("666"))) call.fail(new DatabaseError("bug", "poison"));
    else call?.finish();
    await rounds();
  }
  assert.deepEqual(
    (await settled).map((one) => one.status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("a stale guard is refreshed and the group composed again", async () => {
  const { calls, committer } = controlled();
  let version = 1;
  const submit = committer.channel<number>({
    compose: () => [sql`guard ${version}`],
    refresh: async () => void version++,
  });
  const both = Promise.all([submit(1), submit(2)]);
  await rounds();
  calls[0]?.fail(new DatabaseError("unmet", "stale"));
  await rounds();
  calls[1]?.finish();
  await both;
  assert.deepEqual(
    calls.map((call) => call.texts[0]),
    ["guard ?[1]", "guard ?[2]"],
  );
});

test("a guard that is never met ends as a refusal, not as a loop", async () => {
  const { calls, committer } = controlled();
  const submit = committer.channel<number>({ compose: insert, refresh: async () => {} });
  const refused = assert.rejects(submit(1), /stale/);
  for (let index = 0; index < 6; index++) {
    await rounds();
    calls[index]?.fail(new DatabaseError("unmet", "stale"));
  }
  await refused;
  assert.ok(calls.length < 6);
});

test("after stale guards again and again the group is run while nothing can change, and taken apart when that fails", async () => {
  const { calls, committer } = controlled();
  const locked: (readonly number[])[] = [];
  let abandoned = 0;
  const submit = committer.channel<number, number>({
    compose: insert,
    refresh: async () => {},
    abandon: () => void abandoned++,
    results: (items) => items.map((item) => item * 10),
    async runLocked(items, compose) {
      locked.push(items);
      assert.equal(compose().length, 1);
      if (items.length > 1) throw new DatabaseError("unique", "one of them");
      return [[]];
    },
  });
  const both = Promise.all([submit(1), submit(2)]);
  for (let index = 0; index < 12; index++) {
    await rounds();
    calls[index]?.fail(new DatabaseError("unmet", "stale"));
  }
  assert.deepEqual(await both, [10, 20]);
  assert.deepEqual(locked, [[1, 2], [1], [2]]);
  assert.ok(abandoned >= calls.length, "what a try has set in motion is ended before the next");
});

test("a bug in compose refuses its own items only", async () => {
  const { calls, committer } = controlled();
  const bad = committer.channel<number>({
    compose: () => {
      throw new Error("bug");
    },
  });
  const good = committer.channel<number>({ compose: insert });
  const settled = Promise.allSettled([bad(1), good(2)]);
  await rounds();
  calls[0]?.finish();
  assert.deepEqual(
    (await settled).map((one) => one.status),
    ["rejected", "fulfilled"],
  );
});
