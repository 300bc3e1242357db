// What is told of events through the whole pipeline, on both engines: where nobody sends, where a replay is to come, where there
// is no webhook, and of ids that are none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openPipeline } from "../../test/support/pipeline.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { sql } from "../platform/sql.ts";

const CLICK = { event: "link.click" as const, data: {} };
const WEBHOOK = WebhookCreate.parse({ url: "http://127.0.0.1:9/", events: ["link.click"] });
const NOBODY = { ...NO_LIMITS, nobody: { reason: "Nobody sends.", step: "Start a dispatcher." } };

forEachEngine((engine) => {
  test("while nobody sends, each fate that is open and each answer to a retry begins or ends with that", async () => {
    const { destinations, events, deliveries } = await openPipeline(engine, true, async () => () => NOBODY);
    const { id } = await destinations.createWebhook("shop", WEBHOOK);
    const { accepted } = await events.ingest("shop", [CLICK, { event: "link.claim", data: {} }]);
    const fateOf = async (n: number) => (await events.getEvent(accepted[n] ?? "", "shop")).fates[0];
    const [fate, unwanted] = [await fateOf(0), await fateOf(1)];
    assert.deepEqual([fate?.state, fate?.next_step], ["pending", "Start a dispatcher."]);
    assert.match(fate?.reason ?? "", / Nobody sends\.$/);
    assert.match(unwanted?.next_step ?? "", /^Start a dispatcher\. When one runs: Add link\.claim /);
    const delivery_id = fate?.delivery_id ?? "";
    const retried = await deliveries.retryDelivery(delivery_id, "shop");
    assert.equal(retried.reason, "An attempt was asked for by hand. An attempt is due now. Nobody sends.");
    await deliveries.cancelDelivery(delivery_id, "shop");
    await destinations.patchWebhook(id, null, { enabled: false });
    const canceled = (await fateOf(0))?.next_step ?? "";
    assert.match(canceled, /^Start a dispatcher\. When one runs: Send it after all with POST /);
  });

  test("a delivery that has failed is told of the replay that is to come to it, unless that was asked for before", async () => {
    const { db, destinations, events } = await openPipeline(engine);
    const { id } = await destinations.createWebhook("shop", WEBHOOK);
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    await db.query(sql`update deliveries set state = 'failed', reason = 'It broke', due_at = null, settled_at = 1000`);
    const stepOf = async () => (await events.getEvent(event_id, "shop")).fates[0]?.next_step ?? "";
    const all = new RegExp(
      ` All that failed at this webhook go again with POST /api/webhooks/${id}/replays \\{"since":`,
    );
    assert.match(await stepOf(), all);
    await db.query(sql`insert into replays (id, destination_id, target_id, app_id, state, since, until, states, missing_events,
        total, created, succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision, created_at, slot)
      values ('rpl_a', ${id}, ${id}, 'shop', 'paused', 0, 1, '["failed"]', '[]', 1, 0, 0, 0, '0', 'g', 0, 0, 0, 1, 999, 1)`);
    assert.match(await stepOf(), all, "it was sent since that was asked for");
    await db.query(sql`update replays set created_at = 1000`);
    assert.match(
      await stepOf(),
      /^Mend what the reason says\. The replay rpl_a, .* is paused: .* Go on with POST \/api\/replays\/rpl_a\/resume\. Or send this one alone with POST \S+\/retry\.$/,
    );
    await db.query(sql`update replays set reason = '9 of 10 failed. When the receiver is well, go on with …'`);
    assert.match(await stepOf(), / says why\. When the receiver is well, go on with POST \S+\/resume\. Or send /);
    await destinations.patchWebhook(id, null, { enabled: false });
    assert.match(
      await stepOf(),
      / Turn the webhook on with PATCH \S+ \{"enabled": true\}, then, when the receiver is well, go on with POST \S+\/resume\. Or /,
    );
    await db.query(sql`update replays set state = 'running', reason = null`);
    assert.match(
      await stepOf(),
      / is under way, and pauses itself, for the webhook is off: turn the webhook on with PATCH \S+ \{"enabled": true\}, then see with GET \/api\/replays\/rpl_a whether it has, and go on with POST \/api\/replays\/rpl_a\/resume where it has\.$/,
    );
    await destinations.patchWebhook(id, null, { enabled: true });
    assert.match(await stepOf(), /^Mend what the reason says\. The replay rpl_a, .* is under way: [^P]*$/);
    await db.query(sql`update replays set states = '["missing"]'`);
    assert.match(await stepOf(), all, "it takes other ones");
  });

  test("a replay is told of an event without a delivery only where its own types, parts and the filter of its webhook take it", async () => {
    const { db, destinations, events } = await openPipeline(engine);
    const claims = WebhookCreate.parse({ url: "http://127.0.0.1:9/", events: ["link.claim"] });
    const target = await destinations.createWebhook("shop", claims);
    const source = await destinations.createWebhook("shop", { ...WEBHOOK, enabled: false });
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    const stepOf = async () => {
      const { fates } = await events.getEvent(event_id, "shop");
      return fates.find(({ destination_id }) => destination_id === target.id)?.next_step ?? "";
    };
    await db.query(sql`insert into replays (id, destination_id, target_id, app_id, state, since, until, states, missing_events,
        total, created, succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision, created_at, slot)
      values ('rpl_a', ${source.id}, ${target.id}, 'shop', 'paused', 0, 1, '["missing"]', '["link.click"]', 1, 0, 0, 0, '0', 'g',
        0, 0, 0, 1, 1000, 1)`);
    assert.match(await stepOf(), /The replay rpl_a, /);
    const others: [column: "missing_events" | "parts", value: string][] = [
      ["missing_events", '["link.claim"]'],
      ["parts", '[["0","00"],["f","ff"]]'],
    ];
    for (const [column, value] of others) {
      const before = await db.query<{ was: string | null }>(
        column === "parts" ? sql`select parts as was from replays` : sql`select missing_events as was from replays`,
      );
      const set = (to: string | null) =>
        db.query(
          column === "parts" ? sql`update replays set parts = ${to}` : sql`update replays set missing_events = ${to}`,
        );
      await set(value);
      assert.doesNotMatch(await stepOf(), /rpl_a/, column);
      await set(before[0]?.was ?? null);
      assert.match(await stepOf(), /rpl_a/, column);
    }
    const near: [title: string, parts: [from_position: string, end_position: string][], is_told: boolean][] = [
      ["it is in the second one", [["0", "00"], ["00", "g"]], true],
      ["it is where one begins, whose bounds are none of it", [["0", "00"], [event_id, "g"]], false],
      ["it is where one ends", [["0", event_id], ["f", "ff"]], false],
    ]; // biome-ignore format: a part is read on one line
    for (const [title, parts, is_told] of near) {
      await db.query(sql`update replays set parts = ${JSON.stringify(parts)}`);
      assert.equal(/rpl_a/.test(await stepOf()), is_told, title);
    }
    await db.query(sql`update replays set parts = null`);
    assert.match(await stepOf(), /rpl_a/);
    await destinations.patchWebhook(source.id, null, { filter: { path: "data.platform", equals: "ios" } });
    assert.doesNotMatch(await stepOf(), /rpl_a/, "what it misses has to pass its filter");
  });

  test("an event of an app without webhooks says why it has no fate, and which calls send it", async () => {
    const { db, destinations, events } = await openPipeline(engine);
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    const { fates, next_step } = await events.getEvent(event_id, "shop");
    assert.deepEqual(fates, []);
    assert.match(
      next_step ?? "",
      /^The app has no webhook, so this event is sent to nobody\. Make one with POST \/api\/apps\/shop\/webhooks \{.*"link\.click".*; it gets this event, too, with POST \/api\/webhooks\/\{id\}\/replays \{"since":.*"missing"/,
    );
    await db.query(sql`update events set erased_at = 1000`);
    assert.equal("next_step" in (await events.getEvent(event_id, "shop")), false);
    await db.query(sql`update events set erased_at = null`);
    await destinations.createWebhook("shop", WEBHOOK);
    assert.equal("next_step" in (await events.getEvent(event_id, "shop")), false);
  });

  test("an id of no delivery is told in which app it was looked for, and where to look", async () => {
    const { destinations, events, deliveries } = await openPipeline(engine);
    await destinations.createWebhook("shop", WEBHOOK);
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    const id = (await events.getEvent(event_id, "shop")).fates[0]?.delivery_id ?? "";
    const where =
      /GET \/api\/webhooks\/\{id\}\/deliveries lists .* GET \/api\/events\/\{id\} names those of an event\.$/;
    const cases: [id: string, app: string | null, start: RegExp][] = [
      [
        id,
        "blog",
        /^The app blog has no such delivery\. Check the id, which begins with dlv_: of a webhook that was deleted/,
      ],
      [
        `${id}0`,
        "blog",
        /^The app blog has no such delivery\. Check the id, which begins with dlv_: of a webhook that was deleted/,
      ],
      [`${id}0`, null, /^There is no such delivery in any app\. Check the id, which begins with dlv_: of a webhook/],
      [event_id, "shop", /^The app shop has no such delivery\. Check the id, which begins with dlv_: of a webhook/],
    ];
    for (const [wrong, app, start] of cases) {
      const told = await deliveries.getDelivery(wrong, app).catch((error: unknown) => error);
      assert.ok(told instanceof Error);
      assert.match(told.message, start);
      assert.match(told.message, where);
    }
  });
});
