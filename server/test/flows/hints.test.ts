// What one process tells another: with polling taken away, deliveries that are stored elsewhere are sent all the same; with
// hints taken away, polling finds them.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { composeServer } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import type { Database } from "../../src/platform/database.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { openPostgres } from "../../src/platform/postgres.ts";
import { sql } from "../../src/platform/sql.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { waitUntil } from "../support/wait.ts";

const TOKEN = "the-operator-of-these-tests";
const OPENED = { event: "link.app_open", data: { platform: "ios", type: "open" } };

test("a dispatcher that never polls is told what another process has stored, retried and replayed", async (t) => {
  const world = await openWorld(t);
  const { watch, db } = withoutPolls(world.open());
  const api = await world.start("edge,api", world.open());
  await world.start("dispatcher", db);
  await waitUntil(() => watch.listening, "the dispatcher to listen");
  const { app_id, webhook_id } = await furnish(api, world.receiver);
  for (let sent = 1; sent <= 3; sent++) {
    await ingest(api, app_id);
    await world.receiver.waitFor(sent);
  }
  // A success that is recorded after the retry was asked for would be the answer to it.
  const page = await waitUntil(async () => {
    const { body } = await api("GET", `/api/webhooks/${webhook_id}/deliveries`);
    return body.items.every(({ state }: { state: string }) => state === "succeeded") && body;
  }, "the deliveries to be recorded");
  await api("POST", `/api/deliveries/${page.items[0].id}/retry`);
  await world.receiver.waitFor(4);
  const replay = { since: new Date(0).toISOString(), until: new Date().toISOString(), states: ["succeeded"] };
  const answer = await api("POST", `/api/webhooks/${webhook_id}/replays`, replay);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  await world.receiver.waitFor(7);
});

test("a dispatcher reads an app's webhooks again at once when another process has changed them", async (t) => {
  const world = await openWorld(t);
  const db = world.open();
  const { watch, db: watched } = withoutPolls(db);
  const api = await world.start("edge,api", world.open());
  await world.start("dispatcher", watched);
  await waitUntil(() => watch.listening, "the dispatcher to listen");
  const { app_id, webhook_id } = await furnish(api, world.receiver);
  await ingest(api, app_id);
  await world.receiver.waitFor(1);
  const before = watch.loads;
  // Nothing is sent to it, so nothing but a hint makes the dispatcher look.
  await api("PATCH", `/api/webhooks/${webhook_id}`, { description: "changed" });
  await waitUntil(() => watch.loads > before, "the webhooks to be read again");
});

for (const action of ["cancels", "erases"] as const) {
  test(`what another process ${action} is not sent from the memory of the dispatcher`, async (t) => {
    const world = await openWorld(t);
    const { watch, db } = withoutPolls(world.open());
    const api = await world.start("edge,api", world.open());
    await world.start("dispatcher", db);
    await waitUntil(() => watch.listening, "the dispatcher to listen");
    const { app_id, webhook_id } = await furnish(api, world.receiver, { max_in_flight: 1 });
    const free = Promise.withResolvers<object>();
    world.receiver.setAnswer(() => free.promise);
    const events = Array.from({ length: 3 }, () => ({ ...OPENED, id: randomUUID() }));
    const { status, body } = await api("POST", `/api/apps/${app_id}/events`, { events });
    assert.equal(status, 202, JSON.stringify(body));
    const leased = sql`select count(*) as n from deliveries where leased = 1`;
    await waitUntil(async () => (await db.query<{ n: number }>(leased))[0]?.n === 3, "all three to be claimed");
    const [request] = await world.receiver.waitFor(1);
    const under_way = request?.headers["webhook-id"];
    const [dropped, last] = events.map(({ id }) => id).filter((id) => id !== under_way);
    const { body: page } = await api("GET", `/api/webhooks/${webhook_id}/deliveries`);
    const ids = new Map<string | undefined, string>(
      page.items.map((one: Record<string, string>) => [one["event_id"], one["id"]]),
    );
    const done = await (action === "cancels"
      ? api("POST", `/api/deliveries/${ids.get(dropped)}/cancel`)
      : api("DELETE", `/api/events/${dropped}`));
    assert.equal(done.status, action === "cancels" ? 202 : 204);
    await waitUntil(() => watch.dropped > 0, "the dispatcher to hear of it");
    free.resolve({});
    const received = await world.receiver.waitFor(2);
    assert.deepEqual(
      received.map(({ headers }) => headers["webhook-id"]),
      [under_way, last],
    );
  });
}

test("without hints everything is found by polling", async (t) => {
  const world = await openWorld(t);
  const { wire: _wire, ...deaf } = world.open();
  const { wire: _other, ...mute } = world.open();
  const api = await world.start("edge,api", mute);
  await world.start("dispatcher", deaf);
  const { app_id } = await furnish(api, world.receiver);
  for (let sent = 1; sent <= 3; sent++) {
    await ingest(api, app_id);
    await world.receiver.waitFor(sent);
  }
});

test("without hints an app that was deleted and made anew under its id has its new webhooks everywhere", async (t) => {
  const world = await openWorld(t);
  const { wire: _wire, ...deaf } = world.open();
  const { wire: _other, ...mute } = world.open();
  const api = await world.start("api,dispatcher", mute);
  const other = await world.start("api", deaf);
  const { app_id } = await furnish(api, world.receiver, { url: `${world.receiver.url}/old` }, "shop");
  await ingest(other, app_id);
  await world.receiver.waitFor(1);
  assert.equal((await api("DELETE", `/api/apps/${app_id}`)).status, 204);
  await furnish(api, world.receiver, { url: `${world.receiver.url}/new` }, "shop");
  await ingest(other, app_id);
  const received = await world.receiver.waitFor(2);
  assert.equal(received[1]?.path, "/new");
});

type Call = (
  method: "GET" | "POST" | "PATCH" | "DELETE",
  url: string,
  body?: object,
) => Promise<{ status: number; body: ReturnType<typeof JSON.parse> }>;

async function openWorld(t: TestContext) {
  const database = await createTestDatabase();
  const receiver = await startReceiver();
  const seal_key = randomBytes(32);
  const ends: (() => Promise<unknown>)[] = [() => receiver.close(), () => database.drop()];
  t.after(async () => {
    for (const end of ends) await end();
  });
  const first = openPostgres(database.url);
  await migrate(first);
  await first.close();

  async function start(role: string, db: Database): Promise<Call> {
    const data_dir = mkdtempSync(join(tmpdir(), "linkme-hints-"));
    const env = {
      DATABASE_URL: database.url,
      LINKME_ROLE: role,
      LINKME_DATA_DIR: data_dir,
      LINKME_EGRESS_ALLOW: "127.0.0.0/8",
    };
    const reading = readConfig(env, () => "");
    assert.ok(reading.kind === "config");
    const secrets = { seal_key, admin_token: TOKEN, token_file: null, is_token_new: false };
    const server = await composeServer(reading.config, secrets, db);
    ends.unshift(async () => {
      await server.stop(2_000);
      rmSync(data_dir, { recursive: true, force: true });
    });
    await server.app.ready();
    await server.open();
    return async (method, url, body) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      const response = await server.app.inject({ method, url, headers, ...(body && { payload: body }) });
      return { status: response.statusCode, body: response.body === "" ? null : response.json() };
    };
  }
  return { receiver, start, open: () => openPostgres(database.url) };
}

/** A database in which polls find nothing: neither destinations with something due, nor replays, but those that are asked for. */
function withoutPolls(db: Database) {
  const watch = { listening: false, loads: 0, dropped: 0, is_replay_hinted: false };
  const query: Database["query"] = async (statement) => {
    const text = statement.parts.join("?");
    if (text.includes("with recursive d")) return [];
    if (text.includes("from replays where due_at") && !watch.is_replay_hinted) return [];
    if (text.includes("left join destinations")) watch.loads++;
    return db.query(statement);
  };
  const wire: Database["wire"] = db.wire && {
    send: db.wire.send,
    listen: (listener) =>
      db.wire?.listen({
        ...listener,
        heard(text) {
          watch.is_replay_hinted ||= text.includes('"replays":true');
          listener.heard(text);
          if (text.includes('"dropped":[{')) watch.dropped++;
        },
        missed() {
          watch.listening = true;
          listener.missed();
        },
      }) ?? (async () => {}),
  };
  return { watch, db: { ...db, query, ...(wire && { wire }) } satisfies Database };
}

async function furnish(api: Call, receiver: Receiver, settings: object = {}, id?: string) {
  const { body: app } = await api("POST", "/api/apps", { name: "Hints", id });
  const input = { url: receiver.url, events: ["link.app_open"], ...settings };
  const { body: webhook } = await api("POST", `/api/apps/${app.id}/webhooks`, input);
  return { app_id: String(app.id), webhook_id: String(webhook.id) };
}

async function ingest(api: Call, app_id: string): Promise<void> {
  assert.equal((await api("POST", `/api/apps/${app_id}/events`, OPENED)).status, 202);
}
