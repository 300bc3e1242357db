import assert from "node:assert/strict";
import { test } from "node:test";
import { input, START } from "../../test/support/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { openStops } from "../../test/support/stops.ts";
import { rows, sql } from "../platform/sql.ts";
import type { DestinationRow } from "./destination.ts";
import { NONE_FAILED } from "./failed.ts";
import { failingOf, NO_FACTS } from "./health.ts";
import { NOT_TRIED } from "./last-tries.ts";
import { hadFilter, nextStep, type PastSettings } from "./missed.ts";
import { CHANGES_MAX, createMissedStore, ENTRIES_MAX, FORGOTTEN_BYTES_MAX } from "./missed-store.ts";

const MINUTE_MS = 60_000;
const WEB = { path: "platform", equals: "web" } as const;
const IOS = { path: "platform", equals: "ios" } as const;

/** A webhook that takes what is of the web; what is of ios it refuses. */
async function openFiltered(engine: Engine) {
  const world = await openStops(engine);
  const { db, clock, destinations, addEvents, patch, insertReplay } = world;
  const { id } = await destinations.createWebhook("shop", input({ filter: WEB }));
  clock.at += MINUTE_MS;
  const stop = async (refused: number, passing = 0) => {
    await patch(id, { enabled: false });
    await addEvents(refused);
    if (passing > 0) await addEvents(passing, { platform: "web" });
    await patch(id, { enabled: true });
    clock.at += MINUTE_MS;
  };
  let replays = 0;
  /** All that is missing and passes is sent, by a replay that is done. */
  const recover = async () => {
    await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
          trigger, created_at)
        select ${id}, position, app_id, event, 'succeeded', 1, 0, 0, 'replay', created_at from events
        where body like '%"web"%' on conflict do nothing`);
    await insertReplay(id, id, { id: `rpl_${++replays}` });
    clock.at += MINUTE_MS;
  };
  const seen = async () => {
    const { missed, next_step } = await destinations.getWebhook(id, null);
    return { missed, next_step, since: missed?.since };
  };
  const begun = async () => (await destinations.openStops(id, null)).map(({ since }) => since);
  return { ...world, id, stop, recover, seen, begun };
}

forEachEngine((engine) => {
  test("a stop of more events than an answer reads is forgotten when it is recovered, and the next ones are told exactly", async () => {
    const { stop, recover, seen } = await openFiltered(engine);
    await stop(1_100, 110);
    const first = await seen();
    assert.deepEqual([first.missed?.count, first.missed?.is_exact], [0, false]);
    const { since, until } = first.missed ?? {};
    const asked = JSON.stringify({ since, until, states: ["missing"], dry_run: true });
    assert.ok(first.next_step?.includes(`/replays ${asked} tells how many`), String(first.next_step));
    assert.match(first.next_step ?? "", /PATCH .* \{"enabled": true, "recover": true\}\.$/);
    await recover();
    assert.deepEqual(await seen(), { missed: null, next_step: null, since: undefined }, "nothing is missing");
    for (const count of [30, 60, 90]) {
      await stop(30, 30);
      const { missed, next_step } = await seen();
      assert.deepEqual([missed?.count, missed?.is_exact], [count, true]);
      assert.ok((missed?.since ?? "") > String(until), "the recovered stop is forgotten");
      assert.match(next_step ?? "", /^Send what it missed/);
    }
  });

  test("a replay counts for the filter that it was made with, and for no other one", async () => {
    const { id, clock, patch, stop, recover, seen, insertReplay } = await openFiltered(engine);
    await stop(1_100, 110);
    await patch(id, { filter: IOS });
    clock.at += MINUTE_MS;
    await insertReplay(id, id, { id: "rpl_other" });
    clock.at += MINUTE_MS;
    await patch(id, { filter: WEB });
    clock.at += MINUTE_MS;
    const before = await seen();
    assert.deepEqual([before.missed?.count, before.missed?.is_exact], [0, false], "it sent what another filter passes");
    await recover();
    assert.equal((await seen()).missed, null);
    await patch(id, { filter: IOS });
    assert.equal((await seen()).missed, null, "the replay of that time counts again");
    await patch(id, { filter: { not: WEB } });
    assert.equal((await seen()).missed?.is_exact, false, "of this filter there was none");
  });

  test("what the filter refuses keeps no stop, and what it or an earlier one passes does", async () => {
    const { id, clock, patch, stop, seen, begun } = await openFiltered(engine);
    await stop(20);
    assert.equal((await seen()).missed, null);
    await stop(20);
    const [since, ...others] = await begun();
    assert.deepEqual(others, [], "the one before is forgotten");
    await stop(20, 1);
    const kept = await begun();
    assert.ok(kept.length === 1 && (kept[0] ?? 0) > (since ?? 0));
    await patch(id, { filter: { path: "link_id", exists: true } });
    clock.at += MINUTE_MS;
    await stop(1);
    assert.equal((await seen()).missed, null);
    await stop(1);
    assert.deepEqual((await begun())[0], kept[0], "it is not lost by a change and back");
    await patch(id, { filter: WEB });
    assert.deepEqual([(await seen()).missed?.count, (await seen()).since], [1, new Date(kept[0] ?? 0).toISOString()]);
  });

  test("what is missed is told from the first stop of which something is missing", async () => {
    const { id, db, stop, seen, begun } = await openFiltered(engine);
    await stop(1, 2);
    await stop(1, 3);
    assert.equal((await seen()).since, new Date((await begun())[0] ?? 0).toISOString());
    await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
          trigger, created_at)
        select ${id}, position, app_id, event, 'succeeded', 1, 0, 0, 'replay', created_at from events
        where body like '%"web"%' order by position limit 2`);
    const { missed, since } = await seen();
    assert.deepEqual([missed?.count, since], [3, new Date((await begun())[1] ?? 0).toISOString()]);
  });

  test("whether a stop may be forgotten is a short look, whatever the events' size; in doubt it is kept", async () => {
    const { db, clock, id, patch, addEvents, begun } = await openFiltered(engine);
    await patch(id, { enabled: false });
    const [since] = await begun();
    const bytes = 200_000;
    for (let events = 0; events < (2 * FORGOTTEN_BYTES_MAX) / bytes; events++) await addEvents(1, { bytes });
    await patch(id, { enabled: true });
    const read = { bytes: 0 };
    const store = createMissedStore({
      async query<Result>(statement: Parameters<typeof db.query>[0]) {
        const found = await db.query<Result>(statement);
        read.bytes += found.flatMap((row) => (row as { body?: string }).body ?? []).join("").length;
        return found;
      },
    });
    const [row] = await db.query<DestinationRow>(sql`select * from destinations where id = ${id}`);
    assert.ok(row !== undefined);
    assert.equal(await store.unrecoveredSince(row, clock.at), since);
    assert.ok(read.bytes > 0 && read.bytes <= FORGOTTEN_BYTES_MAX, JSON.stringify(read));
  });

  test("a replay that is to send what was missed is named, with the call that it waits for", async () => {
    const { db, id, destinations, insertReplay, stop, seen } = await openFiltered(engine);
    await stop(2, 3);
    await insertReplay(id, id, { id: "rpl_open" });
    const set = (changes: { state: string; walked?: number; link_id?: string | null; destination_id?: string }) => {
      const { state, walked = 0, link_id = null, destination_id = id } = changes;
      return db.query(sql`update replays set state = ${state}, walked = ${walked}, slot = 1, finished_at = null,
        link_id = ${link_id}, destination_id = ${destination_id}, at_position = '0', end_position = 'f' where id = 'rpl_open'`);
    };
    await set({ state: "running" });
    assert.match((await seen()).next_step ?? "", /^The replay rpl_open sends .* GET \/api\/replays\/rpl_open\.$/);
    await set({ state: "paused" });
    assert.match((await seen()).next_step ?? "", /is paused: .* with POST \/api\/replays\/rpl_open\/resume\.$/);
    const off = await destinations.patchWebhook(id, null, { enabled: false });
    assert.match(
      off.next_step ?? "",
      /Turn it on .*; then, when the receiver is well, go on with .* POST \/api\/replays\/rpl_open\/resume;/,
    );
    assert.doesNotMatch(off.next_step ?? "", /"recover"/);
    await set({ state: "running" });
    const running = (await seen()).next_step ?? "";
    assert.match(
      running,
      /; the replay rpl_open, which sends what it missed, still runs: it goes on by itself if the webhook is on before its next step, else it pauses itself then, and GET \/api\/replays\/rpl_open says how to go on; what it has missed since/,
    );
    assert.doesNotMatch(running, /resume/, "only a paused one can be resumed");
    await destinations.patchWebhook(id, null, { enabled: true });
    for (const other of [
      { state: "running", walked: 1 },
      { state: "paused", link_id: "lnk_1" },
      { state: "paused", destination_id: "dst_other" },
    ]) {
      await set(other);
      assert.match((await seen()).next_step ?? "", /^Send what it missed/, JSON.stringify(other));
    }
    await set({ state: "paused" });
    await db.query(sql`update replays set end_position = '00' where id = 'rpl_open'`);
    assert.match((await seen()).next_step ?? "", /^Send what it missed/, "it is of another time");
  });

  test("entries of the history that change nothing about what is stored do not count, up to a bound", async () => {
    const { db, clock, destinations, id, stop, begun } = await openFiltered(engine);
    await stop(1, 1);
    const note = async (count: number) => {
      const [row] = await db.query<DestinationRow>(sql`select * from destinations where id = ${id}`);
      assert.ok(row !== undefined);
      const entries = Array.from({ length: count }, (_, entry) => {
        const state = entry % 2 === 0 ? "paused" : "active";
        return [id, clock.at + entry, state, row.events, row.filter, "rotated or paused", "system", 1];
      });
      await db.query(sql`insert into destination_history (destination_id, at, state, events, filter, cause, actor, explains)
        values ${rows(entries)}`);
      clock.at += count;
    };
    const [first] = await destinations.openStops(id, null);
    await note(2 * CHANGES_MAX);
    await stop(1, 1);
    assert.deepEqual((await destinations.openStops(id, null))[0], first, "it ended when it did");
    const stops = await begun();
    assert.equal(stops.length, 2);
    await note(ENTRIES_MAX);
    assert.deepEqual(await begun(), stops.slice(0, 1), "what is further back is one");
  });
});

const FILTER = JSON.stringify(WEB);
const at = (time: number, filter: string | null): PastSettings => {
  return { at: time, state: "active", events: "[]", filter };
};
const AGO = 50_000;
const filtered: [title: string, told: PastSettings[], holds: boolean][] = [
  ["nothing is told", [], false],
  ["it was the same all the time", [at(AGO, FILTER)], true],
  ["the history begins after its start", [at(100_001, FILTER)], false],
  ["it was changed and back before", [at(1, FILTER), at(AGO, null), at(AGO + 1, FILTER)], true],
  ["it was changed to this one shortly before", [at(1, null), at(99_000, FILTER)], false],
  ["it was changed meanwhile", [at(AGO, FILTER), at(110_000, null)], false],
  ["it was changed and back meanwhile", [at(AGO, FILTER), at(110_000, null), at(110_001, FILTER)], false],
  ["it was changed at its end", [at(AGO, FILTER), at(200_000, null)], false],
  ["it was changed after its end", [at(AGO, FILTER), at(200_001, null)], true],
  ["it was another one", [at(AGO, "{}")], false],
];
for (const [title, told, holds] of filtered) {
  test(`a replay had this filter${holds ? "" : " not"} where ${title}`, () => {
    assert.equal(hadFilter(FILTER, told, { created_at: 100_000, finished_at: 200_000 }), holds);
  });
}

const counts: [state: "active" | "paused" | "disabled" | "off", count: number, until: string | null][] = [
  ["active", 0, "2026-01-31T09:31:00.000Z"],
  ["active", 3, "2026-01-31T09:31:00.000Z"],
  ["paused", 3, "2026-01-31T09:31:00.000Z"],
  ["disabled", 3, null],
  ["off", 10_001, null],
];
for (const [state, count, until] of counts) {
  test(`a webhook that is ${state} says that more than ${count} may be missed, and how to count it`, () => {
    const missed = { count, since: "2026-01-31T09:30:00.000Z", until };
    const step = (is_exact: boolean) =>
      nextStep(
        { id: "dst_a", state, state_changed_at: START },
        { missed: { ...missed, is_exact }, sender: null, open: [], pending: 0 },
        { failing: failingOf(NO_FACTS), failed: NONE_FAILED, tried: NOT_TRIED },
        START,
      ) ?? "";
    const range = `"since":"2026-01-31T09:30:00.000Z","until":"${until ?? "9999-12-31T23:59:59.999Z"}"`;
    const dry_run = `POST /api/webhooks/dst_a/replays {${range},"states":["missing"],"dry_run":true}`;
    assert.ok(step(false).includes(`more than the ${count} counted here: ${dry_run} tells how many`), step(false));
    assert.doesNotMatch(step(true), /counted here/);
    if (state === "active" && count === 0) assert.equal(step(true), "");
  });
}
