// No statement of the running server reads a large table from end to end: a whole server works on tables with many rows, what
// it asks is recorded, and each engine says how it would go about it. Statements are not named here, so one that is
// added to the server is covered as soon as what follows makes the server use it.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { selectCandidates } from "../../src/claims/store.ts";
import { composeServer } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import { settle } from "../../src/deliveries/settle-store.ts";
import { createDeliveryStore } from "../../src/deliveries/store.ts";
import { createWebhookWaitsStore } from "../../src/deliveries/webhook-waits-store.ts";
import { countClicks, LINKS_AT_ONCE_MAX } from "../../src/links/count-store.ts";
import type { Database } from "../../src/platform/database.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { type Statement, sql } from "../../src/platform/sql.ts";
import { type Engine, forEachEngine } from "../support/engines.ts";
import { fill } from "../support/filled.ts";
import { explain, findScans, LARGE_TABLES, OF_PERSON, record, SERVED_BY } from "../support/plans.ts";
import { startReceiver } from "../support/receiver.ts";
import { settlementOf } from "../support/settlements.ts";
import { PHONE } from "../support/site.ts";
import { waitUntil } from "../support/wait.ts";

const TOKEN = "the-operator-of-these-tests";
/** PostgreSQL believes of a table that was empty that it is not, and of an index that was empty that it is. */
const DELIVERED_BEFORE = 2_000;
const SHOWN_MAX = 5;
const GIVEN = ["019a8e2b-6c1e-7a54-9d3f-2b1c4d5e6f70", "019a8e2b-6c1e-7a54-9d3f-2b1c4d5e6f71"] as const;

/** SQLite has none unless an operator made some; PostgreSQL's are older than a backlog, at first those of empty tables. */
const STATISTICS = ["old", "fresh"] as const;
/** PostgreSQL is told that the tables are so much larger than they are. */
const LARGER = 100;
/** Asked once by each process, at its start, of an index that holds the clicks of a day; which old statistics do not know. */
const SELDOM = /select min\(created_at\) as oldest from clicks/;

forEachEngine((engine) => {
  for (const statistics of STATISTICS) {
    test(`no statement scans a large table, with statistics: ${statistics}`, async (t) => {
      const { db, recording, work } = await openWorld(t, engine, statistics);
      await work();
      const statements = recording.statements();
      const scans: string[] = [];
      for (const statement of statements) {
        const found = await findScans(db, statement);
        scans.push(...found.filter((scan) => !SELDOM.test(scan) || (statistics === "fresh" && scan.startsWith("Seq"))));
      }
      assert.deepEqual(scans.slice(0, SHOWN_MAX), [], `${scans.length} of ${statements.length} statements`);
      const of_person = statements.filter(({ parts }) => OF_PERSON.test(parts.join("?")));
      assert.ok(of_person.length >= 9, "three tables, and three names in each");
      for (const [pattern, index] of SERVED_BY) {
        for (const statement of statements.filter(({ parts }) => pattern.test(parts.join("?")))) {
          assert.match(await explain(db, statement), index, statement.parts.join("?"));
        }
      }
      assertRecorded(statements);
    });
  }

  test("a scan would be found", async () => {
    const db = await engine.open();
    await fill(db, { app_id: "a", destination_id: "d" });
    const cases: [Statement, number][] = [
      [sql`select count(*) as n from deliveries where reason = 'x'`, 1],
      [sql`select body from events as e where e.body like ${"%x%"}`, 1],
      [sql`update clicks set claim_type = null where link_id = ${"x"}`, 1],
      [sql`select count(*) as n from deliveries where state = 'pending'`, 1],
      [sql`select outcome from attempts where number = 3`, 1],
      [sql`select cid from clicks where cid = ${"x"}`, 0],
      [sql`select position from deliveries where destination_id = ${"d"} order by position desc limit 1`, 0],
    ];
    for (const [statement, count] of cases) {
      assert.equal((await findScans(db, statement)).length, count, statement.parts.join("?"));
    }
  });
});

/** The test is worth nothing when the server was not made to use what matters. */
function assertRecorded(statements: readonly Statement[]): void {
  const texts = statements.map(({ parts }) => parts.join("?").replaceAll(/\s+/g, " "));
  for (const [what, pattern] of [
    ["claim", /update deliveries set attempt = attempt \+ 1.*from due/],
    ["claimProbe", /attempt = attempt \+ 1, leased = 1, trigger = 'probe'/],
    ["claim from both ends", /as newest/],
    ["claim in turn", /with picked as materialized/],
    ["pass turns", /\|\| ' ' \|\| column2/],
    ["mend turns", /with recursive k \(order_key/],
    ["what has keys", /with recursive k \(destination_id/],
    ["let go", /set order_key = null/],
    ["findDue", /with recursive d/],
    ["readBodies", /select position, id, target_id, erased_at, octet_length\(body\) as bytes/],
    ["renew", /update deliveries set due_at = column4/],
    ["release", /update deliveries set leased = 0, attempt = attempt - 1/],
    ["releaseAll", /update deliveries set leased = 0, due_at = case/],
    ["settle at once", /first_started_at = column4/],
    ["settle", /update deliveries set state = case when column10/],
    ["settle beside a granted attempt", /update deliveries set resume_state = column5/],
    ["attempts", /insert into attempts/],
    ["overdue", /as o where o\.created_at/],
    ["stuck", /as l\) as h where order_key/],
    ["failed for good", /then position end as sendable/],
    ["last attempts", /from attempts as a where destination_id in/],
    ["last attempts of a page", /from attempts as a where destination_id = \? and position in/],
    ["newest attempts", /error from attempts where destination_id = \? order by position desc/],
    ["newest attempt of a replay", /error from attempts where destination_id = \? and trigger = 'replay'/],
    ["who waits behind", /^select \(select f\.position .*f\.position > \?/],
    ["guard", /destinations_version = \?/],
    ["link by slug", /from links/],
    ["links of a word", /from links where .*as scanned/],
    ["links of a preset", /select 1 as one from links where utm_preset_id/],
    ["tallies", /insert into click_tallies/],
    ["fold", /delete from click_tallies where id >= \?/],
    ["tallies of links", /insert into link_tallies/],
    ["fold at links", /delete from link_tallies where id >= \?/],
    ["tallies that go", /click_tallies as t where t\.app_id/],
    ["count of hours", /insert into click_hours/],
    ["count of days", /insert into click_days/],
    ["count of parts", /insert into click_parts/],
    ["hours", /from click_hours where app_id/],
    ["days", /from click_days where app_id/],
    ["parts", /from click_parts where app_id/],
    ["hours that go", /delete from click_hours/],
    ["parts that go", /delete from click_parts/],
    ["click match", /created_at <= \? and claimed_at is null and platform in/],
    ["click match, read on", /\(created_at, cid\) < \(\?, \?\) and claimed_at is null and platform in/],
    ["claim of a click", /update clicks set claimed_at/],
    ["who is tied", /insert into identities/],
    ["whose click", /update clicks set user_id/],
    ["app events of a type", /from app_events where .*as scanned/],
    ["replay", /from replays where due_at/],
    ["stops", /from destination_history.*window past/],
    ["missed", /as is_missing/],
    ["missed of a filter", /octet_length\(body\)/],
    ["missed and sent", /end_position from replays/],
    ["fate", /from deliveries.*app_id/],
    ["erase", /update deliveries set erased_at/],
    ["erase answers", /update attempts set response_headers/],
    ["events about a user", /from events where .*user_id = \?/],
    ["events about a device", /from events where .*device = \?/],
    ["events about a click", /from events where .* cid = \?/],
    ["events of a click", /as scanned where event in/],
    ["clicks of a user", /from clicks where .*user_id = \?/],
    ["app events of a user", /from app_events where .*user_id = \?/],
    ["devices of a user", /from identities .*as devices/],
    ["what removals left", /with recursive k \(id\)/],
  ] as const) {
    assert.ok(
      texts.some((text) => pattern.test(text)),
      `${what} is among what was recorded`,
    );
  }
}

async function openWorld(t: TestContext, engine: Engine, statistics: (typeof STATISTICS)[number]) {
  const address = await engine.address();
  const db = await openDatabase(address);
  await migrate(db);
  if (engine.name === "postgres") await keepStatistics(db);
  const receiver = await startReceiver(({ path }) => ({ status: path === "/ok" ? 200 : 500 }));
  const data_dir = mkdtempSync(join(tmpdir(), "linkme-plans-"));
  const env = { DATABASE_URL: address, LINKME_DATA_DIR: data_dir, LINKME_EGRESS_ALLOW: "127.0.0.0/8" };
  const reading = readConfig(env, () => "");
  assert.ok(reading.kind === "config");
  const secrets = { seal_key: randomBytes(32), admin_token: TOKEN, token_file: null, is_token_new: false };
  const recording = record(db);
  const server = await composeServer(reading.config, secrets, recording.db);
  t.after(async () => {
    await server.stop(2_000);
    await receiver.close();
    rmSync(data_dir, { recursive: true, force: true });
  });
  await server.app.ready();
  await server.open();
  const call: Call = async (method, url, body, headers = {}) => {
    const all = { authorization: `Bearer ${TOKEN}`, "user-agent": PHONE, ...headers };
    const response = await server.app.inject({ method, url, headers: all, ...(body && { payload: body }) });
    assert.ok(response.statusCode < 500, `${method} ${url}: ${response.body}`);
    const is_json = String(response.headers["content-type"]).includes("json");
    return { headers: response.headers, body: is_json ? response.json() : null };
  };

  async function work(): Promise<void> {
    const { body: app } = await call("POST", "/api/apps", { name: "Plans", analytics_consent: true });
    const createHook = async (path: string): Promise<string> => {
      const input = { url: receiver.url + path, events: ["link.click", "link.app_open", "link.claim"] };
      return (await call("POST", `/api/apps/${app.id}/webhooks`, input)).body.id;
    };
    const [good, bad] = [await createHook("/ok"), await createHook("/bad")];
    await fill(db, { app_id: app.id, destination_id: good });
    await fill(db, { app_id: "another", destination_id: "another" });
    if (statistics === "fresh") await analyze(db);
    await call("POST", `/api/apps/${app.id}/links`, { slug: "plans", redirects: { ios: "plans://open" } });
    await visit(call, app.id);
    const isCounted = () => recording.statements().some(({ parts }) => parts[0]?.startsWith("insert into click_parts"));
    // Counting gives way to all else, and what was filled in here has just been written out.
    await waitUntil(isCounted, "the clicks to be counted", { timeout_ms: 180_000 });
    await recording.db.batch(countClicks(clicksOfMany(), randomUUID));
    await receiver.waitFor((received) => new Set(received.map(({ path }) => path)).size === 2);
    // What its newest attempts say is looked up for a webhook that fails.
    const isFailing = async () => (await call("GET", `/api/webhooks/${bad}`)).body.next_step !== null;
    await waitUntil(isFailing, "the failing webhook to say so");
    await ask(call, app.id, good);
    await replayAll(call, good);
    await workAsDispatcher(recording.db, bad);
  }

  return { db, recording, work };
}

/** So many links that they are counted later. */
function clicksOfMany() {
  return Array.from({ length: LINKS_AT_ONCE_MAX + 1 }, (_, n) => ({ row: { link_id: `lnk_${n}`, created_at: 0 } }));
}

type Call = (
  method: "GET" | "POST" | "PATCH" | "DELETE",
  url: string,
  body?: object,
  headers?: Record<string, string>,
) => Promise<{ headers: Record<string, unknown>; body: ReturnType<typeof JSON.parse> }>;

/** Everything that visitors, apps and backends do. */
async function visit(call: Call, app_id: string): Promise<void> {
  const as_app = { "x-app-id": app_id, authorization: "" };
  const click = await call("GET", "/plans", undefined, { authorization: "", cookie: "_ga=GA1.1.1.2" });
  const [, cid = ""] = /cid=([0-9a-f]{32})/.exec(String(click.headers["location"])) ?? [];
  await call("GET", "/plans", undefined, { authorization: "" });
  await call("GET", `/api/deeplink?cid=${cid}`, undefined, as_app);
  const known = { id_type: "idfv", device_id: "a1b2c3d4", consent: { vendor: true } };
  const device = { platform: "ios", userAgent: PHONE, ...known };
  await call("POST", "/api/deferred/claim", { platform: "ios", device, user_id: "ada" }, as_app);
  await call("POST", "/api/deferred/claim", { platform: "ios", device }, as_app);
  await call("POST", "/api/install-referrer", { referrer: `cid=${cid}` }, as_app);
  await call("POST", "/api/app-events", { type: "open", platform: "ios" }, as_app);
  await call("POST", "/api/app-events", { type: "open", cid, device, user_id: "ada" }, as_app);
  const event = { event: "link.app_open", data: { platform: "ios", type: "open" } };
  for (const given of [event, { ...event, id: GIVEN[0] }, { events: [event, event] }]) {
    await call("POST", `/api/apps/${app_id}/events`, given);
  }
  await call("POST", `/api/apps/${app_id}/events`, {
    events: [
      { ...event, id: GIVEN[0] },
      { ...event, id: GIVEN[1] },
    ],
  });
}

/** Every list and every look of the management API, with each filter. */
async function ask(call: Call, app_id: string, webhook_id: string): Promise<void> {
  const range = "since=2023-01-01T00:00:00Z&until=2030-01-01T00:00:00Z";
  const states = ["pending", "succeeded", "failed", "canceled", "skipped"].map((state) => `state=${state}`);
  let first = "";
  for (const filter of ["", "event=link.claim", ...states, range]) {
    const { body } = await call("GET", `/api/webhooks/${webhook_id}/deliveries?limit=10&${filter}`);
    first ||= body.items?.[0]?.id ?? "";
    if (body.next_cursor) await call("GET", `/api/webhooks/${webhook_id}/deliveries?cursor=${body.next_cursor}`);
  }
  for (const filter of ["", "event=link.claim", range, "event=link.click&link_id=nowhere"]) {
    const { body } = await call("GET", `/api/apps/${app_id}/events?limit=10&${filter}`);
    if (body.items?.[0]) await call("GET", `/api/events/${body.items[0].id}`);
    if (body.next_cursor) await call("GET", `/api/apps/${app_id}/events?cursor=${body.next_cursor}`);
  }
  for (const filter of ["", "type=install", "type=none"]) {
    const { body } = await call("GET", `/api/apps/${app_id}/app-events?limit=1&${filter}`);
    if (body.next_cursor) await call("GET", `/api/apps/${app_id}/app-events?limit=1&cursor=${body.next_cursor}`);
  }
  for (const name of [{ user_id: "ada" }, { cid: "0".repeat(32) }, { device_id: "a1b2c3d4" }]) {
    await call("POST", `/api/apps/${app_id}/persons`, name);
    const { body: erasure } = await call("POST", `/api/apps/${app_id}/erasures`, name);
    const isDone = async () => (await call("GET", `/api/erasures/${erasure.id}`)).body.state === "done";
    await waitUntil(isDone, "the erasure to be done");
  }
  await call("GET", `/api/apps/${app_id}/erasures?limit=1`);
  await call("GET", `/api/apps/${app_id}/events?event_id=${GIVEN[0]}`);
  await call("GET", `/api/events/${GIVEN[0]}?app_id=${app_id}`);
  await call("GET", `/api/deliveries/${first}`);
  await call("POST", `/api/deliveries/${first}/cancel`);
  await call("POST", `/api/deliveries/${first}/retry`);
  await call("DELETE", `/api/events/${GIVEN[1]}`);
  await call("DELETE", `/api/events/${GIVEN[1]}?app_id=${app_id}`);
  for (const filter of ["", "q=plans", "tag=mail", "state=active", "state=expired", "state=limit_reached&internal=0"]) {
    const url = `/api/apps/${app_id}/links/search?limit=1&${filter}`;
    const { body } = await call("GET", url);
    if (body.next_cursor) await call("GET", `${url}&cursor=${body.next_cursor}`);
  }
  await call("GET", `/api/apps/${app_id}/links`);
  const utm = { utm_source: "mail" };
  const { body: preset } = await call("POST", `/api/apps/${app_id}/utm-presets`, { name: "Mail", utm });
  await call("PATCH", "/api/links/plans", { utm_preset_id: preset.id });
  await call("GET", `/api/apps/${app_id}/links/search?utm_preset_id=${preset.id}`);
  await call("DELETE", `/api/utm-presets/${preset.id}`);
  const { body: spare } = await call("POST", `/api/apps/${app_id}/links`, { slug: "spare" });
  await call("GET", "/spare", undefined, { authorization: "" });
  for (const query of ["", "by=hour", "dimension=utm_source", `dimension=os&link_id=${spare.id}`]) {
    await call("GET", `/api/apps/${app_id}/analytics?${query}`);
  }
  await call("DELETE", `/api/links/${spare.id}`);
  const { body: gone } = await call("POST", "/api/apps", { name: "Gone" });
  await call("DELETE", `/api/apps/${gone.id}`);
  await call("GET", `/api/webhooks/${webhook_id}`);
  await call("GET", `/api/apps/${app_id}/webhooks`);
  await call("POST", `/api/webhooks/${webhook_id}/test`, { event: "link.click" });
  // The second stop looks at what is missing of the first, with and without a filter.
  for (const filter of [null, { path: "platform", equals: "ios" }]) {
    for (const enabled of [false, true, false, true]) {
      await call("PATCH", `/api/webhooks/${webhook_id}`, { enabled, filter });
      const missed = { event: "link.click", data: { platform: "ios" } };
      if (!enabled) await call("POST", `/api/apps/${app_id}/events`, missed);
    }
  }
  await call("PATCH", `/api/webhooks/${webhook_id}`, { filter: null });
}

async function replayAll(call: Call, webhook_id: string): Promise<void> {
  const range = { since: "2023-01-01T00:00:00Z", until: "2030-01-01T00:00:00Z" };
  for (const states of [["missing"], ["failed"], ["canceled", "skipped"], ["succeeded"], ["missing", "failed"]]) {
    const input = { ...range, states, events: ["link.click"], rate_per_second: 1_000 };
    await call("POST", `/api/webhooks/${webhook_id}/replays`, { ...input, dry_run: true });
    await call("POST", `/api/webhooks/${webhook_id}/replays`, { ...input, link_id: "lnk_7", dry_run: true });
    const { body } = await call("POST", `/api/webhooks/${webhook_id}/replays`, input);
    const hasMoved = async () => {
      const replay = (await call("GET", `/api/replays/${body.id}`)).body;
      return replay.state !== "running" || replay.created > 0;
    };
    await waitUntil(hasMoved, `the replay of ${states} to move`);
    await call("POST", `/api/replays/${body.id}/cancel`);
  }
  await call("GET", `/api/webhooks/${webhook_id}/replays`);
}

/** What is done only now and then, by a dispatcher above all. */
async function workAsDispatcher(db: Database, destination_id: string): Promise<void> {
  const store = createDeliveryStore(db);
  const now = Date.now() + 3_600_000;
  const of_network = { app_id: "another", ip_hashes: ["h1", "h2"], since: 1, now };
  await selectCandidates(db, of_network, ["web", "ios"], { created_at: now, cid: "" });
  const bounds = { now, lease_until: now + 1_000, limit: 3, asked_only: true };
  await store.claim(destination_id, bounds);
  const { claimed } = await store.claim(destination_id, { ...bounds, asked_only: false });
  await db.query(sql`update destination_health set probe_at = ${now} where destination_id = ${destination_id}`);
  await store.claimProbe(destination_id, { now: now + 2_000, lease_until: now + 3_000 });
  await store.claim(destination_id, { ...bounds, asked_only: false, newest: 1 });
  await store.claim(destination_id, { ...bounds, asked_only: false, in_turn: true });
  await store.claimProbe(destination_id, { now: now + 9_000_000, lease_until: now + 9_001_000, in_turn: true });
  await store.mendTurns(destination_id, "", now);
  await store.findKeyed();
  await store.hasBehind({ destination_id, position: "", order_key: "lnk_7" });
  await store.letGo(destination_id, now);
  const waits = createWebhookWaitsStore(db);
  await waits.overdueOf([destination_id], now);
  await waits.stuckOf([destination_id], now, now);
  const held = claimed.map(({ position, attempt }) => ({ destination_id, position, attempt }));
  const [first] = held;
  assert.ok(first !== undefined, "something was claimed");
  await store.renew(held, now + 2_000);
  await store.countRecords(first);
  await store.lastAttempts(first.position, [destination_id, "another"]);
  await store.release(held, now);
  await store.releaseAll(destination_id, now, 45_000);
  const ended = { state: "succeeded", failures: 0, due_at: null } as const;
  const set_apart = { ...settlementOf(first, first.attempt, ended), set_apart: true };
  await db.batch(settle([set_apart]));
  const failed = settlementOf(first, first.attempt, { state: "pending", failures: 1, due_at: 1 });
  await db.batch(settle([{ ...failed, set_apart: true, lease: { lease_until: 1 } }]));
  await db.batch(settle([{ ...set_apart, set_apart: false, order_key: "lnk_7" }]));
}

async function analyze(db: Database): Promise<void> {
  await db.query({ kind: "statement", parts: ["analyze"], values: [] });
  if (db.engine === "sqlite") return;
  await db.query(
    sql`update pg_class set reltuples = reltuples * ${LARGER} where relnamespace = 'public'::regnamespace`,
  );
}

/** Those of a time when everything was delivered and nothing pending, until the test makes others. */
async function keepStatistics(db: Database): Promise<void> {
  // Of a webhook that is there: what belongs to none is removed at the start, and these are all rows that the planner knows.
  await db.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
    match_window_seconds, destinations_version, created_at, updated_at) values ('before', 'Before', 0, '[]', 0, 3600, 1, 0, 0)`);
  await db.query(sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at)
    values ('dst_before', 'before', 'webhook', '{}', '{}', '[]', '', 1, 'active', 0, '[]', 1000, 1, 'retriable', 0, 0)`);
  await db.query(sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${DELIVERED_BEFORE})
    insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, due_at, trigger, created_at)
    select 'dst_before', ${"p"} || (1000000 + i), 'before', 'link.click', 'succeeded', 1, 0, 0, null, 'auto', 0 from n`);
  for (const table of LARGE_TABLES) {
    await db.query({ kind: "statement", parts: [`alter table ${table} set (autovacuum_enabled = false)`], values: [] });
  }
  await db.query({ kind: "statement", parts: ["analyze"], values: [] });
}
