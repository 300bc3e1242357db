// Filters, what is missed while a webhook is off, and fates, as a client of the API sees them: with a real receiver, on both
// engines.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Fate } from "#contract/events.ts";
import { openApi } from "../../test/support/api.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";

const RANGE = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z" };
const IOS_ONLY = { path: "platform", equals: "ios" };

async function openServer(engine: Engine) {
  const settings = { LINKME_EGRESS_ALLOW: "127.0.0.0/8", LINKME_ROLE: "edge,api,dispatcher" };
  const api = await openApi({ ...settings, DATABASE_URL: await engine.address() });
  const receiver = await startReceiver();
  after(() => receiver.close());
  return { api, receiver };
}

/** An app on a server of its own, with a webhook that takes clicks. */
async function openApp(engine: Engine, webhook: object = {}) {
  const { api, receiver } = await openServer(engine);
  const app = `/api/apps/${await api.createApp()}`;
  const answered = async (method: string, path: string, body?: object) => {
    const answer = await api.call(method, path, body);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    return answer.body;
  };
  const create = (settings: object) =>
    answered("POST", `${app}/webhooks`, { url: `${receiver.url}${app}`, events: ["link.click"], ...settings });
  const { id } = await create(webhook);
  /** Stores clicks with these platforms, and answers their ids. */
  const click = async (...platforms: string[]): Promise<string[]> => {
    const events = platforms.map((platform) => ({ event: "link.click", data: { platform, link_id: "lnk_1" } }));
    return (await answered("POST", `${app}/events`, { events })).accepted;
  };
  const fateOf = async (event_id: string | undefined, destination_id = id): Promise<Fate> => {
    const { fates } = await answered("GET", `/api/events/${event_id}`);
    return fates.find((fate: Fate) => fate.destination_id === destination_id);
  };
  const becomes = (event_id: string | undefined, state: Fate["state"]) =>
    waitUntil(async () => (await fateOf(event_id)).state === state, `the event to be ${state}`);
  /** Ids of the events that came to this app's webhooks. */
  const received = () =>
    receiver.received.filter(({ path }) => path === app).map(({ headers }) => String(headers["webhook-id"]));
  return { api, app, id, url: `/api/webhooks/${id}`, answered, create, click, fateOf, becomes, received };
}

forEachEngine((engine) => {
  test("what a filter refuses is skipped at once and says why; the others arrive", async () => {
    const { url, answered, click, fateOf, becomes, received } = await openApp(engine, { filter: IOS_ONLY });
    const [ios, android] = await click("ios", "android");
    await becomes(ios, "succeeded");
    const { reason, state, delivery_id, next_step } = await fateOf(android);
    assert.deepEqual([state, reason], ["skipped", 'Filtered: platform is "android", and the filter wants "ios".']);
    assert.match(next_step ?? "", new RegExp(`POST /api/deliveries/${delivery_id}/retry`));
    assert.match((await fateOf(ios)).reason ?? "", /^Delivered at \d{4}-/);
    const listed = (await answered("GET", `${url}/deliveries?state=skipped`)).items;
    assert.deepEqual(
      listed.map((one: Record<string, unknown>) => [one["event_id"], one["attempt_count"], one["reason"]]),
      [[android, 0, reason]],
    );
    assert.equal(typeof listed[0].settled_at, "string");
    const detail = await answered("GET", `/api/deliveries/${delivery_id}`);
    assert.deepEqual([detail.attempts, detail.next_attempt_at], [[], null]);
    const { health } = await answered("GET", url);
    assert.deepEqual([health.pending, health.success_rate_24h], [0, 1]);
    assert.deepEqual(received(), [ios]);
  });

  test("a call whose events would be asked too many conditions is refused whole, with how many it may have", async () => {
    const { app, api, create } = await openApp(engine);
    const filter = { any: Array.from({ length: 50 }, (_, n) => ({ path: "data.n", equals: n })) };
    const send = (count: number) =>
      api.call("POST", `${app}/events`, { events: Array(count).fill({ event: "link.click", data: {} }) });
    for (let count = 0; count < 8; count++) await create({ filter });
    assert.equal((await send(500)).status, 202, "400 conditions, asked of 500 events");
    await create({ filter, events: ["link.claim"] });
    const { status, body } = await send(445);
    assert.deepEqual([status, body.error], [413, "too_large"]);
    const message = "at most 444 events a call: the filters of this app have 450 conditions";
    assert.deepEqual(body.details, [{ path: "events", message }]);
    assert.equal((await api.call("GET", `${app}/fates`)).body.events, 500);
    assert.equal((await send(444)).status, 202);
  });

  test("a filtered event is sent when a person asks for it: by hand, or by a replay of what was skipped", async () => {
    const { url, answered, click, fateOf, becomes, received } = await openApp(engine, { filter: IOS_ONLY });
    const [first, second] = await click("android", "web");
    const { delivery_id } = await fateOf(first);
    await answered("POST", `/api/deliveries/${delivery_id}/retry`);
    await becomes(first, "succeeded");
    const missing = await answered("POST", `${url}/replays`, { ...RANGE, dry_run: true });
    assert.equal(missing.count, 0, "what a filter refused is neither failed nor missing");
    const asked = { ...RANGE, states: ["skipped"] };
    const preview = await answered("POST", `${url}/replays`, { ...asked, dry_run: true });
    assert.deepEqual([preview.count, preview.sample[0].event_id], [1, second]);
    await answered("POST", `${url}/replays`, asked);
    await becomes(second, "succeeded");
    assert.deepEqual(received(), [first, second]);
  });

  test("a skipped delivery whose retry by hand fails is skipped again, for the same reason, and says what came of the retry", async () => {
    const { url, answered, click, fateOf } = await openApp(engine, { filter: IOS_ONLY });
    await answered("PATCH", url, { url: "http://127.0.0.1:1/", retry_schedule: [] });
    const [event] = await click("web");
    const before = await fateOf(event);
    await answered("POST", `/api/deliveries/${before.delivery_id}/retry`);
    const attempts = async () => (await answered("GET", `/api/deliveries/${before.delivery_id}`)).attempts.length;
    await waitUntil(async () => (await attempts()) === 1, "the attempt is recorded");
    const fate = await fateOf(event);
    const { reason: _, next_step, ...same } = fate;
    const { reason: __, next_step: send, ...as_before } = before;
    assert.deepEqual(same, as_before);
    assert.match(next_step ?? "", /^Start the receiver, .* Then send it all the same with POST /);
    assert.ok(next_step?.endsWith(send?.slice(1) ?? "?"), next_step ?? "");
    const [was = "", by_hand = ""] = (fate.reason ?? "").split(" Sent by hand at ");
    assert.equal(was, before.reason);
    assert.match(by_hand, /^\S+Z, it failed: Connection refused by /);
  });

  test("a test event is never filtered, and an id that comes twice is skipped once", async () => {
    const { url, app, answered, becomes, received } = await openApp(engine, { filter: { path: "data.a", equals: 1 } });
    const { event_id } = await answered("POST", `${url}/test`);
    await becomes(event_id, "succeeded");
    const given = { id: "019c1363-95eb-7000-8197-52ec64a7690b", event: "link.click", data: { a: 2 } };
    for (let times = 0; times < 2; times++) await answered("POST", `${app}/events`, given);
    assert.equal((await answered("GET", `${url}/deliveries?state=skipped`)).items.length, 1);
    assert.deepEqual(received(), [event_id]);
  });

  test("a change of the filter holds for the next event, and null takes everything again", async () => {
    const { url, answered, click, fateOf, becomes } = await openApp(engine, { filter: IOS_ONLY });
    const states = async (filter: object | null) => {
      const webhook = await answered("PATCH", url, { filter });
      assert.deepEqual(webhook.filter, filter);
      const [event] = await click("android");
      if ((await fateOf(event)).state === "skipped") return "skipped";
      await becomes(event, "succeeded");
      return "sent";
    };
    assert.equal(await states({ not: { path: "platform", equals: "ios" } }), "sent");
    assert.equal(await states({ any: [IOS_ONLY, { path: "link_id", prefix: "lnk_2" }] }), "skipped");
    assert.equal(await states(null), "sent");
  });

  test("events of a time in which it was off are missed, as far as they pass, until they are recovered", async () => {
    const { url, app, answered, click, fateOf, becomes, received } = await openApp(engine, { filter: IOS_ONLY });
    const [before] = await click("ios");
    await becomes(before, "succeeded");
    assert.deepEqual((await answered("GET", url)).missed, null);
    const off = await answered("PATCH", url, { enabled: false });
    assert.deepEqual([off.state, off.missed.count], ["off", 0]);
    assert.match(off.next_step, /^It was turned off at .*Z\. Turn it on with PATCH .*"recover": true/);
    const missed = await click("ios", "android", "ios");
    await answered("POST", `${app}/events`, { event: "link.claim", data: { platform: "ios" } });
    const stopped = (await answered("GET", `${app}/webhooks`)).items[0];
    assert.deepEqual({ ...stopped.missed, since: null }, { count: 2, is_exact: true, since: null, until: null });
    const fate = await fateOf(missed[0]);
    assert.deepEqual([fate.state, fate.delivery_id], ["off", undefined]);
    assert.match(fate.reason ?? "", new RegExp(`^It is off since ${stopped.missed.since}: turned off`));
    const on = await answered("PATCH", url, { enabled: true });
    assert.deepEqual([on.missed.count, on.missed.until !== null, "recovery" in on], [2, true, false]);
    assert.match(on.next_step, /"recover": true/);
    const [fresh] = await click("ios");
    await becomes(fresh, "succeeded");
    assert.deepEqual(received(), [before, fresh], "from now on is the default");
    const recovered = await answered("PATCH", url, { enabled: true, recover: true });
    assert.deepEqual([recovered.recovery.total, recovered.recovery.states], [2, ["missing"]]);
    assert.match(recovered.next_step, new RegExp(`GET /api/replays/${recovered.recovery.id}`));
    for (const id of [missed[0], missed[2]]) await becomes(id, "succeeded");
    const { missed: left, next_step } = await answered("GET", url);
    assert.deepEqual([left, next_step], [null, null]);
    assert.deepEqual(received().sort(), [before, missed[0], missed[2], fresh].sort());
    assert.equal((await fateOf(missed[1])).state, "off");
  });

  test("turned on with recovery in one call, it is sent what it missed; one that was never stopped misses nothing", async () => {
    const { url, answered, click, create, becomes } = await openApp(engine, { enabled: false });
    const missed = await click("ios", "web");
    const { recovery } = await answered("PATCH", url, { enabled: true, recover: true });
    assert.equal(recovery.total, 2);
    for (const id of missed) await becomes(id, "succeeded");
    const never = await create({});
    const answer = await answered("PATCH", `/api/webhooks/${never.id}`, { enabled: true, recover: true });
    assert.deepEqual([answer.recovery, answer.missed, answer.next_step], [null, null, null]);
  });

  test("turned off and on again before it is recovered, it is sent what it missed each time and nothing between", async () => {
    const { url, app, answered, click, becomes, fateOf, received } = await openApp(engine);
    const setEnabled = (enabled: boolean) => answered("PATCH", url, { enabled });
    await setEnabled(false);
    const first = await click("ios", "web", "ios");
    await setEnabled(true);
    const { accepted } = await answered("POST", `${app}/events`, { event: "link.app_open", data: {} });
    const [between] = await click("ios");
    await becomes(between, "succeeded");
    await answered("PATCH", url, { events: ["link.click", "link.app_open"] });
    await setEnabled(false);
    await setEnabled(true);
    assert.equal((await answered("GET", url)).missed.count, 3, "an empty stop hides nothing");
    await setEnabled(false);
    const last = await click("web", "ios");
    const { recovery, missed } = await answered("PATCH", url, { enabled: true, recover: true });
    assert.deepEqual([missed.count, recovery.total], [5, 5]);
    for (const id of [...first, ...last]) await becomes(id, "succeeded");
    await waitUntil(async () => (await answered("GET", `/api/replays/${recovery.id}`)).state === "done", "its end");
    assert.deepEqual(received().sort(), [...first, between, ...last].sort());
    assert.equal((await fateOf(accepted[0])).state, "not_subscribed");
    assert.equal((await setEnabled(true)).missed, null);
  });

  test("a replay of what it missed is named as long as it has something to send, and how it goes on where it is paused", async () => {
    const { url, answered, click, becomes } = await openApp(engine, { filter: IOS_ONLY, enabled: false });
    const missed = await click("ios", "web", "ios", "ios");
    await answered("PATCH", url, { enabled: true });
    const slow = { ...RANGE, states: ["missing"], rate_per_second: 0.01 };
    const { id: replay_id } = await answered("POST", `${url}/replays`, slow);
    await becomes(missed[0], "succeeded");
    const step = async () => (await answered("GET", url)).next_step;
    assert.equal(
      await step(),
      `The replay ${replay_id} sends what it missed: see how far it is with GET /api/replays/${replay_id}.`,
    );
    await answered("POST", `/api/replays/${replay_id}/pause`);
    const [, resume] = /When the receiver is well, go on with POST (\S+)\.$/.exec(await step()) ?? [];
    await answered("POST", String(resume), { rate_per_second: null });
    await waitUntil(async () => (await answered("GET", `/api/replays/${replay_id}`)).state === "done", "its end");
    const { missed: left, next_step } = await answered("GET", url);
    assert.deepEqual([left, next_step], [null, null]);
    const again = await answered("PATCH", url, { enabled: true, recover: true });
    assert.deepEqual([again.recovery.total, again.missed, again.next_step], [0, null, null]);
  });

  test("events from before its creation are not yet created, and a replay of what is missing sends them", async () => {
    const { click, create, answered, fateOf } = await openApp(engine);
    const [ios, web] = await click("ios", "web");
    const late = await create({ filter: IOS_ONLY });
    assert.equal((await fateOf(ios, late.id)).state, "not_yet_created");
    assert.equal(late.missed, null);
    const replay = await answered("POST", `/api/webhooks/${late.id}/replays`, RANGE);
    assert.equal(replay.total, 1, "of what is missing a replay takes what passes the filter");
    await waitUntil(async () => (await fateOf(ios, late.id)).state === "succeeded", "the replay to send it");
    await waitUntil(async () => (await answered("GET", `/api/replays/${replay.id}`)).state === "done", "its end");
    const left_out = await fateOf(web, late.id);
    assert.equal(left_out.state, "not_yet_created");
    const step = /^Its filter refuses it: platform is "web", .* with POST (\S+) (\{.*\})\.$/.exec(
      left_out.next_step ?? "",
    );
    await answered("POST", step?.[1] ?? "", JSON.parse(step?.[2] ?? ""));
    await waitUntil(async () => (await fateOf(web, late.id)).state === "succeeded", "the step to send it");
  });

  test("for each destination the fates of a range add up to its events, also in parts", async () => {
    const { app, id, answered, click, create, becomes } = await openApp(engine, { filter: IOS_ONLY });
    const [first] = await click("ios", "android", "web");
    const claims = await create({ events: ["link.claim"] });
    const off = await create({ enabled: false });
    await click("ios", "android");
    await answered("POST", `/api/webhooks/${off.id}/test`);
    await becomes(first, "succeeded");
    const counted = async () => {
      const { events, items, next_cursor } = await answered("GET", `${app}/fates`);
      assert.equal(next_cursor, null);
      const fates = Object.fromEntries(
        items.map((one: { destination_id: string; fates: Record<string, number> }) => [
          one.destination_id,
          Object.fromEntries(Object.entries(one.fates).filter(([, count]) => count > 0)),
        ]),
      );
      return { events, fates };
    };
    await waitUntil(async () => (await counted()).fates[off.id].succeeded === 1, "the test event to arrive");
    await waitUntil(async () => (await counted()).fates[id].succeeded === 2, "the clicks to arrive");
    assert.deepEqual(await counted(), {
      events: 6,
      fates: {
        [id]: { succeeded: 2, skipped: 3, not_subscribed: 1 },
        [claims.id]: { not_yet_created: 3, not_subscribed: 3 },
        [off.id]: { not_yet_created: 3, off: 2, succeeded: 1 },
      },
    });
    const none = await answered("GET", `${app}/fates?until=2026-01-01T00:00:00Z`);
    assert.deepEqual([none.events, none.items, none.next_cursor], [0, [], null]);
  });
});
