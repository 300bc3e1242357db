// Finding links while the database is slow or away: what is remembered goes on being served.
import assert from "node:assert/strict";
import { test } from "node:test";
import { APP, BLANK } from "../../test/support/links.ts";
import type { Database } from "../platform/database.ts";
import { DatabaseError } from "../platform/database.ts";
import { createIds } from "../platform/ids.ts";
import { createLinks } from "./links.ts";

const ORIGIN = "http://127.0.0.1:8080";

/** Links on a database that answers, fails or hangs as the test says, with a clock of the test's own. */
function remembering() {
  const state = { now: 1_000_000, mode: "answers" as "answers" | "fails" | "hangs", found: [BLANK], reads: 0 };
  const hanging = Promise.withResolvers<void>();
  const query = async () => {
    state.reads++;
    if (state.mode === "fails") throw new DatabaseError("unavailable", "down");
    if (state.mode === "hangs") await hanging.promise;
    return state.found;
  };
  const source = { now: () => state.now, random: () => {} };
  const links = createLinks({
    // Only reads of links reach it here.
    db: { query } as unknown as Database,
    ids: createIds(source),
    source,
    accounts: {
      findApp: async () => APP,
      peekApp: () => APP,
      findDomain: async () => null,
      peekDomain: () => null,
    },
    publicUrl: () => ORIGIN,
    links_max: 10,
  });
  return {
    state,
    links,
    answer: hanging.resolve,
    resolve: async (slug = "hello") => (await links.resolve(ORIGIN, slug))?.row.id ?? null,
  };
}

test("a link is read once while it is fresh, and again afterwards", async () => {
  const { state, resolve } = remembering();
  for (let visits = 0; visits < 5; visits++) assert.equal(await resolve(), BLANK.id);
  assert.equal(state.reads, 1);
  state.now += 2_000;
  state.found = [{ ...BLANK, web_fallback_url: "https://new.example/" }];
  await resolve();
  assert.equal(state.reads, 2);
});

for (const mode of ["fails", "hangs"] as const) {
  test(`when the database ${mode}, a link that is remembered is served, however old`, async () => {
    const { state, resolve } = remembering();
    await resolve();
    state.mode = mode;
    state.now += 3_600_000;
    assert.equal(await resolve(), BLANK.id);
    assert.equal(await resolve(), BLANK.id);
  });
}

test("a link that was gone or switched off before the outage stays so", async () => {
  for (const found of [[], [{ ...BLANK, enabled: 0 }]]) {
    const { state, resolve } = remembering();
    await resolve();
    state.found = found;
    state.now += 2_000;
    assert.equal(await resolve(), null);
    state.mode = "fails";
    state.now += 2_000;
    const answer = await resolve().catch((error: unknown) => error);
    assert.ok(answer === null || answer instanceof DatabaseError);
  }
});

test("what this process has changed is waited for, however slow the database is", async (t) => {
  const { state, links, answer } = remembering();
  await links.resolve(ORIGIN, "hello");
  state.found = [{ ...BLANK, web_fallback_url: "https://new.example/", updated_at: state.now }];
  await links.patch("hello", null, { web_fallback_url: "https://new.example/" });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  state.mode = "hangs";
  const found = Promise.resolve(links.resolve(ORIGIN, "hello"));
  t.mock.timers.tick(60_000);
  answer();
  assert.equal((await found)?.row.web_fallback_url, "https://new.example/");
});

test("a link that is not remembered cannot be served", async () => {
  const { state, resolve } = remembering();
  state.mode = "fails";
  await assert.rejects(resolve(), DatabaseError);
});

test("what cannot be a slug is never looked for", async () => {
  const { state, resolve } = remembering();
  for (const slug of ["", "a b", "a/b", "a\u0000", "ü", "a".repeat(65), "hello+"])
    assert.equal(await resolve(slug), null);
  assert.equal(state.reads, 0);
});
