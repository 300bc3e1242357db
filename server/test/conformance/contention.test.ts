// Two processes on one PostgreSQL that write the same rows at the same time, group by group as a committer does: health and
// hours of destinations that both deliver to, counters of links that both are asked for, one queue. They may wait for each
// other and never in a circle, for PostgreSQL takes a second to notice that, and nothing is counted twice or not at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { insertTallies } from "../../src/analytics/tally-store.ts";
import { tallyVisits } from "../../src/analytics/visit.ts";
import type { IdentityRow } from "../../src/claims/identity.ts";
import { markClick } from "../../src/claims/identity-store.ts";
import { composeItems, type Item } from "../../src/claims/storing.ts";
import type { DeliveryRow } from "../../src/deliveries/delivery.ts";
import { DUE_FIRST } from "../../src/deliveries/due.ts";
import { settle } from "../../src/deliveries/settle-store.ts";
import { createDeliveryStore, insertDeliveries } from "../../src/deliveries/store.ts";
import type { ClickRow } from "../../src/links/click.ts";
import { countClicks as countAtLinks } from "../../src/links/count-store.ts";
import { insertClicks } from "../../src/links/store.ts";
import type { Database } from "../../src/platform/database.ts";
import { createIds } from "../../src/platform/ids.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { openPostgres } from "../../src/platform/postgres.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import { foldingOf } from "../support/folding.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { settlementOf } from "../support/settlements.ts";

const PROCESSES = 2;
/** More than a real process has, which writes one group at a time: so that what may happen does. */
const WORKERS = 4;
const ROUNDS = 10;
const DESTINATIONS = 12;
const LINKS = 12;
const CLICKS_PER_ROUND = 30;
const CLAIM_MAX = 3;
const CLICKS = 12;
const PEOPLE = 12;
const TIES_PER_ROUND = 8;
const NOW = 1_700_000_000_000;
const DELIVERIES = PROCESSES * WORKERS * ROUNDS * DESTINATIONS;

test("two processes that settle, count and claim side by side wait for each other and never in a circle", async (t) => {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const database = await createTestDatabase();
  const open = () => openPostgres(database.url, { connections: 20 });
  const processes = Array.from({ length: PROCESSES }, open);
  const [first] = processes;
  assert.ok(first !== undefined);
  await migrate(first);
  await furnish(first, random);
  await slowDown(first);
  const workers = processes.flatMap((db, number) =>
    Array.from({ length: WORKERS }, (_, n) => ({ db, name: `${number}${n}` })),
  );
  const settled = await Promise.all(workers.map(({ db, name }) => work(db, name, random)));
  await foldingOf(first).fold();
  // What a session has counted is told when it ends.
  for (const db of processes) await db.close();
  const db = open();
  t.after(async () => {
    await db.close();
    await database.drop();
  });
  const total = settled.reduce((sum, count) => sum + count, 0);
  const [found] = await db.query<Record<string, number>>(sql`select
    (select count(*) from deliveries where state = 'succeeded') as succeeded,
    (select cast(sum(attempts) as bigint) from destination_hours) as attempts,
    (select cast(sum(click_count) as bigint) from links) as clicks,
    (select cast(sum(clicks) as bigint) from click_hours) as by_hour,
    (select cast(sum(clicks) as bigint) from click_parts where dimension = 'os') as by_os,
    (select count(*) from click_tallies where id > '') + (select count(*) from link_tallies) as not_folded,
    (select count(*) from destination_health) as health,
    (select deadlocks from pg_stat_database where datname = current_database()) as deadlocks`);
  const clicks = PROCESSES * WORKERS * ROUNDS * CLICKS_PER_ROUND;
  assert.deepEqual(found, {
    succeeded: total,
    attempts: total,
    clicks,
    by_hour: 2 * clicks,
    by_os: 2 * clicks,
    not_folded: 0,
    health: DESTINATIONS,
    deadlocks: 0,
  });
  assert.equal(total, DELIVERIES, "everything was claimed once");
});

const destination = (n: number) => `dst_${String(n).padStart(2, "0")}`;
const click = (n: number) => `click_${String(n).padStart(2, "0")}`;
const link = (n: number) => `lnk_${String(n).padStart(2, "0")}`;

async function furnish(db: Database, random: Random): Promise<void> {
  await db.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
    match_window_seconds, destinations_version, created_at, updated_at) values ('a', 'a', 0, '[]', 0, 60, 0, 0, 0)`);
  const links = Array.from({ length: LINKS }, (_, n) => [link(n), link(n)]);
  await db.query(sql`insert into links (id, app_id, slug, allow_param_passthrough, force_redirect_web, enabled, internal,
      click_count, created_at, updated_at)
    select column1, 'a', column2, 0, 0, 1, 0, 0, 0, 0 from (values ${rows(links, ["text", "text"])}) as v`);
  const deliveries = Array.from({ length: DELIVERIES }, (_, n): DeliveryRow => {
    return {
      ...{ destination_id: destination(random.below(DESTINATIONS)), position: `p${String(n).padStart(6, "0")}` },
      ...{ app_id: "a", event: "link.click", state: "pending", reason: null, attempt: 0, failures: 0, leased: 0 },
      ...{ due_at: DUE_FIRST, trigger: "auto", resume_state: null, resume_at: null, created_at: NOW, settled_at: null },
    };
  });
  await db.batch([insertDeliveries(deliveries)]);
  const clicks = Array.from({ length: CLICKS }, (_, n) => [click(n), "a", link(0), "ios", "", NOW, NOW]);
  await db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at)
    values ${rows(clicks)}`);
}

/** Every change of a shared row takes a moment, in which others come to wait for it. */
async function slowDown(db: Database): Promise<void> {
  const run = (text: string) => db.query({ kind: "statement", parts: [text], values: [] });
  await run(`create function dawdle() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.001); return new; end $$`);
  for (const table of ["destination_health", "destination_hours", "links", "clicks", "identities"]) {
    await run(`create trigger dawdle before update on ${table} for each row execute function dawdle()`);
  }
}

/** In each round it claims at all destinations, settles what it got last time and counts clicks, all at once. */
async function work(db: Database, name: string, random: Random): Promise<number> {
  const store = createDeliveryStore(db);
  const bounds = { now: NOW, lease_until: NOW + 45_000, limit: CLAIM_MAX, asked_only: false };
  let settled = 0;
  let held: { destination_id: string; position: string; attempt: number }[] = [];

  async function claimSome(): Promise<typeof held> {
    const wanted = shuffle([...Array(DESTINATIONS).keys()], random).map(destination);
    const found = await Promise.all(
      wanted.map(async (destination_id) =>
        (await store.claim(destination_id, bounds)).claimed.map((row) => ({ ...row, destination_id })),
      ),
    );
    return found.flat();
  }

  async function settleSome(done: typeof held): Promise<void> {
    const ended = { state: "succeeded", failures: 0, due_at: null } as const;
    const settlements = shuffle(done, random).map(({ attempt, ...key }) => ({
      ...settlementOf(key, attempt, ended),
      // As when nobody heard whether the group before was stored: those come again among others.
      set_apart: random.below(4) === 0,
    }));
    if (settlements.length > 0) await db.batch(settle(settlements));
    settled += settlements.length;
  }

  for (let round = 0; round < ROUNDS; round++) {
    const [next] = await Promise.all([
      claimSome(),
      settleSome(held),
      countClicks(db, clicksOf(`${name}-${round}`, random)),
      foldingOf(db).fold(),
      store.findDue(),
      db.batch(composeItems(tiesOf(random), ids.uuid)),
    ]);
    held = next;
  }
  await settleSome(held);
  return settled;
}

/** What several SDK calls of one group tie: a device and a user each to the same first click, and a click to both. */
function tiesOf(random: Random): Item[] {
  return Array.from({ length: TIES_PER_ROUND }, (): Item => {
    const [n, cid] = [random.below(PEOPLE), click(random.below(CLICKS))];
    const person = { user_id: `user ${n}`, device: `device ${n}` };
    const row = { app_id: "a", first_cid: click(0), user_id: null, is_shared: 0, ga: null, seen_at: NOW };
    const identities: IdentityRow[] = [
      { ...row, kind: "user", key: person.user_id },
      { ...row, kind: "device", key: person.device },
    ];
    const clicks = [{ cid, statement: markClick("a", cid, person) }];
    return { app_id: "a", events: [], clicks, identities };
  });
}

const ids = createIds();

function countClicks(db: Database, clicks: ClickRow[]) {
  const visits = clicks.map((row) => ({ ...row, at: NOW, values: { platform: row.platform, os: row.dest_url } }));
  const counted = countAtLinks(
    // Some of them at once, the others later.
    clicks.map((row) => ({ row, ...(row.link_id < link(LINKS / 2) ? { is_limited: true as const } : {}) })),
    ids.uuid,
  );
  return db.batch([insertClicks(clicks), ...counted, insertTallies(tallyVisits(visits), ids.uuid)]);
}

function clicksOf(name: string, random: Random): ClickRow[] {
  return Array.from({ length: CLICKS_PER_ROUND }, (_, n) => ({
    ...{
      cid: `${name}-${n}`,
      app_id: "a",
      link_id: link(random.below(LINKS)),
      platform: "ios",
      dest_url: `os ${n % 7}`,
    },
    ...{ utm: null, params: null, os_version: null, locale: null, ip_hash: null, ua_hash: null },
    ...{ created_at: NOW, expires_at: NOW },
  }));
}

function shuffle<Item>(items: readonly Item[], random: Random): Item[] {
  return items
    .map((item) => ({ item, order: random.below(1e9) }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
