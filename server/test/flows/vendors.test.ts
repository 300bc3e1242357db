// Destinations of vendors under a real server, against stand-ins that keep the vendors' rules: every event ends with a fate at each
// of them, nothing is silent, and one that is down keeps nobody else waiting.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Delivery, DeliveryDetail } from "#contract/deliveries.ts";
import { EVENT_TYPES } from "#contract/events.ts";
import type { Destination } from "#contract/vendor-destinations.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { startGa4 } from "../support/vendors/ga4.ts";
import { startPosthog } from "../support/vendors/posthog.ts";
import { startSegment } from "../support/vendors/segment.ts";
import { waitUntil } from "../support/wait.ts";

const MEASUREMENT_ID = "G-ABC123DEF4";
const SECRET = "sEcr3t-of-google";
const KEY = "phc_k3y-of-posthog";
const FOUR_DAYS_MS = 4 * 86_400_000;

describe("events reach vendors", () => {
  let server: ServerProcess;
  let app_id: string;
  const call = async <Body>(method: string, path: string, body?: unknown): Promise<Body> => {
    const headers = { authorization: `Bearer ${server.admin_token}` };
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, JSON.stringify(answer));
    return answer.body;
  };
  const create = (type: string, config: object, changes: object = {}) =>
    call<Destination>("POST", `/api/apps/${app_id}/destinations`, {
      ...{ type, config, events: EVENT_TYPES, retry_schedule: [1, 1, 1], timeout_ms: 2_000 },
      ...changes,
    });
  const ingest = (...events: object[]) =>
    call<{ accepted: string[] }>("POST", `/api/apps/${app_id}/events`, { events }).then(({ accepted }) => accepted);
  const show = (id: string) => call<Destination>("GET", `/api/destinations/${id}`);
  const list = async (id: string) =>
    (await call<{ items: Delivery[] }>("GET", `/api/destinations/${id}/deliveries?limit=100`)).items;
  const settled = (id: string, count: number) =>
    waitUntil(async () => {
      const items = await list(id);
      return items.length === count && items.every(({ state }) => state !== "pending") ? items : null;
    }, `${count} deliveries to end`);
  const detail = (delivery: Delivery | undefined) => {
    assert.ok(delivery !== undefined);
    return call<DeliveryDetail>("GET", `/api/deliveries/${delivery.id}`);
  };

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  async function newApp(): Promise<void> {
    app_id = (await call<{ id: string }>("POST", "/api/apps", { name: "Shop", analytics_consent: true })).id;
  }

  test("a click, its token and all that an app reports are at each of them, in reports and once", async () => {
    await newApp();
    const streams = [{ stream: `measurement_id=${MEASUREMENT_ID}`, api_secret: SECRET }];
    const google = await startGa4({ streams, now: Date.now });
    const posthog = await startPosthog(KEY);
    const segment = await startSegment("k3y-of-segment");
    for (const { close } of [google, posthog, segment]) after(() => close());
    const ids = [
      await create("ga4", { measurement_id: MEASUREMENT_ID, api_secret: SECRET, host: google.url }),
      await create("posthog", { project_api_key: KEY, host: posthog.url }),
      await create("segment", { write_key: "k3y-of-segment", host: segment.url }),
    ].map(({ id }) => id);
    // Nobody answers here.
    const dead = await create("http", { url: "http://127.0.0.1:1/in", body: "{}" }, { retry_schedule: [600] });
    await call("POST", `/api/apps/${app_id}/links`, { slug: "hello", web_fallback_url: "https://shop.example/" });
    const cookie = "_ga=GA1.1.1390821944.1652345678";
    const visit = await server.request("GET", "/hello", undefined, {
      cookie,
      "user-agent": "Mozilla/5.0 (X11) Firefox",
    });
    assert.equal(visit.status, 302);
    const data = { platform: "ios", link_id: "lnk_1", cid: "0192f0c0ffee0000c0ffee0000c0ffee" };
    await ingest(
      { event: "link.claim", data: { ...data, claim_type: "fingerprint", utm: { utm_source: "mail" } } },
      { event: "link.app_open", data: { ...data, type: "open", user_id: "user-1" } },
      { event: "link.deferred_claim_attempt", data: { platform: "ios", matched: false, reason: "no_match" } },
    );
    for (const id of ids) {
      const items = await settled(id, 5);
      assert.deepEqual([...new Set(items.map(({ state }) => state))], ["succeeded"], JSON.stringify(items));
    }
    for (const vendor of [google, posthog, segment]) {
      assert.deepEqual([vendor.stored().length, vendor.rejected(), vendor.dropped()], [5, [], []]);
      vendor.assertAddsUp();
    }
    assert.deepEqual(google.ignored(), []);
    assert.deepEqual([...new Set(google.shown().map(({ in_reports }) => in_reports))], [true]);
    const click = google.shown().find(({ name }) => name === "linkme_link_click");
    assert.equal(click?.user, "1390821944.1652345678", "the visitor whom Google knows");
    const outcomes = [];
    for (const id of ids) outcomes.push((await detail((await list(id))[0])).attempts[0]?.outcome);
    assert.deepEqual(outcomes, ["accepted_unverified", "accepted_unverified", "accepted_unverified"]);
    const shown = await detail((await list(ids[0] ?? ""))[0]);
    assert.match(shown.request.url, /api_secret=/);
    assert.ok(!JSON.stringify(shown).includes(SECRET) && !server.stdout().includes(SECRET));
    assert.deepEqual([...new Set((await list(dead.id)).map(({ state }) => state))], ["pending"], "and waits alone");
  });

  test("a key that is wrong pauses at once, with the vendor's words; with the right one all goes on", async () => {
    await newApp();
    const posthog = await startPosthog(KEY);
    after(() => posthog.close());
    const { id } = await create("posthog", { project_api_key: "phc_wrong-one", host: posthog.url });
    const [event_id] = await ingest({ event: "link.claim", data: { cid: "a".repeat(32) } });
    await waitUntil(async () => (await show(id)).state === "paused", "it to pause");
    const paused = await show(id);
    assert.match(paused.state_reason ?? "", /No other attempt can succeed until something is changed.*401/s);
    assert.ok(!JSON.stringify(paused).includes("phc_wrong-one"));
    assert.match(paused.next_step ?? "", /destination/);
    assert.match(server.stdout(), /"event":"destination\.paused"/);
    await call("PATCH", `/api/destinations/${id}`, { config: { project_api_key: KEY, host: posthog.url } });
    await settled(id, 1);
    assert.equal(posthog.stored().length, 1);
    const { fates } = await call<{ fates: { state: string }[] }>("GET", `/api/events/${event_id}`);
    assert.deepEqual(
      fates.map(({ state }) => state),
      ["succeeded"],
    );
  });

  test("what is not meant for a vendor, or too late for it, says so and is sent nowhere", async () => {
    await newApp();
    const streams = [{ stream: `measurement_id=${MEASUREMENT_ID}`, api_secret: SECRET }];
    const google = await startGa4({ streams, now: Date.now });
    after(() => google.close());
    const config = { measurement_id: MEASUREMENT_ID, api_secret: SECRET, host: google.url };
    const { id } = await create("ga4", config);
    const late = await create("ga4", { ...config, late: "send_now" });
    const ts = new Date(Date.now() - FOUR_DAYS_MS).toISOString();
    const cid = "a".repeat(32);
    await ingest(
      { event: "link.click", data: { cid, is_bot: true } },
      { event: "link.click", data: { cid, consent: { analytics_storage: "denied" } } },
      { event: "link.claim", data: { cid }, ts },
    );
    const items = await settled(id, 3);
    const told = items.map(({ state, reason }) => `${state}: ${reason}`).sort();
    assert.match(told[0] ?? "", /^failed: .*72 h/);
    assert.match(told[1] ?? "", /^skipped: .*(?:bot|consent)/);
    assert.match(told[2] ?? "", /^skipped: .*(?:bot|consent)/);
    const one = await detail(items.find(({ state }) => state === "skipped"));
    assert.deepEqual([one.attempts.length, one.attempts[0]?.outcome], [1, "skipped"]);
    assert.equal((await show(id)).health.consecutive_failures, 0, "that is no failure of the vendor");
    await settled(late.id, 3);
    assert.equal(google.shown().length, 1);
  });

  test("an answer that is lost is tried again: at PostHog it is one event, and Google may count it twice, which is told", async () => {
    await newApp();
    const streams = [{ stream: `measurement_id=${MEASUREMENT_ID}`, api_secret: SECRET }];
    const google = await startGa4({ streams, now: Date.now });
    const posthog = await startPosthog(KEY);
    for (const { close } of [google, posthog]) after(() => close());
    const [ga4, other] = [
      await create("ga4", { measurement_id: MEASUREMENT_ID, api_secret: SECRET, host: google.url }),
      await create("posthog", { project_api_key: KEY, host: posthog.url }),
    ];
    google.fail("lose_answer");
    posthog.fail("lose_answer", "throttle");
    await ingest({ event: "link.claim", data: { cid: "a".repeat(32) } });
    for (const { id } of [ga4, other]) await settled(id, 1);
    const { attempts } = await detail((await list(ga4.id))[0]);
    assert.deepEqual(
      attempts.map(({ outcome }) => outcome),
      ["ambiguous", "accepted_unverified"],
    );
    assert.match(attempts[0]?.error ?? "", /twice/);
    assert.equal(google.shown().length, 2);
    assert.equal(posthog.stored().length, 1);
  });

  test("a replay sends to a vendor what it missed while it was off", async () => {
    await newApp();
    const receiver = await startReceiver();
    after(() => receiver.close());
    const config = { url: `${receiver.url}/in`, body: '{"id":"{{id}}"}' };
    const { id } = await create("http", config, { enabled: false });
    const accepted = await ingest({ event: "link.claim", data: {} }, { event: "link.claim", data: {} });
    const on = await call<Destination>("PATCH", `/api/destinations/${id}`, { enabled: true, recover: true });
    assert.ok(on.recovery !== null && on.recovery !== undefined);
    await receiver.waitFor(2);
    const bodies = receiver.received.map(({ body }) => JSON.parse(body.toString("utf8")).id);
    assert.deepEqual(bodies.sort(), accepted.sort());
  });
});
