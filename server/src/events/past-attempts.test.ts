// Attempts that end after a person has corrected or enabled their webhook, from the receiver to its state, on both engines.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import { openPipeline } from "../../test/support/pipeline.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";

const clicks = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ event: "link.click" as const, data: { n } }));

/** A webhook at a receiver that answers when the test says so; each path by itself. */
async function openHeld(engine: Engine) {
  const pipeline = await openPipeline(engine);
  const { destinations, deliveries } = pipeline;
  const waiting: { path: string; answer(status: number): void }[] = [];
  const receiver = await startReceiver(
    ({ path }) => new Promise((resolve) => void waiting.push({ path, answer: (status) => resolve({ status }) })),
  );
  after(() => receiver.close());
  const settings = { url: `${receiver.url}/old`, events: ["link.click"], retry_schedule: [3_600], timeout_ms: 30_000 };
  const { id } = await destinations.createWebhook("shop", WebhookCreate.parse(settings));
  const held = (path: string) => waiting.filter((one) => one.path === path);
  const answer = async (path: string, status: number) => {
    await waitUntil(async () => held(path).length > 0, `a request to ${path}`);
    const [first] = held(path);
    assert.ok(first !== undefined);
    waiting.splice(waiting.indexOf(first), 1);
    first.answer(status);
  };
  const show = () => destinations.getWebhook(id, null);
  const isIn = (state: string) => waitUntil(async () => (await show()).state === state, `the webhook to be ${state}`);
  const correct = (changes = {}) =>
    destinations.patchWebhook(id, null, { url: `${receiver.url}/new`, ...changes }, "admin");
  const list = (state: "pending" | "failed" | "succeeded") =>
    deliveries.listDeliveries(id, null, { state }, { limit: 100 });
  return { ...pipeline, id, held, answer, show, isIn, correct, list };
}

type Held = Awaited<ReturnType<typeof openHeld>>;

/** Its attempts by the present settings have failed for so long that the next probe that fails disables it, once it is paused. */
async function failLong({ db, id }: Held): Promise<void> {
  const failing_since = Date.now() - FAILURE_RULES.disable_after_ms - 1_000;
  await db.query(sql`update destination_health set consecutive_failures = 20, failing_since = ${failing_since}
    where destination_id = ${id}`);
}

/** Paused for so long, and its first probe due now. */
async function pauseLong(world: Held): Promise<void> {
  const { db, destinations, id } = world;
  await failLong(world);
  assert.equal((await destinations.review(id))?.state, "paused");
  await db.query(sql`update destination_health set probe_at = ${Date.now()} where destination_id = ${id}`);
}

forEachEngine((engine) => {
  test("a probe to the old URL that fails after the URL was corrected disables nothing", async () => {
    const world = await openHeld(engine);
    const { destinations, dispatcher, events, verdicts, id, held, answer, show, isIn, correct, list } = world;
    await pauseLong(world);
    await events.ingest("shop", clicks(2));
    await dispatcher.start();
    await waitUntil(async () => held("/old").length === 1, "the probe to the old URL");
    await correct();
    await waitUntil(async () => held("/new").length === 1, "the probe to the new URL");
    await answer("/old", 500);
    await waitUntil(async () => verdicts.length === 1, "the old probe to have been looked at");
    assert.deepEqual([verdicts, (await show()).state], [[null], "paused"]);
    await answer("/new", 204);
    await isIn("active");
    await answer("/new", 204);
    await waitUntil(async () => (await list("succeeded")).items.length === 2, "both to be delivered");
    const { items } = await destinations.listChanges(id, null, { limit: 10 });
    assert.deepEqual(
      items.map(({ state, cause }) => [state, cause === "changed: url"]),
      [
        ["active", false],
        ["paused", true],
        ["paused", false],
        ["active", false],
      ],
    );
  });

  test("a probe with the present settings disables it, also right after one to the old URL", async () => {
    const world = await openHeld(engine);
    const { dispatcher, events, held, answer, isIn, correct } = world;
    await pauseLong(world);
    await events.ingest("shop", clicks(2));
    await dispatcher.start();
    await waitUntil(async () => held("/old").length === 1, "the probe to the old URL");
    await correct();
    await failLong(world);
    await waitUntil(async () => held("/new").length === 1, "the probe to the new URL");
    await answer("/old", 500);
    await answer("/new", 500);
    await isIn("disabled");
  });

  test("the first probe with the present settings disables nothing, however long those of before have failed", async () => {
    const world = await openHeld(engine);
    const { dispatcher, events, verdicts, held, answer, show, correct } = world;
    await pauseLong(world);
    await events.ingest("shop", clicks(2));
    await dispatcher.start();
    await waitUntil(async () => held("/old").length === 1, "the probe to the old URL");
    await correct();
    await waitUntil(async () => held("/new").length === 1, "the probe to the new URL");
    await answer("/new", 500);
    await waitUntil(async () => verdicts.length === 1, "it to have been looked at");
    const { state, health } = await show();
    assert.deepEqual([state, health.consecutive_failures], ["paused", 1]);
    await answer("/old", 500);
  });

  test("what fails by the old URL after it was corrected is no part of the run of failures", async () => {
    const world = await openHeld(engine);
    const { db, dispatcher, events, verdicts, id, held, answer, show, correct, list } = world;
    const long_ago = Date.now() - FAILURE_RULES.pause_after_ms;
    await dispatcher.start();
    await events.ingest("shop", clicks(4));
    await waitUntil(async () => held("/old").length === 4, "four requests to the old URL");
    await db.query(sql`update destination_health set consecutive_failures = 17, failing_since = ${long_ago}
      where destination_id = ${id}`);
    await correct();
    for (let late = 0; late < 2; late++) await answer("/old", 500);
    await waitUntil(async () => (await show()).health.last_failure_at !== null, "them to have failed");
    await events.ingest("shop", clicks(1));
    await answer("/new", 500);
    await waitUntil(
      async () => (await show()).health.consecutive_failures === 1,
      "the one to the new URL to have failed",
    );
    for (let late = 0; late < 2; late++) await answer("/old", 500);
    const haveFailed = async () => (await list("pending")).items.every(({ attempt_count }) => attempt_count === 1);
    await waitUntil(async () => held("/old").length === 0 && (await haveFailed()), "all to have failed");
    await waitUntil(async () => verdicts.length > 0, "them to have been looked at");
    const { state, health } = await show();
    assert.deepEqual([state, health.consecutive_failures], ["active", 1]);
  });

  test("where one delivery waits alone, the new URL is tried when the probe to the old one has ended", async () => {
    const world = await openHeld(engine);
    const { db, dispatcher, events, id, held, answer, isIn, correct, list } = world;
    await pauseLong(world);
    await events.ingest("shop", clicks(1));
    // As late as it may be by its schedule: its probe does not wait for that.
    await db.query(sql`update deliveries set due_at = ${Date.now() + 3_600_000} where destination_id = ${id}`);
    await dispatcher.start();
    await waitUntil(async () => held("/old").length === 1, "the probe to the old URL");
    await correct();
    assert.equal(held("/new").length, 0);
    await answer("/old", 500);
    await answer("/new", 204);
    await isIn("active");
    assert.equal((await list("succeeded")).items[0]?.attempt_count, 2);
  });

  test("a 410 that comes after the webhook was enabled or its URL changed ends its delivery and disables nothing", async () => {
    const world = await openHeld(engine);
    const { dispatcher, events, verdicts, held, answer, show, isIn, correct, list } = world;
    await dispatcher.start();
    await events.ingest("shop", clicks(4));
    await waitUntil(async () => held("/old").length === 4, "four requests");
    await answer("/old", 410);
    await isIn("disabled");
    await correct({ enabled: true });
    for (let late = 0; late < 3; late++) await answer("/old", 410);
    await waitUntil(async () => verdicts.length === 4, "the late answers to have been looked at");
    assert.deepEqual([verdicts, (await show()).state], [["disabled", null, null, null], "active"]);
    const { items } = await list("failed");
    assert.equal(items.length, 4);
    for (const { reason } of items) assert.match(reason ?? "", /410/);

    await events.ingest("shop", clicks(2));
    await waitUntil(async () => held("/new").length === 2, "two requests to the new URL");
    await world.destinations.patchWebhook(world.id, null, { headers: { a: "b" } });
    await answer("/new", 410);
    await waitUntil(async () => verdicts.length === 5, "the answer to have been looked at");
    assert.equal((await show()).state, "active", "it was active all the time");
    await events.ingest("shop", clicks(1));
    await waitUntil(async () => held("/new").length === 2, "a request with the new headers");
    await answer("/new", 410);
    await answer("/new", 410);
    await isIn("disabled");
  });
});
