import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi } from "../../test/support/api.ts";

const RANGE = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z" };
const api = await openApi();

/** A webhook, and an event of a type that it is not set to. */
async function createWebhook() {
  const app = `/api/apps/${await api.createApp()}`;
  const webhook = await api.call("POST", `${app}/webhooks`, { url: "https://example.com/", events: ["link.click"] });
  await api.call("POST", `${app}/events`, { event: "link.app_open", data: { n: 1 } });
  const [event] = (await api.call("GET", `${app}/events`)).body.items;
  return { url: `/api/webhooks/${webhook.body.id}`, event };
}

test("a dry run is answered with 200 and what would be sent, and starts nothing", async () => {
  const { url, event } = await createWebhook();
  const call = (body: object) => api.call("POST", `${url}/replays`, { ...RANGE, dry_run: true, ...body });
  const { status, body } = await call({ events: ["link.app_open"] });
  assert.equal(status, 200);
  const sample = [{ event_id: event.id, event: event.event, state: "missing", created_at: event.ts }];
  assert.deepEqual(body, { count: 1, sample });
  assert.deepEqual((await call({})).body, { count: 0, sample: [] }, "the webhook is not set to that type");
  assert.deepEqual((await api.call("GET", `${url}/replays`)).body, { items: [], next_cursor: null });
});

test("a replay is shown with all that it was asked for, and steered by its id", async () => {
  const { url, event } = await createWebhook();
  const asked = { ...RANGE, states: ["missing", "missing"], events: [event.event], rate_per_second: 0.5 };
  const { status, body } = await api.call("POST", `${url}/replays`, asked);
  assert.equal(status, 202);
  const { id, app_id, created_at, ...shown } = body;
  assert.match(id, /^rpl_/);
  assert.deepEqual(shown, {
    ...{ target_id: url.split("/").at(-1) },
    ...{ destination_id: url.split("/").at(-1), state: "running", reason: null, total: 1, created: 0, succeeded: 0 },
    ...{ failed: 0, canceled: 0, pending: 0, since: "2026-01-01T00:00:00.000Z", until: "9999-01-01T00:00:00.000Z" },
    ...{ states: ["missing"], events: [event.event], link_id: null, rate_per_second: 0.5, finished_at: null },
  });
  assert.deepEqual((await api.call("GET", `/api/replays/${id}`)).body, body);
  assert.equal((await api.call("POST", `/api/replays/${id}/pause`)).body.state, "paused");
  const resumed = await api.call("POST", `/api/replays/${id}/resume`, { rate_per_second: null });
  assert.deepEqual([resumed.status, resumed.body.state, resumed.body.rate_per_second], [202, "running", null]);
  assert.equal((await api.call("POST", `/api/replays/${id}/cancel`)).body.state, "canceled");
  const again = await api.call("POST", `/api/replays/${id}/resume`);
  assert.deepEqual([again.status, again.body.error], [409, "conflict"]);
  assert.match(again.body.message, /Only a paused replay can be resumed; this one is canceled/);
});

test("a replay is refused by the field that is wrong", async () => {
  const { url } = await createWebhook();
  for (const [path, changes] of [
    ["since", { since: undefined }],
    ["since", { since: "yesterday" }],
    ["since", { since: "9999-02-01T00:00:00Z" }],
    ["until", { until: undefined }],
    ["until", { until: "2026-13-01T00:00:00Z" }],
    ["states", { states: [] }],
    ["states.0", { states: ["pending"] }],
    ["events", { events: [] }],
    ["events.0", { events: ["link.clicked"] }],
    ["rate_per_second", { rate_per_second: 0 }],
    ["rate_per_second", { rate_per_second: "5" }],
    ["dry_run", { dry_run: 1 }],
    ["link_id", { link_id: "" }],
  ] as const) {
    const { status, body } = await api.call("POST", `${url}/replays`, { ...RANGE, ...changes });
    assert.deepEqual([status, body.error, body.details?.[0]?.path], [400, "invalid_request", path]);
  }
});

test("of a webhook that is off a replay is refused for what is wrong with the replay first", async () => {
  const { url } = await createWebhook();
  await api.call("PATCH", url, { enabled: false });
  const backwards = await api.call("POST", `${url}/replays`, { ...RANGE, since: "9999-02-01T00:00:00Z" });
  assert.deepEqual([backwards.status, backwards.body.details?.[0]?.path], [400, "since"]);
  assert.equal((await api.call("POST", `${url}/replays`, RANGE)).status, 409);
});

test("the fate of an event that an open replay is to come to names it, and the call that resumes it", async () => {
  const app = `/api/apps/${await api.createApp()}`;
  const create = async () =>
    (await api.call("POST", `${app}/webhooks`, { url: "https://example.com/", events: ["link.click"] })).body;
  const first = await create();
  const [id] = (await api.call("POST", `${app}/events`, { event: "link.click", data: {} })).body.accepted;
  const second = await create();
  const step = async () => {
    const { fates } = (await api.call("GET", `/api/events/${id}`)).body;
    return fates.find((fate: { destination_id: string }) => fate.destination_id === second.id).next_step;
  };
  assert.match(await step(), /^Send what it lacks /);
  const asked = { ...RANGE, target_id: second.id };
  const start = async (states: string[]) =>
    (await api.call("POST", `/api/webhooks/${first.id}/replays`, { ...asked, states })).body.id;
  await start(["failed"]);
  assert.match(await step(), /^Send what it lacks /, "it does not take what is pending");
  await api.call("POST", `/api/deliveries/${await deliveryOf(id, first.id)}/cancel`);
  const replay = await start(["canceled"]);
  assert.equal(
    await step(),
    `The replay ${replay}, which has yet to come to this event, is under way: GET /api/replays/${replay} says how far it is.`,
  );
  await api.call("POST", `/api/replays/${replay}/pause`);
  const resume = `POST /api/replays/${replay}/resume.`;
  assert.ok((await step()).endsWith(`is paused: GET /api/replays/${replay} says why. Go on with ${resume}`));
  await api.call("PATCH", `/api/webhooks/${second.id}`, { enabled: false });
  assert.ok((await step()).endsWith(`/${second.id} {"enabled": true}, then go on with ${resume}`));
  await api.call("POST", `/api/replays/${replay}/cancel`);
  assert.match(await step(), /\/replays \{/);
});

async function deliveryOf(event_id: string, destination_id: string): Promise<string> {
  const { fates } = (await api.call("GET", `/api/events/${event_id}`)).body;
  return fates.find((fate: { destination_id: string }) => fate.destination_id === destination_id).delivery_id;
}
