// What a server does now and then without being asked: it looks at its disk, its spool and what is behind, and removes what
// has expired. Real processes, whose clock is set ahead and whose long timers come sooner.
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { type TestContext, test } from "node:test";
import type { DeliveryDetail } from "#contract/deliveries.ts";
import type { Notice } from "#contract/notices.ts";
import { databasePath, openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { countSpooled } from "../support/drain.ts";
import { forEachEngine } from "../support/engines.ts";
import { startCluster } from "../support/postgres.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, PHONE, type Site } from "../support/site.ts";
import { waitUntil } from "../support/wait.ts";

/** A look a minute becomes three a second. */
const HURRY = 200;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** More than any disk has free. */
const TOO_MANY_BYTES = "999999999999999";

async function open(t: TestContext, env: Record<string, string>, settings: object = {}) {
  const receiver = await startReceiver();
  const server = await startServer({ env, hurry: HURRY });
  t.after(async () => {
    await server.stop();
    await receiver.close();
  });
  const site = await createSite(server, receiver.url, [{ path: "/hook", events: ["link.app_open"], settings }]);
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const ask = <Body>(method: string, path: string, body?: unknown) => server.request<Body>(method, path, body, headers);
  const send = async () => {
    const event = { event: "link.app_open", data: {} };
    const { status, body } = await ask<{ accepted: string[] }>("POST", `/api/apps/${site.app_id}/events`, event);
    assert.equal(status, 202);
    return body.accepted[0] ?? "";
  };
  const noticed = (type: Notice["type"], about = "") =>
    waitUntil(async () => {
      const { body } = await ask<{ items: Notice[] }>("GET", "/api/notices?limit=100");
      return body.items.find((one) => one.type === type && one.message.includes(about));
    }, `a notice of ${type} ${about}`);
  return { receiver, server, site, ask, send, noticed };
}

forEachEngine((engine) => {
  test("disks with less free than they should have are told, that of the data directory and that of the database", async (t) => {
    const DATABASE_URL = await engine.address();
    const { server, noticed } = await open(t, { DATABASE_URL, LINKME_LOW_DISK_BYTES: TOO_MANY_BYTES });
    await noticed("disk.low", `MiB are free at ${hostname()}:${server.dir}.`);
    if (engine.name === "sqlite") await noticed("disk.low", `:${dirname(databasePath(DATABASE_URL))}.`);
  });

  test("a delivery that has waited too long behind a receiver that hangs is told, and its end as well", async (t) => {
    const env = { DATABASE_URL: await engine.address(), LINKME_BACKLOG_NOTICE_SECONDS: "600" };
    // Less than what comes sooner in this test.
    const slow = { max_in_flight: 1, timeout_ms: 29_000 };
    const { receiver, server, site, send, noticed } = await open(t, env, slow);
    const releases: (() => void)[] = [];
    receiver.setAnswer(() => new Promise((resolve) => releases.push(() => resolve({}))));
    await send();
    await receiver.waitFor(1);
    await send();
    await server.setClock(11 * MINUTE_MS);
    const { destination_id, app_id } = await noticed("backlog.old");
    assert.deepEqual([destination_id, app_id], [site.hooks[0]?.id, site.app_id]);
    receiver.setAnswer(() => ({}));
    for (const release of releases) release();
    await receiver.waitFor(2);
    await server.setClock(20 * MINUTE_MS);
    assert.equal((await noticed("backlog.recovered")).destination_id, site.hooks[0]?.id);
  });

  test("what was sent goes after 30 days and the event after 13 months, without anybody asking", async (t) => {
    const DATABASE_URL = await engine.address();
    const { receiver, server, site, ask, send } = await open(t, { DATABASE_URL });
    const id = await send();
    await receiver.waitFor(1);
    const list = `/api/webhooks/${site.hooks[0]?.id}/deliveries`;
    const deliveries = async () => (await ask<{ items: DeliveryDetail[] }>("GET", list)).body.items;
    await waitUntil(async () => (await deliveries())[0]?.state === "succeeded", "the delivery to be recorded");
    const delivery = async () => {
      const [one] = await deliveries();
      return (await ask<DeliveryDetail>("GET", `/api/deliveries/${one?.id}`)).body;
    };
    const attempts = async () => (await delivery()).attempts.length;
    await server.setClock(29 * DAY_MS);
    assert.equal(await attempts(), 1);
    await server.setClock(40 * DAY_MS);
    await waitUntil(async () => (await attempts()) === 0, "the record of the delivery to go");
    assert.ok((await delivery()).expired !== null, "and that is said");
    assert.equal((await ask("GET", `/api/events/${id}`)).status, 200, "the event is still there");
    await server.setClock(14 * 31 * DAY_MS);
    await waitUntil(async () => (await ask("GET", `/api/events/${id}`)).status === 404, "the event to go");
    assert.deepEqual(await deliveries(), []);
    await waitUntil(() => /"event":"retention\.removed","events":1,/.test(server.stdout()), "the log to say so");
    const db = await openDatabase(DATABASE_URL);
    const left = await db.query(sql`select id from events`).finally(db.close);
    assert.deepEqual(left, [], "and not just hidden");
  });
});

test("clicks that stay in the spool are told while the database is away, and are safe there", async (t) => {
  const cluster = await startCluster();
  t.after(() => cluster.remove());
  const { server, site, noticed } = await open(t, { DATABASE_URL: cluster.url });
  await click(server, site);
  await cluster.stop("immediate");
  await waitUntil(async () => {
    await click(server, site);
    return countSpooled(server.dir) > 0;
  }, "a click to go to the spool");
  let ahead_ms = 0;
  await waitUntil(async () => {
    // Two looks have to see the same click, five minutes apart.
    ahead_ms += MINUTE_MS;
    await server.setClock(ahead_ms);
    return /"event":"notice","type":"drain\.failing"/.test(server.stdout());
  }, "the notice");
  assert.ok(countSpooled(server.dir) > 0);
  await cluster.start();
  await waitUntil(() => countSpooled(server.dir) === 0, "the spool to be drained");
  await server.setClock(ahead_ms + 10 * MINUTE_MS);
  await noticed("drain.recovered");
});

async function click(server: ServerProcess, site: Site): Promise<void> {
  const { status } = await server.request("GET", `/${site.slug}`, undefined, { "user-agent": PHONE });
  assert.equal(status, 302);
}
