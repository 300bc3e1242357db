// Sending an event to another webhook, over HTTP and on both engines, without a dispatcher: what is stored and answered.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Delivery } from "#contract/deliveries.ts";
import { type Answer, openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { sql } from "../platform/sql.ts";

interface Made {
  app: string;
  app_id: string;
  event_id: string;
  /** A delivery at the first webhook. */
  delivery: string;
}

async function createApp(api: TestApi): Promise<Made> {
  const app_id = await api.createApp();
  const app = `/api/apps/${app_id}`;
  const source = await createWebhook(api, app);
  const { body } = await api.call("POST", `${app}/events`, { event: "link.click", data: { text: "über 🔗" } });
  const { items } = (await api.call("GET", `/api/webhooks/${source}/deliveries`)).body;
  return { app, app_id, event_id: body.accepted[0], delivery: items[0].id };
}

async function createWebhook(api: TestApi, app: string, settings: object = {}): Promise<string> {
  const body = { url: "https://1.1.1.1/in", events: ["link.click"], ...settings };
  const answer = await api.call("POST", `${app}/webhooks`, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.id;
}

async function resend(api: TestApi, delivery: string, body?: object, token?: string): Promise<Answer> {
  return api.call("POST", `/api/deliveries/${delivery}/resend`, body, token === undefined ? {} : { token });
}

/** No dispatcher runs here, which only PostgreSQL has other processes know. */
const UNSENT =
  " An attempt is due now. No process with the role dispatcher is known to this one: see whether one runs, and whether the clocks of all processes agree.";

forEachEngine((engine) => {
  const unsent = engine.name === "postgres" ? UNSENT : "";

  test("another webhook gets the event now, whatever its state and its types, and the first one's delivery stays", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const { app, event_id, delivery } = await createApp(api);
    const before = (await api.call("GET", `/api/deliveries/${delivery}`)).body;
    for (const settings of [{}, { enabled: false }, { events: ["link.claim"] }]) {
      const target = await createWebhook(api, app, settings);
      const { status, body } = await resend(api, delivery, { destination_id: target });
      assert.equal(status, 202);
      const shown = Delivery.strict().parse(body);
      assert.notEqual(shown.id, delivery);
      assert.deepEqual(
        [shown.destination_id, shown.event_id, shown.state, shown.reason],
        [target, event_id, "pending", `Asked for by hand, from ${delivery}.${unsent}`],
      );
      assert.ok(shown.next_attempt_at !== null, "it waits for nothing");
      const detail = (await api.call("GET", `/api/deliveries/${shown.id}`)).body;
      assert.equal(detail.request.body, before.request.body);
      const { fates } = (await api.call("GET", `/api/events/${event_id}`)).body;
      const fate = fates.find((one: { destination_id: string }) => one.destination_id === target);
      assert.deepEqual([fate.state, fate.delivery_id], ["pending", shown.id]);
    }
    assert.deepEqual((await api.call("GET", `/api/deliveries/${delivery}`)).body, before);
  });

  test("a webhook that has the event already is granted an attempt, however often it is asked for", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const { app, delivery } = await createApp(api);
    const target = await createWebhook(api, app);
    const answers = await Promise.all([1, 2, 3].map(() => resend(api, delivery, { destination_id: target })));
    assert.deepEqual(
      [...new Set(answers.map(({ status, body }) => `${status} ${body.destination_id}`))],
      [`202 ${target}`],
    );
    const { items } = (await api.call("GET", `/api/webhooks/${target}/deliveries`)).body;
    assert.equal(items.length, 1);
    await api.call("POST", `/api/deliveries/${items[0].id}/cancel`);
    const again = (await resend(api, delivery, { destination_id: target })).body;
    assert.deepEqual(
      [again.id, again.state, again.reason],
      [items[0].id, "pending", `An attempt was asked for by hand.${unsent}`],
    );
  });

  test("without another webhook it is a retry", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const { delivery } = await createApp(api);
    const { destination_id } = (await api.call("GET", `/api/deliveries/${delivery}`)).body;
    for (const body of [undefined, {}, { destination_id }]) {
      const answer = await resend(api, delivery, body);
      assert.deepEqual([answer.status, answer.body.id], [202, delivery]);
      assert.equal(answer.body.reason, `An attempt was asked for by hand.${unsent}`);
    }
  });

  test("of an event that was erased nothing is sent again; one whose records have expired is", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const [erased, expired] = [await createApp(api), await createApp(api)];
    await api.db.query(sql`delete from events where app_id = ${erased.app_id}`);
    for (const action of ["retry", "resend"]) {
      const { status, body } = await api.call("POST", `/api/deliveries/${erased.delivery}/${action}`);
      assert.deepEqual([status, body.error], [409, "conflict"]);
      assert.match(body.message, /The event was erased/);
    }
    await api.db.query(sql`update deliveries set state = 'failed', attempt = 3, expired_attempt = 3, due_at = null
      where app_id = ${expired.app_id}`);
    assert.equal((await api.call("POST", `/api/deliveries/${expired.delivery}/retry`)).status, 202);
  });

  test("an event never leaves its app, whoever asks", async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const [mine, theirs] = [await createApp(api), await createApp(api)];
    const foreign = await createWebhook(api, theirs.app);
    const own = await createWebhook(api, mine.app);
    const key = await api.createKey(mine.app_id);
    const cases: [delivery: string, destination_id: string, token?: string][] = [
      [mine.delivery, foreign, key],
      [mine.delivery, foreign],
      [mine.delivery, "dst_none"],
      [theirs.delivery, own, key],
      [theirs.delivery, own],
    ];
    for (const [delivery, destination_id, token] of cases) {
      const { status, body } = await resend(api, delivery, { destination_id }, token);
      assert.deepEqual([status, body.error], [404, "not_found"]);
      // A wrong field of the body is named; a delivery of another app is in the address.
      const named = delivery === mine.delivery || token === undefined ? ["destination_id"] : undefined;
      assert.deepEqual(
        body.details?.map(({ path }: { path: string }) => path),
        named,
      );
    }
    for (const id of [foreign, own]) {
      assert.deepEqual((await api.call("GET", `/api/webhooks/${id}/deliveries`)).body.items, []);
    }
  });
});

test("what is no id is refused by its field", async () => {
  const api = await openApi();
  const { delivery } = await createApp(api);
  for (const destination_id of ["", 7, null, ["dst_1"], "a".repeat(101)]) {
    const { status, body } = await resend(api, delivery, { destination_id });
    assert.deepEqual([status, body.details?.[0]?.path], [400, "destination_id"]);
  }
});
