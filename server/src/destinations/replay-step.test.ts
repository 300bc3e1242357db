// The webhook that a replay sends to names it, and what it sends: one that is paused ends by nobody but a person, and what one
// that runs sends is not told to be sent once more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { input, START } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openStops } from "../../test/support/stops.ts";
import { uuidFloor } from "../platform/ids.ts";
import { type Statement, sql } from "../platform/sql.ts";
import { type ReplayUnderWay, stepForPaused, stepOfReplay, whatOf } from "./replay-step.ts";

async function openPaused(engine: Parameters<typeof openStops>[0]) {
  const world = await openStops(engine);
  const { db, clock, destinations, insertReplay } = world;
  const create = async () => (await destinations.createWebhook("shop", input())).id;
  let slot = 0;
  /** Of all that was accepted so far. */
  async function insertPaused(id: string, target_id: string, states: string, replay_id = "rpl_1") {
    await insertReplay(id, target_id, { id: replay_id });
    await db.query(sql`update replays set state = 'paused', finished_at = null, walked = 0, slot = ${slot++}, states = ${states},
      at_position = ${uuidFloor(START)}, end_position = ${uuidFloor(clock.at + 1)} where id = ${replay_id}`);
  }
  const fail = (id: string) =>
    db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, trigger,
      created_at) values (${id}, ${uuidFloor(START + 1)}, 'shop', 'link.click', 'failed', 1, 1, 0, 'auto', ${START + 1})`);
  const stepOf = async (id: string) => (await destinations.getWebhook(id, null)).next_step;
  return { ...world, create, insertPaused, fail, stepOf };
}

const FAILED = '["failed"]';
const paused = (what: string) => `The replay rpl_1, which sends ${what}, is paused: GET /api/replays/rpl_1 says why.`;
const GO_ON = "When the receiver is well, go on with POST /api/replays/rpl_1/resume.";

forEachEngine((engine) => {
  test("one that is off says of a paused replay what that sends, and that it has to be on first", async () => {
    const { create, patch, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await insertPaused(id, id, '["failed","missing"]');
    await patch(id, { enabled: false });
    const go_on = "When the webhook is on again and the receiver is well, go on with POST /api/replays/rpl_1/resume.";
    assert.match((await stepOf(id)) ?? "", /; with "recover": true it is also sent what it has missed, else/);
    assert.ok((await stepOf(id))?.endsWith(` ${paused("what has failed or is missing")} ${go_on}`));
  });

  test("one that is off and owed something by a paused replay is told to go on with that, once", async () => {
    const { create, patch, addEvents, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await patch(id, { enabled: false });
    await addEvents(2);
    await insertPaused(id, id, '["failed","missing"]');
    const step = (await stepOf(id)) ?? "";
    assert.match(
      step,
      /; then, when the receiver is well, go on with the replay rpl_1, which sends what has failed or is missing, with POST/,
    );
    assert.equal(step.split("rpl_1").length, 3, step);
  });

  test("the webhook that a paused replay sends to names it, and the one whose deliveries it sends does not", async () => {
    const { create, insertPaused, stepOf, destinations } = await openPaused(engine);
    const [source, target] = [await create(), await create()];
    await insertPaused(source, target, FAILED);
    assert.equal(await stepOf(target), `${paused(`it what has failed at ${source}`)} ${GO_ON}`);
    assert.equal(await stepOf(source), null);
    await insertPaused(source, target, FAILED, "rpl_2");
    const { items } = await destinations.listWebhooks("shop", { limit: 10 });
    const more = `Another one is paused, too: GET /api/webhooks/${target}/replays lists them.`;
    assert.equal(
      items.find((one) => one.id === target)?.next_step,
      `${paused(`it what has failed at ${source}`)} ${GO_ON} ${more}`,
    );
  });

  test("what a paused replay of its own will send is not told to be sent by another one, all else is", async () => {
    const { db, create, fail, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await fail(id);
    await db.query(sql`update destination_health set consecutive_failures = 3 where destination_id = ${id}`);
    const says = async () => /failed for good/.test((await stepOf(id)) ?? "");
    assert.equal(await says(), true);
    await insertPaused(id, id, FAILED);
    assert.equal(await says(), true, "it ends before what has failed");
    await db.query(sql`update replays set end_position = ${uuidFloor(START + 2)}`);
    assert.equal(await says(), true, "it was asked for before that had failed");
    await db.query(sql`update replays set created_at = ${START + 1}`);
    assert.equal(await says(), false);
    assert.ok((await stepOf(id))?.endsWith(`${paused("what has failed")} ${GO_ON}`));
    for (const narrower of [
      sql`link_id = 'lnk_1'`,
      sql`events = '["link.claim"]', link_id = null`,
      sql`walked = 1, events = null`,
      sql`at_position = ${uuidFloor(START + 2)}, walked = 0`,
      sql`states = '["canceled"]', at_position = ''`,
    ]) {
      await db.query(sql`update replays set ${narrower}`);
      assert.equal(await says(), true, narrower.parts.join("?"));
    }
  });

  test("what a running replay of its own sends is not told to be sent once more; what it leaves out is, when it is over", async () => {
    const { db, create, patch, fail, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await fail(id);
    await insertPaused(id, id, FAILED);
    const set = (changes: Statement) => db.query(sql`update replays set ${changes}`);
    await set(sql`state = 'running', created_at = ${START + 1}, end_position = ${uuidFloor(START + 2)}`);
    await patch(id, { enabled: false });
    const runs =
      "The replay rpl_1, which sends what has failed, still runs: it goes on by itself if the webhook is on before its " +
      "next step, else it pauses itself then, and GET /api/replays/rpl_1 says how to go on.";
    assert.ok((await stepOf(id))?.endsWith(` ${runs}`), (await stepOf(id)) ?? "");
    await patch(id, { enabled: true });
    const named = "The replay rpl_1 sends what has failed: see how far it is with GET /api/replays/rpl_1.";
    assert.equal(await stepOf(id), named);
    await set(sql`created_at = ${START}`);
    const call = `POST /api/webhooks/${id}/replays {"since":"2026-01-31T09:30:00.001Z","until":"2026-01-31T09:30:00.002Z","states":["failed"]}`;
    const rest = `What is failed still when rpl_1 is over, such as what failed after that was asked for, can be sent then with ${call}.`;
    assert.equal(await stepOf(id), `${named} ${rest}`);
    await patch(id, { enabled: false });
    const on_again = rest.replace("is over,", "is over and the webhook on again,");
    assert.ok((await stepOf(id))?.endsWith(` ${runs} ${on_again}`), (await stepOf(id)) ?? "");
    await patch(id, { enabled: true });
    for (const elsewhere of [
      sql`walked = 1`,
      sql`walked = 0, at_position = ${uuidFloor(START + 2)}, end_position = ${uuidFloor(START + 9)}`,
      sql`at_position = ${uuidFloor(START - 9)}, end_position = ${uuidFloor(START + 1)}`,
    ]) {
      await set(elsewhere);
      const told = `1 delivery has failed for good, and stays failed: send it with ${call} when the receiver is well.`;
      assert.equal(await stepOf(id), told, "it has handed out all that it sends, or sends none of that");
    }
  });

  test("a running replay that sends both what it missed and what has failed is named once", async () => {
    const { db, create, patch, fail, turnOffAndOn, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await fail(id);
    await turnOffAndOn(id, 2);
    await insertPaused(id, id, '["failed","missing"]');
    await db.query(sql`update replays set state = 'running'`);
    assert.equal(
      await stepOf(id),
      "The replay rpl_1 sends what has failed or is missing: see how far it is with GET /api/replays/rpl_1.",
    );
    await patch(id, { enabled: false });
    assert.equal((await stepOf(id))?.match(/ rpl_1, which sends /g)?.length, 1, (await stepOf(id)) ?? "");
  });

  test("one that is paused names a paused replay of what it missed, too, once", async () => {
    const { db, create, turnOffAndOn, insertPaused, stepOf } = await openPaused(engine);
    const id = await create();
    await turnOffAndOn(id, 2);
    await insertPaused(id, id, '["missing"]');
    await db.query(sql`update destinations set state = 'paused' where id = ${id}`);
    assert.ok((await stepOf(id))?.endsWith(` ${paused("what it missed")} ${GO_ON}`), (await stepOf(id)) ?? "");
  });
});

test("what a replay sends is said in words, of another webhook with its name", () => {
  const of = (states: string[], destination_id = "dst_a") => whatOf({ states, destination_id, target_id: "dst_a" });
  assert.equal(of(["missing"]), "what it missed");
  assert.equal(of(["failed"]), "what has failed");
  assert.equal(of(["succeeded", "canceled", "skipped"]), "what has succeeded, was canceled or was skipped");
  assert.equal(of(["missing"], "dst_b"), "it what is missing at dst_b");
});

test("one that runs says how far it is, and of many that are paused the first is named", () => {
  const own = { destination_id: "dst_a", target_id: "dst_a", states: ["failed"] };
  assert.equal(
    stepOfReplay({ id: "rpl_1", state: "running", ...own }),
    "The replay rpl_1 sends what has failed: see how far it is with GET /api/replays/rpl_1.",
  );
  const three = ["rpl_1", "rpl_2", "rpl_3"].map((id): ReplayUnderWay => {
    return { id, state: "paused", ...own, at_position: "", end_position: "", is_all: true, created_at: 0 };
  });
  assert.equal(
    stepForPaused("dst_a", three, false),
    `${paused("what has failed")} ${GO_ON} 2 others are paused, too: GET /api/webhooks/dst_a/replays lists them.`,
  );
});
