import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import type { Database, Row } from "../platform/database.ts";
import { rows, type Statement, sql } from "../platform/sql.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { compileFilter } from "./filter.ts";
import { createPassing } from "./passing-store.ts";

const PASSES = compileFilter({ path: "data.kind", equals: "wanted" });
const EVENTS = 120;
const PAGES = 3;

const candidates = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    position: `p${String(index).padStart(4, "0")}`,
    event: "link.click",
    link_id: null,
  }));

const bodyOf = (kind: string) => JSON.stringify({ data: { kind } });

/** So many events whose body is read, and what asks for them: the rows that each query answers, by what it reads. */
async function openEvents(engine: Engine, kinds: readonly string[], reading: () => Promise<unknown> = async () => {}) {
  const db = await engine.open();
  const events = candidates(kinds.length);
  await db.query(sql`insert into events (app_id, position, id, event, created_at, body) values
    ${rows(events.map(({ position, event }, index) => ["shop", position, position, event, 1, bodyOf(kinds[index] ?? "")]))}`);
  const read: { sizes: number[]; bodies: number[] } = { sizes: [], bodies: [] };
  const query = async <Result = Row>(statement: Statement) => {
    const is_sizes = statement.parts.join("").includes("octet_length");
    if (!is_sizes) await reading();
    const found = await db.query<Result>(statement);
    read[is_sizes ? "sizes" : "bodies"].push(found.length);
    return found;
  };
  return { events, read, passing: createPassing({ query }) };
}

forEachEngine((engine) => {
  test("while a page of one look is read, no other look reads one", async () => {
    const held = Promise.withResolvers<void>();
    const state = { under_way: 0, most: 0 };
    const kinds = Array.from({ length: EVENTS }, () => "wanted");
    const { events, read, passing } = await openEvents(engine, kinds, async () => {
      state.most = Math.max(state.most, ++state.under_way);
      await held.promise;
      state.under_way--;
    });
    const looks = Promise.all([1, 2, 3].map(() => passing.passingOf("shop", events, PASSES)));
    // All have asked for the sizes; whoever does not wait for the first one's page reads a page by then.
    while (read.sizes.length < 3) await yieldToEventLoop();
    await yieldToEventLoop();
    assert.equal(state.under_way, 1);
    held.resolve();
    const found = await looks;
    assert.deepEqual(
      found.map(({ looked }) => looked),
      [EVENTS, EVENTS, EVENTS],
    );
    assert.equal(read.bodies.length, 3 * PAGES);
    assert.equal(state.most, 1);
  });

  test("for one that is wanted one is read, and of those that a filter refuses more with each page", async () => {
    const { events, read, passing } = await openEvents(engine, [
      "wanted",
      ...Array.from({ length: 99 }, () => "other"),
    ]);
    const first = await passing.passingOf("shop", events, PASSES, { passing_max: 1 });
    assert.deepEqual([first.passing.length, first.looked], [1, 1]);
    assert.deepEqual(read, { sizes: [1], bodies: [1] });
    const rest = await passing.passingOf("shop", events.slice(1), PASSES, { passing_max: 2 });
    assert.deepEqual([rest.passing.length, rest.looked], [0, 99]);
    assert.deepEqual(read.bodies.slice(1), [2, 4, 8, 16, 32, 37]);
  });
});

test("between two pages the event loop does what else it has at hand", async () => {
  let rounds = 0;
  let is_over = false;
  const count = () => {
    rounds++;
    if (!is_over) setImmediate(count);
  };
  // Answered from memory, so that no round passes but those that the look takes.
  const query = async (statement: Statement) =>
    statement.values.slice(1).map((position) => ({ position, bytes: 10, body: bodyOf("wanted") }));
  const { passingOf } = createPassing({ query } as unknown as Pick<Database, "query">);
  setImmediate(count);
  const { looked } = await passingOf("shop", candidates(EVENTS), PASSES);
  is_over = true;
  assert.equal(looked, EVENTS);
  assert.ok(rounds >= PAGES - 1, `${rounds} rounds for ${PAGES} pages`);
});
