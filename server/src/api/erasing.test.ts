// Erasing an event, over HTTP and on both engines: what is left of it, what is not done with it any more, and what becomes of
// an attempt that is made at that moment.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { DeliveryDetail } from "#contract/deliveries.ts";
import { EventWithFates } from "#contract/events.ts";
import { ADMIN_TOKEN, openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { type Reply, startReceiver } from "../../test/support/receiver.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { createStreamReader } from "../../test/support/stream-reader.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import { settle } from "../deliveries/settle-store.ts";
import { createDeliveryStore } from "../deliveries/store.ts";
import { sql } from "../platform/sql.ts";

const MARK = "ada@example.com";
const GIVEN = "019a8e2b-6c1e-7a54-9d3f-2b1c4d5e6f70";
const AT = /The event was erased at 2\d{3}-\d\d-\d\dT[\d:.]+Z(?:, before it could be delivered)?\.$/;
const UNSENT = /^The event was erased at \S+Z, before it could be delivered\.$/;
const RANGE = { since: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z" };

async function createWebhook(api: TestApi, app: string, settings: object = {}): Promise<string> {
  const body = { url: "https://1.1.1.1/in", events: ["link.click"], ...settings };
  const answer = await api.call("POST", `${app}/webhooks`, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.id;
}

async function ingest(api: TestApi, app: string, event: object = {}): Promise<string> {
  const body = { event: "link.click", data: { email: MARK, link_id: "lnk_1" }, ...event };
  const answer = await api.call("POST", `${app}/events`, body);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return answer.body.accepted[0];
}

async function erase(api: TestApi, id: string): Promise<void> {
  const { status, body } = await api.call("DELETE", `/api/events/${id}`);
  assert.deepEqual([status, body], [204, ""]);
}

async function fatesOf(api: TestApi, id: string) {
  const event = EventWithFates.strict().parse((await api.call("GET", `/api/events/${id}`)).body);
  return new Map(event.fates.map((fate) => [fate.destination_id, fate]));
}

async function deliveryAt(api: TestApi, id: string, webhook: string): Promise<DeliveryDetail> {
  const { delivery_id } = (await fatesOf(api, id)).get(webhook) ?? {};
  return DeliveryDetail.strict().parse((await api.call("GET", `/api/deliveries/${delivery_id}`)).body);
}

/** All that is stored of events and deliveries, as text. */
async function storedText({ db }: TestApi): Promise<string> {
  const tables = [sql`select * from events`, sql`select * from deliveries`, sql`select * from attempts`];
  return JSON.stringify(await Promise.all(tables.map((one) => db.query(one))));
}

/** A receiver whose answers a test gives one by one, by the number in the event. */
async function openGate() {
  const waiting = new Map<number, (reply: Reply) => void>();
  const numberOf = (body: Buffer): number => JSON.parse(body.toString()).data.n;
  const receiver = await startReceiver(({ body }) => {
    return new Promise<Reply>((resolve) => void waiting.set(numberOf(body), resolve));
  });
  after(() => receiver.close());
  return {
    url: receiver.url,
    numbers: () => receiver.received.map(({ body }) => numberOf(body)),
    arrived: (n: number) => waitUntil(() => waiting.has(n), `event ${n} to arrive`),
    answer(n: number, reply: Reply): void {
      waiting.get(n)?.(reply);
      waiting.delete(n);
    },
  };
}

const DELIVERING = { LINKME_ROLE: "edge,api,dispatcher", LINKME_EGRESS_ALLOW: "127.0.0.0/8" };

forEachEngine((engine) => {
  test("what it said is gone everywhere, its id and its fates stay, and erasing it again changes nothing", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const app_id = await api.createApp();
    const app = `/api/apps/${app_id}`;
    const waiting = await createWebhook(api, app);
    const off = await createWebhook(api, app, { enabled: false });
    const strict = await createWebhook(api, app, { filter: { path: "data.email", equals: "x" } });
    const claims = await createWebhook(api, app, { events: ["link.claim"] });
    for (const id of [await ingest(api, app), await ingest(api, app, { id: GIVEN })]) {
      const before = (await api.call("GET", `/api/events/${id}`)).body;
      assert.match(JSON.stringify(before.fates), new RegExp(MARK), "the filter says what it has seen");
      await erase(api, id);
      const { fates, ...shown } = EventWithFates.strict().parse((await api.call("GET", `/api/events/${id}`)).body);
      const { event, ts } = before;
      assert.deepEqual(shown, { id, event, ts, app_id, data: {}, erased_at: shown.erased_at });
      const told = new Map(fates.map((fate) => [fate.destination_id, fate]));
      assert.deepEqual(
        [waiting, off, strict, claims].map((one) => told.get(one)?.state),
        ["failed", "erased", "skipped", "erased"],
      );
      for (const { reason, next_step } of fates) {
        assert.match(reason ?? "", AT);
        assert.equal(next_step, null);
      }
      assert.match(told.get(waiting)?.reason ?? "", UNSENT);
      assert.match(told.get(strict)?.reason ?? "", /^Filtered\. The event/);
      const { items } = (await api.call("GET", `${app}/events`)).body;
      assert.deepEqual(
        items.find((one: { id: string }) => one.id === id),
        shown,
        "lists show it like that",
      );
      const detail = await deliveryAt(api, id, waiting);
      assert.deepEqual([detail.request.body, detail.request.headers, detail.attempts], ["", {}, []]);
      assert.equal(detail.expired?.at, shown.erased_at);
      assert.match(detail.expired?.reason ?? "", /was erased/);
      await erase(api, id);
      assert.deepEqual((await api.call("GET", `/api/events/${id}`)).body, { ...shown, fates });
    }
    assert.doesNotMatch(await storedText(api), new RegExp(MARK));
  });

  test("live streams show the tombstone, and that a delivery was erased", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const app = `/api/apps/${await api.createApp()}`;
    const hook = await createWebhook(api, app);
    const token = ADMIN_TOKEN.replaceAll(" ", "-");
    const url = await api.server.app.listen({ host: "127.0.0.1", port: 0 });
    const deliveries = createStreamReader(`/api/webhooks/${hook}/deliveries/stream`, token);
    const reading = deliveries.read(url, 2);
    await waitUntil(() => deliveries.lastId() !== null, "the stream to begin");
    const id = await ingest(api, app);
    await erase(api, id);
    assert.equal(await reading, 200);
    const changes = deliveries.messages.map(({ data }) => JSON.parse(data));
    assert.deepEqual(
      changes.map((one) => one.change),
      ["created", "erased"],
    );
    assert.deepEqual([changes[1].state, changes[1].event_id], ["failed", id]);
    assert.match(changes[1].reason, AT);
    const events = createStreamReader(`${app}/events/stream?since=2020-01-01T00:00:00Z`, token);
    await events.read(url, 1);
    const { fates: _, ...shown } = (await api.call("GET", `/api/events/${id}`)).body;
    assert.deepEqual(JSON.parse(events.messages[0]?.data ?? ""), shown);
    assert.deepEqual([shown.data, typeof shown.erased_at], [{}, "string"]);
  });

  test("nothing of it is sent any more, and nothing counts it as missing", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const app = `/api/apps/${await api.createApp()}`;
    const [hook, other] = [await createWebhook(api, app), await createWebhook(api, app, { enabled: false })];
    await ingest(api, app, { data: { n: 1 } });
    const id = await ingest(api, app, { id: GIVEN });
    await erase(api, id);
    const { id: delivery } = await deliveryAt(api, id, hook);
    for (const [action, body] of [["retry"], ["resend"], ["resend", { destination_id: other }]] as const) {
      const answer = await api.call("POST", `/api/deliveries/${delivery}/${action}`, body);
      const { error, message } = answer.body;
      assert.deepEqual([answer.status, error], [409, "conflict"]);
      assert.equal(message, "The event was erased, so there is nothing left to send.");
    }
    const previewed = async (webhook: string, states: string[]): Promise<number> => {
      const asked = { ...RANGE, states, dry_run: true };
      const { status, body } = await api.call("POST", `/api/webhooks/${webhook}/replays`, asked);
      assert.equal(status, 200, JSON.stringify(body));
      return body.count;
    };
    assert.deepEqual([await previewed(hook, ["failed"]), await previewed(other, ["missing"])], [0, 1]);
    assert.equal((await api.call("GET", `/api/webhooks/${other}`)).body.missed.count, 1);
    const again = await api.call("POST", `${app}/events`, { event: "link.click", data: {}, id: GIVEN });
    assert.deepEqual(again.body, { accepted: [], duplicates: [GIVEN] });
    const counted = (await api.call("GET", `${app}/fates`)).body;
    assert.equal(counted.events, 2);
    const fates = new Map(
      counted.items.map((one: { destination_id: string; fates: object }) => [one.destination_id, one.fates]),
    );
    const positive = (of: unknown) => Object.fromEntries(Object.entries(of as object).filter(([, n]) => n > 0));
    assert.deepEqual(
      [positive(fates.get(hook)), positive(fates.get(other))],
      [
        { pending: 1, failed: 1 },
        { off: 1, erased: 1 },
      ],
    );
    const tried = await api.call("POST", `${app}/webhooks/filter-check`, { filter: { path: "data.n", equals: 1 } });
    assert.deepEqual([tried.status, tried.body.checked], [200, 1], JSON.stringify(tried.body));
  });

  test("keys erase events of their app alone, and the operator says which where two apps have the id", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const [mine, theirs] = [await api.createApp(), await api.createApp()];
    const key = await api.createKey(mine, { can_read: false });
    const reader = await api.createKey(mine, { can_write: false });
    for (const app_id of [mine, theirs]) await ingest(api, `/api/apps/${app_id}`, { id: GIVEN });
    const of_theirs = await ingest(api, `/api/apps/${theirs}`);
    const call = async (path: string, token?: string) => {
      const { status, body } = await api.call("DELETE", `/api/events/${path}`, undefined, token ? { token } : {});
      return `${status} ${body.details?.[0]?.path ?? body.error ?? ""}`.trim();
    };
    assert.equal(await call(GIVEN), "400 app_id");
    assert.equal(await call(GIVEN, reader), "403 forbidden");
    assert.equal(await call(of_theirs, key), "404 not_found");
    assert.equal(await call(`${of_theirs}?app_id=${theirs}`, key), "404 not_found");
    assert.equal(await call(GIVEN.replace(/.$/, "1")), "404 not_found");
    assert.equal(await call(`${GIVEN.toUpperCase()}?app_id=${theirs}`), "204");
    const dataOf = async (app_id: string) => (await api.call("GET", `/api/events/${GIVEN}?app_id=${app_id}`)).body.data;
    assert.deepEqual([await dataOf(theirs), await dataOf(mine)], [{}, { email: MARK, link_id: "lnk_1" }]);
    assert.equal(await call(GIVEN, key), "204");
    assert.deepEqual(await dataOf(mine), {});
  });

  test("an attempt that is under way ends: its success counts, its failure is not tried again, its answer is not kept", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), ...DELIVERING });
    const app = `/api/apps/${await api.createApp()}`;
    const gate = await openGate();
    const hook = await createWebhook(api, app, { url: gate.url, retry_schedule: [0, 0, 0] });
    const echo = { headers: { "x-echo": MARK }, body: MARK };
    const ids: string[] = [];
    for (const n of [1, 2, 3]) ids.push(await ingest(api, app, { data: { n, email: MARK } }));
    await Promise.all([1, 2, 3].map(gate.arrived));
    const [good = "", bad = "", retried = ""] = ids;
    // The third is erased in its second attempt, with the first one on record.
    gate.answer(3, { status: 500, ...echo });
    await waitUntil(() => gate.numbers().filter((n) => n === 3).length === 2, "the second attempt");
    await gate.arrived(3);
    assert.match(await storedText(api), new RegExp(`"response_snippet":"${MARK}"`));
    for (const id of ids) await erase(api, id);
    assert.deepEqual(await Promise.all(ids.map(async (id) => (await fatesOf(api, id)).get(hook)?.state)), [
      "failed",
      "failed",
      "failed",
    ]);
    gate.answer(1, { status: 200, ...echo });
    gate.answer(2, { status: 500, ...echo });
    gate.answer(3, { status: 500, ...echo });
    const statusesOf = async (id: string) => (await deliveryAt(api, id, hook)).attempts.map((one) => one.status_code);
    const isRecorded = async () =>
      JSON.stringify(await Promise.all(ids.map(statusesOf))) === JSON.stringify([[200], [500], [500, 500]]);
    await waitUntil(isRecorded, "the attempts to be recorded");
    const states = await Promise.all(ids.map(async (id) => (await fatesOf(api, id)).get(hook)));
    assert.deepEqual(
      states.map((fate) => fate?.state),
      ["succeeded", "failed", "failed"],
    );
    assert.ok(states.slice(1).every((fate) => UNSENT.test(fate?.reason ?? "")));
    assert.match((await deliveryAt(api, good, hook)).reason ?? "", AT);
    for (const id of [good, bad, retried]) {
      for (const { response_headers, response_snippet } of (await deliveryAt(api, id, hook)).attempts) {
        assert.deepEqual([response_headers, response_snippet], [{}, ""]);
      }
    }
    assert.doesNotMatch(await storedText(api), new RegExp(MARK));
    await ingest(api, app, { data: { n: 4 } });
    await gate.arrived(4);
    gate.answer(4, {});
    assert.deepEqual(gate.numbers().toSorted(), [1, 2, 3, 3, 4], "nothing was sent again");
  });

  test("of a webhook that was deleted a moment ago no answer is kept either, neither one on record nor one to come", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), ...DELIVERING });
    const app = `/api/apps/${await api.createApp()}`;
    const gate = await openGate();
    const hook = await createWebhook(api, app, { url: gate.url, retry_schedule: [0, 3_600] });
    const echo = { status: 500, headers: { "x-echo": MARK }, body: MARK };
    const id = await ingest(api, app, { data: { n: 1, email: MARK } });
    await gate.arrived(1);
    gate.answer(1, echo);
    await waitUntil(() => gate.numbers().length === 2, "the second attempt");
    await gate.arrived(1);
    assert.equal((await api.call("DELETE", `/api/webhooks/${hook}`)).status, 204);
    // What the server has to remove at its start may still be under way, and then takes all of it along at any moment.
    const left = () => api.db.query(sql`select position from deliveries where destination_id = ${hook}`);
    const before = await storedText(api);
    assert.ok(before.includes(`"response_snippet":"${MARK}"`) || (await left()).length === 0);
    await erase(api, id);
    assert.doesNotMatch(await storedText(api), new RegExp(MARK));
    gate.answer(1, echo);
    const recorded = () => api.db.query(sql`select number from attempts where destination_id = ${hook}`);
    const isOver = async () => (await recorded()).length === 2 || (await left()).length === 0;
    await waitUntil(isOver, "the second to be recorded");
    assert.doesNotMatch(await storedText(api), new RegExp(MARK));
  });

  test("what the dispatcher has in memory is not sent", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), ...DELIVERING });
    const app = `/api/apps/${await api.createApp()}`;
    const gate = await openGate();
    const hook = await createWebhook(api, app, { url: gate.url, max_in_flight: 1 });
    await ingest(api, app, { data: { n: 1 } });
    await gate.arrived(1);
    const id = await ingest(api, app, { data: { n: 2 } });
    const isQueued = async () =>
      (await fatesOf(api, id)).get(hook)?.reason?.startsWith("A dispatcher has it, and it waits for dlv_");
    await waitUntil(isQueued, "the second to be claimed");
    await erase(api, id);
    await ingest(api, app, { data: { n: 3 } });
    gate.answer(1, {});
    await gate.arrived(3);
    gate.answer(3, {});
    assert.deepEqual(gate.numbers(), [1, 3]);
  });

  test("what was made for it at that very moment fails when it is claimed, and the next of its link has its turn", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), ...DELIVERING });
    const app_id = await api.createApp();
    const app = `/api/apps/${app_id}`;
    const gate = await openGate();
    const hook = await createWebhook(api, app, { url: gate.url, ordering: "link", retry_schedule: [3_600] });
    const late = await createWebhook(api, app, { url: gate.url, events: ["link.claim"] });
    const id = await ingest(api, app, { data: { n: 1, link_id: "lnk_1" } });
    await gate.arrived(1);
    gate.answer(1, { status: 500 });
    const fateAt = async (webhook: string) => (await fatesOf(api, id)).get(webhook);
    await waitUntil(async () => /Next attempt/.test((await fateAt(hook))?.reason ?? ""), "the first to wait");
    await ingest(api, app, { data: { n: 2, link_id: "lnk_1" } });
    await erase(api, id);
    // As if a resend had looked at the event just before.
    const made = await createDeliveryStore(api.db).insertAsked({
      ...{ destination_id: late, position: id, app_id, event: "link.click", state: "pending", reason: null },
      ...{ attempt: 0, failures: 0, leased: 0, due_at: 0, trigger: "manual", resume_state: null, resume_at: null },
      ...{ created_at: Date.now(), settled_at: null },
    });
    assert.equal(made?.state, "pending");
    await gate.arrived(2);
    gate.answer(2, {});
    await waitUntil(async () => (await fateAt(late))?.state === "failed", "the late one to fail");
    for (const webhook of [hook, late]) {
      assert.match((await fateAt(webhook))?.reason ?? "", UNSENT);
    }
    assert.deepEqual(gate.numbers(), [1, 2]);
  });

  if (engine.name !== "postgres") return;
  test("an answer that is being recorded in the moment of the erasure is not kept", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const app = `/api/apps/${await api.createApp()}`;
    const hook = await createWebhook(api, app);
    const id = await ingest(api, app);
    await api.db.query(sql`update deliveries set attempt = 1, leased = 1, due_at = ${Date.now() + 45_000}`);
    const failed = settlementOf({ destination_id: hook, position: id }, 1, {
      state: "pending",
      failures: 1,
      due_at: 1,
    });
    const record = { ...failed.record, response_headers: `{"x":"${MARK}"}`, response_snippet: MARK };
    const [first, ...others] = settle([{ ...failed, counts: false, record }]);
    assert.match(first?.parts.join("?") ?? "", /insert into attempts/);
    let erasing: Promise<void> | undefined;
    await api.db.transaction(async (within) => {
      if (first !== undefined) await within(first);
      erasing = erase(api, id);
      await waitUntil(() => isSomebodyBlocked(api.db), "the erasure to wait");
      for (const one of others) await within(one);
    });
    await erasing;
    const { state, attempts } = await deliveryAt(api, id, hook);
    assert.deepEqual([state, attempts.map((one) => one.response_snippet)], ["failed", [""]]);
    assert.doesNotMatch(await storedText(api), new RegExp(MARK));
  });
});
