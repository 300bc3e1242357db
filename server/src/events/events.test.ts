// The pipeline without HTTP in front: events go in, a real receiver gets them, the ledger says so. On both engines.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import { openPipeline } from "../../test/support/pipeline.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { SLOW_SHARE } from "../deliveries/lanes.ts";
import { sql } from "../platform/sql.ts";

const click = (n: number) => ({ event: "link.click" as const, data: { n, link_id: "lnk_1" } });

forEachEngine((engine) => {
  test("of an event whose row was removed the app is told what became of it, and others are told nothing", async () => {
    const { db, destinations, events } = await openPipeline(engine);
    const input = WebhookCreate.parse({ url: "http://127.0.0.1:9/", events: ["link.click"] });
    await destinations.createWebhook("shop", input);
    const { accepted } = await events.ingest("shop", [click(1), { event: "link.claim", data: {} }]);
    await db.query(sql`delete from events`);
    const [sent = "", unwanted = ""] = accepted;
    const told = { code: "not_found", message: /was erased.* dlv_[0-9a-f]{32}_[0-9a-f]+ is pending\.$/ };
    await assert.rejects(events.getEvent(sent, "shop"), told);
    const untold = {
      code: "not_found",
      message:
        /^The app shop has no such event\. Check the id\. One that is older .* GET \/api\/apps\/shop\/events lists/,
    };
    await assert.rejects(events.getEvent(unwanted, "shop"), untold);
    await assert.rejects(events.getEvent(sent, "blog"), { code: "not_found", message: /^There is no such app/ });
    await assert.rejects(events.getEvent(sent, null), {
      code: "not_found",
      message:
        /^There is no such event in any app\. .* GET \/api\/events\/\{id\}\?app_id= with the id of its app tells/,
    });
  });

  test("an event reaches its webhook once, and its fate says so", async () => {
    const { destinations, dispatcher, events, deliveries } = await openPipeline(engine);
    const receiver = await startReceiver();
    after(() => receiver.close());
    const webhook = await destinations.createWebhook(
      "shop",
      WebhookCreate.parse({ url: receiver.url, events: ["link.click"] }),
    );
    await dispatcher.start();
    const { accepted, duplicates } = await events.ingest("shop", [click(1), { event: "link.claim", data: {} }]);
    assert.deepEqual([accepted.length, duplicates], [2, []]);
    await receiver.waitFor(1);
    const [first, second] = accepted;
    const settled = async () => (await events.getEvent(String(first), "shop")).fates[0]?.state === "succeeded";
    await waitUntil(settled, "the delivery is recorded");
    assert.equal((await events.getEvent(String(second), null)).fates[0]?.state, "not_subscribed");
    const { items } = await deliveries.listDeliveries(webhook.id, "shop", {}, { limit: 10 });
    assert.deepEqual(
      items.map((item) => [item.event_id, item.state, item.attempt_count]),
      [[first, "succeeded", 1]],
    );
    const detail = await deliveries.getDelivery(items[0]?.id ?? "", "shop");
    assert.equal(detail.request.body, receiver.received[0]?.body.toString());
    assert.deepEqual(
      detail.attempts.map((one) => [one.number, one.outcome, one.status_code]),
      [[1, "accepted", 200]],
    );
    await assert.rejects(deliveries.getDelivery(items[0]?.id ?? "", "other"), { code: "not_found" });
  });

  test("a given id is stored and delivered once, however often it comes", async () => {
    const { destinations, dispatcher, events } = await openPipeline(engine);
    const receiver = await startReceiver();
    after(() => receiver.close());
    await destinations.createWebhook("shop", WebhookCreate.parse({ url: receiver.url, events: ["link.click"] }));
    await dispatcher.start();
    const given = "6a0f7e3c-1111-4222-8333-444455556666";
    const both = await Promise.all([
      events.ingest("shop", [
        { ...click(1), id: given },
        { ...click(2), id: given },
      ]),
      events.ingest("shop", [{ ...click(3), id: given }]),
    ]);
    assert.equal(both.flatMap((one) => one.accepted).length, 1);
    assert.equal(both.flatMap((one) => one.duplicates).length, 2);
    const made = (await events.ingest("shop", [click(4)])).accepted[0] ?? "";
    const again = await events.ingest("shop", [{ ...click(5), id: made }]);
    assert.deepEqual(again, { accepted: [], duplicates: [made] });
    await receiver.waitFor(2);
    await waitUntil(async () => dispatcher.counts().unsettled === 0, "everything is recorded");
    assert.deepEqual(receiver.received.map((one) => one.headers["webhook-id"]).sort(), [given, made].sort());
    assert.equal((await events.getEvent(given, "shop")).id, given);
  });

  test("a failing webhook is tried by its schedule, and one attempt more when asked for", async () => {
    const { destinations, dispatcher, events, deliveries, logged } = await openPipeline(engine);
    let status = 500;
    const receiver = await startReceiver(() => ({ status, body: "not now" }));
    after(() => receiver.close());
    const webhook = await destinations.createWebhook(
      "shop",
      WebhookCreate.parse({ url: receiver.url, events: ["link.click"] }),
    );
    await dispatcher.start();
    await events.ingest("shop", [click(1)]);
    const first = async () => (await deliveries.listDeliveries(webhook.id, null, {}, { limit: 1 })).items[0];
    await waitUntil(async () => (await first())?.state === "failed", "the schedule is used up");
    assert.equal(receiver.received.length, 3);
    assert.equal(new Set(receiver.received.map((one) => one.body.toString())).size, 1);
    const { id = "", reason } = (await first()) ?? {};
    // What the log names can be asked for.
    assert.deepEqual(logged, [{ event: "delivery.failed", delivery_id: id, destination_id: webhook.id, reason }]);
    const asked_at = Date.now();
    const asked = await deliveries.retryDelivery(id, "shop");
    assert.deepEqual([asked.state, asked.reason], ["pending", "An attempt was asked for by hand."]);
    assert.ok(Date.parse(asked.next_attempt_at ?? "") >= asked_at, "the next attempt is not in the past");
    await waitUntil(async () => (await first())?.state === "failed", "the retry by hand fails");
    const in_vain = (await deliveries.getDelivery(id, "shop")).reason ?? "";
    assert.ok(in_vain.startsWith(`${reason} Sent again by hand at `) || in_vain.startsWith(`${reason}. Sent`), in_vain);
    assert.equal((await first())?.reason, in_vain);
    status = 200;
    await deliveries.retryDelivery(id, "shop");
    await waitUntil(async () => (await first())?.state === "succeeded", "the retry by hand succeeds");
    const detail = await deliveries.getDelivery(id, "shop");
    assert.deepEqual(
      detail.attempts.map((one) => [one.number, one.trigger, one.status_code]),
      [
        [1, "auto", 500],
        [2, "auto", 500],
        [3, "auto", 500],
        [4, "manual", 500],
        [5, "manual", 200],
      ],
    );
    assert.equal(detail.attempts[0]?.response_snippet, "not now");
    await assert.rejects(deliveries.cancelDelivery(id, "shop"), { code: "conflict" });
  });

  test("a test event goes to its webhook alone, also while that is off", async () => {
    const { destinations, dispatcher, events } = await openPipeline(engine);
    const receiver = await startReceiver();
    after(() => receiver.close());
    const off = { url: `${receiver.url}/off`, events: ["link.claim"], enabled: false };
    const on = { url: `${receiver.url}/on`, events: ["link.claim"] };
    const target = await destinations.createWebhook("shop", WebhookCreate.parse(off));
    const other = await destinations.createWebhook("shop", WebhookCreate.parse(on));
    await dispatcher.start();
    const { event_id } = await events.sendTest(target.id, "shop");
    await receiver.waitFor(1);
    assert.deepEqual(
      receiver.received.map((one) => one.path),
      ["/off"],
    );
    const states = async () =>
      new Map((await events.getEvent(event_id, "shop")).fates.map((one) => [one.destination_id, one.state]));
    await waitUntil(async () => (await states()).get(target.id) === "succeeded", "the test is recorded");
    assert.equal((await states()).get(other.id), "not_subscribed");
    assert.equal(JSON.parse(receiver.received[0]?.body.toString() ?? "").data.test, true);
    const data = { order: 17, test: "no" };
    await events.sendTest(target.id, "shop", { event: "link.app_open", data });
    await receiver.waitFor(2);
    const own = JSON.parse(receiver.received[1]?.body.toString() ?? "");
    assert.deepEqual([own.event, own.data], ["link.app_open", { order: 17, test: true }]);
  });

  test("the fate of what has failed has the advice of its last attempt, while it is pending and when it is given up", async () => {
    const { destinations, dispatcher, events } = await openPipeline(engine);
    const receiver = await startReceiver(({ path }) => ({ status: path === "/404" ? 404 : 500 }));
    after(() => receiver.close());
    const create = (path: string) =>
      WebhookCreate.parse({ url: receiver.url + path, events: ["link.click"], retry_schedule: [0, 3_600] });
    const { id: pending } = await destinations.createWebhook("shop", create("/500"));
    const { id: failed } = await destinations.createWebhook("shop", create("/404"));
    await dispatcher.start();
    const { accepted } = await events.ingest("shop", [click(1)]);
    const fates = async () =>
      new Map((await events.getEvent(accepted[0] ?? "", "shop")).fates.map((one) => [one.destination_id, one]));
    const isTold = async () => {
      const told = await fates();
      return /Next attempt at/.test(told.get(pending)?.reason ?? "") && told.get(failed)?.state === "failed";
    };
    await waitUntil(async () => (await isTold()) && receiver.received.length === 3, "both to have failed");
    const told = await fates();
    assert.match(
      told.get(pending)?.next_step ?? "",
      /^Look into the receiver's log: .* To try it at once: POST \/api\//,
    );
    const step = told.get(failed)?.next_step ?? "";
    assert.match(step, /^Correct the path of the URL, .* Then send it again with POST \/api\//);
  });

  test("tests neither pause, disable nor resume a webhook, whatever they are answered", async () => {
    const { db, destinations, dispatcher, events } = await openPipeline(engine);
    let status = 410;
    const receiver = await startReceiver(() => ({ status }));
    after(() => receiver.close());
    const { id } = await destinations.createWebhook(
      "shop",
      WebhookCreate.parse({ url: receiver.url, events: ["link.click"], retry_schedule: [] }),
    );
    await dispatcher.start();
    const testOnce = async (state: string) => {
      const { event_id } = await events.sendTest(id, "shop");
      const isSettled = async () => (await events.getEvent(event_id, "shop")).fates[0]?.state === state;
      await waitUntil(isSettled, `the test to have ${state}`);
      return destinations.getWebhook(id, null);
    };
    assert.equal((await testOnce("failed")).state, "active", "gone for a test");
    status = 500;
    for (let count = 0; count < FAILURE_RULES.pause_after_failures + 1; count++) await testOnce("failed");
    await destinations.review(id);
    const { state, health } = await destinations.getWebhook(id, null);
    assert.deepEqual([state, health.consecutive_failures, health.last_failure_at], ["active", 0, null]);
    await db.query(sql`update destination_health set consecutive_failures = 20, failing_since = ${Date.now() - 400_000}
      where destination_id = ${id}`);
    await destinations.review(id);
    status = 200;
    assert.equal((await testOnce("succeeded")).state, "paused");
    await destinations.patchWebhook(id, null, { enabled: true });
    status = 410;
    await events.ingest("shop", [click(1)]);
    await waitUntil(async () => (await destinations.getWebhook(id, null)).state === "disabled", "it to be disabled");
  });

  test("what is accepted while nothing dispatches is sent when something does", async () => {
    const { destinations, dispatcher, events } = await openPipeline(engine);
    const receiver = await startReceiver();
    after(() => receiver.close());
    await destinations.createWebhook("shop", WebhookCreate.parse({ url: receiver.url, events: ["link.click"] }));
    await events.ingest(
      "shop",
      Array.from({ length: 250 }, (_, n) => click(n)),
    );
    await dispatcher.start();
    await receiver.waitFor(250);
    await waitUntil(async () => dispatcher.counts().unsettled === 0, "everything is recorded");
    assert.equal(new Set(receiver.received.map((one) => one.headers["webhook-id"])).size, 250);
    assert.equal(receiver.received.length, 250);
  });

  test("a webhook that hangs holds a tenth of the slots at the most, and delays nobody", async () => {
    const { destinations, dispatcher, events } = await openPipeline(engine);
    const hanging = await startReceiver(() => "hang");
    const fast = await startReceiver();
    after(() => Promise.all([hanging.close(), fast.close()]));
    const greedy = { url: hanging.url, events: ["link.click"], max_in_flight: 1000, timeout_ms: 60_000 };
    await destinations.createWebhook("shop", WebhookCreate.parse(greedy));
    await destinations.createWebhook("shop", WebhookCreate.parse({ url: fast.url, events: ["link.click"] }));
    await dispatcher.start();
    for (let round = 0; round < 4; round++) {
      await events.ingest(
        "shop",
        Array.from({ length: 250 }, (_, n) => click(n)),
      );
    }
    await fast.waitFor(1000);
    assert.ok(hanging.received.length > 0);
    assert.ok(hanging.received.length <= SLOW_SHARE, `${hanging.received.length} requests hang`);
  });

  test("lists page through everything once, newest first", async () => {
    const { events } = await openPipeline(engine);
    const { accepted } = await events.ingest(
      "shop",
      Array.from({ length: 7 }, (_, n) => click(n)),
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await events.listEvents("shop", { link_id: "lnk_1" }, { limit: 3, cursor });
      seen.push(...page.items.map((item) => item.id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual(seen, accepted.toReversed());
    assert.deepEqual((await events.listEvents("shop", { link_id: "other" }, { limit: 3 })).items, []);
    await assert.rejects(events.listEvents("shop", {}, { limit: 3, cursor: "???" }), { code: "invalid_request" });
  });
});
