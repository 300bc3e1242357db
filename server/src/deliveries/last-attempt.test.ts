// What is said of a delivery's last attempt is the same wherever the delivery is shown, on both engines.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openPipeline } from "../../test/support/pipeline.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { rows, sql } from "../platform/sql.ts";
import type { LastAttempt } from "./ledger-store.ts";
import { createDeliveryStore } from "./store.ts";

const CLICK = { event: "link.click" as const, data: {} };
const WEBHOOK = WebhookCreate.parse({ url: "http://127.0.0.1:9/", events: ["link.click"] });
const NOBODY = { ...NO_LIMITS, nobody: { reason: "Nobody sends.", step: "Start a dispatcher." } };
const BY_HAND = "Sent again by hand at 2026-01-31T09:30:00.000Z, it failed: The receiver answered 401.";
const STARTED = Date.UTC(2026, 0, 31, 9, 30);

forEachEngine((engine) => {
  test("what came of an attempt by hand is in the list, in the delivery itself and in its fate, in the order of time", async () => {
    const { db, destinations, events, deliveries } = await openPipeline(engine, true, async () => () => NOBODY);
    const { id } = await destinations.createWebhook("shop", WEBHOOK);
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    await events.ingest("shop", [CLICK]);
    await db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
        status_code, error, response_headers, response_snippet, response_truncated)
      select destination_id, position, 2, 'manual', ${STARTED}, 5, 'refused', 401,
        'The receiver answered 401.', '{}', '', 0 from deliveries where position = ${event_id}`);
    const told = async () => {
      const [fate] = (await events.getEvent(event_id, "shop")).fates;
      const delivery_id = fate?.delivery_id ?? "";
      const { items } = await deliveries.listDeliveries(id, "shop", {}, { limit: 10 });
      const listed = items.find((one) => one.id === delivery_id)?.reason;
      assert.equal(listed, (await deliveries.getDelivery(delivery_id, "shop")).reason);
      assert.equal(listed, fate?.reason);
      return { delivery_id, reason: listed, next_step: fate?.next_step ?? "" };
    };
    const set = (changes: { state: string; reason: string; settled_at: number | null }) =>
      db.query(sql`update deliveries set state = ${changes.state}, reason = ${changes.reason}, attempt = 2,
        due_at = null, settled_at = ${changes.settled_at} where position = ${event_id}`);
    await set({ state: "failed", reason: "It broke.", settled_at: STARTED - 1 });
    assert.equal((await told()).reason, `It broke. ${BY_HAND}`);
    await set({ state: "canceled", reason: "Canceled by hand.", settled_at: STARTED - 1 });
    assert.equal((await told()).reason, `Canceled by hand. ${BY_HAND}`);

    await db.query(sql`update deliveries set state = 'pending', reason = 'It broke.', due_at = 1, settled_at = null
      where position = ${event_id}`);
    const canceled = await deliveries.cancelDelivery((await told()).delivery_id, "shop");
    assert.equal(canceled.reason, `${BY_HAND} Canceled by hand.`);
    const { reason, next_step } = await told();
    assert.equal(reason, canceled.reason);
    assert.match(
      next_step,
      /Give the receiver this webhook's signing secret, .* Then send it after all with POST \S+\/retry\.$/,
    );
    await db.query(sql`update attempts set trigger = 'auto'`);
    assert.equal((await told()).reason, "Canceled by hand.");
    assert.match((await told()).next_step, /When one runs: Send it after all with POST /);
  });

  test("a pause that a receiver asks for is told wherever the delivery that waits for its end is shown", async () => {
    const { dispatcher, destinations, events, deliveries } = await openPipeline(engine);
    const receiver = await startReceiver(() => ({ status: 503, headers: { "retry-after": "3600" } }));
    after(() => receiver.close());
    const { id } = await destinations.createWebhook("shop", { ...WEBHOOK, url: receiver.url });
    await dispatcher.start();
    const [event_id = ""] = (await events.ingest("shop", [CLICK])).accepted;
    const first = async () => (await deliveries.listDeliveries(id, "shop", {}, { limit: 1 })).items[0];
    await waitUntil(
      async () => (await first())?.reason?.startsWith("The receiver answered 503") === true,
      "the answer",
    );
    const { id: delivery_id = "", reason } = (await first()) ?? {};
    assert.match(
      reason ?? "",
      / The receiver asked for a pause until \S+Z \(Retry-After\): no attempt is made by itself/,
    );
    const detail = await deliveries.getDelivery(delivery_id, "shop");
    assert.equal(detail.reason, reason);
    assert.match(detail.attempts[0]?.next_step ?? "", /^Let the receiver come back: it asked for a pause until /);
    const [fate] = (await events.getEvent(event_id, "shop")).fates;
    assert.ok(fate?.reason?.startsWith(`${reason} Next attempt at `), `${fate?.reason}`);
    assert.match(fate?.next_step ?? "", /^Let the receiver come back: .* To try it at once: POST /);
  });

  test("of the headers of an answer those alone are read that may ask for a pause", async () => {
    const db = await engine.open();
    const store = createDeliveryStore(db);
    const headers = '{"retry-after":"3600"}';
    const read: [status_code: number | null, response_headers: string][] = [
      [429, headers],
      [503, headers],
      [500, "{}"],
      [401, "{}"],
      [null, "{}"],
    ];
    const positions = read.map((_, n) => `p${n}`);
    const answered = read.map(([status_code], n) => {
      return ["dst_a", positions[n] ?? "", 1, "auto", STARTED, 5, "refused", status_code, headers, "", 0];
    });
    await db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
        status_code, response_headers, response_snippet, response_truncated) values ${rows(answered)}`);
    const told = (found: LastAttempt[]) => found.map((one) => [one.status_code, one.response_headers]);
    const of_page = await store.lastAttemptsAt("dst_a", positions);
    assert.deepEqual(told(of_page.toSorted((one, other) => (one.position < other.position ? -1 : 1))), read);
    const of_each = await Promise.all(positions.map((position) => store.lastAttempts(position, ["dst_a"])));
    assert.deepEqual(told(of_each.flat()), read);
  });
});
