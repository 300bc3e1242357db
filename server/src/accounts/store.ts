// The tables apps, api_keys, domains and removals. Called by accounts.ts alone.
import type { KeyKind } from "#contract/apps.ts";
import type { Database, Row } from "../platform/database.ts";
import { uuidFloor } from "../platform/ids.ts";
import { type After, after } from "../platform/page.ts";
import { allOf, assign, expectRows, KEPT, paddedList, type SqlValue, type Statement, sql } from "../platform/sql.ts";

/** Rows that one statement of a removal deletes, or looks at, at the most, so that it never holds the writer for long. */
export const REMOVAL_STEP_ROWS = 1_000;
/** The same of counts, whose rows are small: for more, PostgreSQL would read the whole table while its statistics are old. */
const COUNT_STEP_ROWS = 200;
const REMOVALS_PER_ROUND = 10;

export interface AppRow extends Row {
  id: string;
  name: string;
  ios_bundle_id: string | null;
  ios_team_id: string | null;
  ios_store_url: string | null;
  ios_enable_pasteboard: number;
  android_package: string | null;
  android_sha256: string;
  android_store_url: string | null;
  web_fallback_url: string | null;
  require_api_key: number;
  analytics_consent: number;
  match_window_seconds: number;
  event_retention_days: number | null;
  delivery_retention_days: number | null;
  emit_open_on_resolve: number;
  match_install_referrer: number;
  app_events_need_write: number;
  cid_on_web_fallback: number;
  created_at: number;
  updated_at: number;
}

export interface KeyRow extends Row {
  id: string;
  app_id: string;
  kind: KeyKind;
  label: string;
  key_hash: string;
  key_hint: string;
  can_read: number;
  can_write: number;
  expires_at: number | null;
  created_at: number;
  /** Null: the operator has made it. */
  origin_id: string | null;
}

export interface DomainRow extends Row {
  id: string;
  app_id: string;
  hostname: string;
  created_at: number;
}

/** Something that was deleted and whose rows in the hot tables are still being removed. */
export interface Removal extends Row {
  kind: "app" | "destination" | "link";
  /** Of a link: that of its app too, see removedLink. */
  id: string;
  removed_at: number;
}

/** Unmet while what belonged to a deleted app of that id is being removed. */
export async function insertApp(db: Database, app: AppRow): Promise<void> {
  // None that an earlier app of the id has had: a process that has not heard of it would send its events to the webhooks of that.
  const first_version = app.created_at;
  const inserted = sql`insert into apps (id, name, ios_bundle_id, ios_team_id, ios_store_url, ios_enable_pasteboard,
      android_package, android_sha256, android_store_url, web_fallback_url, require_api_key, analytics_consent, match_window_seconds,
      event_retention_days, delivery_retention_days, emit_open_on_resolve, match_install_referrer, app_events_need_write,
      cid_on_web_fallback, destinations_version, created_at, updated_at)
    values (${app.id}, ${app.name}, ${app.ios_bundle_id}, ${app.ios_team_id}, ${app.ios_store_url},
      ${app.ios_enable_pasteboard}, ${app.android_package}, ${app.android_sha256}, ${app.android_store_url},
      ${app.web_fallback_url}, ${app.require_api_key}, ${app.analytics_consent}, ${app.match_window_seconds},
      ${app.event_retention_days}, ${app.delivery_retention_days}, ${app.emit_open_on_resolve}, ${app.match_install_referrer},
      ${app.app_events_need_write}, ${app.cid_on_web_fallback}, ${first_version}, ${app.created_at}, ${app.updated_at})`;
  // After the insert, which waits for a removal that commits at this moment.
  await db.batch([inserted, expectRows(0, removalOf(app.id))]);
}

export function selectApps(db: Database, only: string | null, place: After | null, limit: number): Promise<AppRow[]> {
  const conditions = [after(place), ...(only === null ? [] : [sql`id = ${only}`])];
  return db.query(sql`select * from apps where ${allOf(conditions)} order by created_at desc, id desc limit ${limit}`);
}

export function selectAppsById(db: Database, ids: readonly string[]): Promise<AppRow[]> {
  return db.query(sql`select * from apps where id in (${paddedList(ids)})`);
}

/** Changes the named columns alone, so that two changes at the same moment both hold. Null when there is no such app. */
export async function updateApp(db: Database, id: string, changes: Partial<AppRow>): Promise<AppRow | null> {
  const updated = await db.query<AppRow>(sql`update apps set ${assign(changes)} where id = ${id} returning *`);
  return updated[0] ?? null;
}

/**
 * Keys, domains, links and destinations go with the app's row; the removal of the rest is noted in the same transaction.
 * @throws DatabaseError "unmet" when there is no such app
 */
export async function deleteApp(db: Database, id: string, now: number): Promise<void> {
  await db.batch([
    // Locked first, so that of two who delete it at once the second finds it gone.
    expectRows(1, sql`update apps set updated_at = updated_at where id = ${id} returning id`),
    sql`insert into removals (kind, id, removed_at)
      select 'destination', id, cast(${now} as bigint) from destinations where app_id = ${id}`,
    recordRemoval("app", id, now),
    expectRows(1, sql`delete from apps where id = ${id} returning id`),
  ]);
}

/** The id of a link's removal: what is counted of it stands behind its app. */
export function removedLink(app_id: string, id: string): string {
  return `${app_id}/${id}`;
}

/** To be run in the transaction that deletes the app, destination or link. */
export function recordRemoval(kind: Removal["kind"], id: string, now: number): Statement {
  return sql`insert into removals (kind, id, removed_at) values (${kind}, ${id}, ${now})
    on conflict (kind, id) do update set removed_at = excluded.removed_at`;
}

/**
 * Calls at the same moment may bring an app beyond its limit on PostgreSQL, and the next one is refused.
 * @throws DatabaseError "unique" when the key is in use, "unmet" when the app is gone or has as many as it may
 */
export async function insertKey(db: Database, key: KeyRow, keys_max: number): Promise<void> {
  // Selecting the app makes a key for an app that was deleted a moment ago an empty insert instead of a broken one.
  const inserted = sql`insert into api_keys (id, app_id, kind, label, key_hash, key_hint, can_read, can_write, expires_at, created_at,
      origin_id)
    select cast(${key.id} as text), id, cast(${key.kind} as text), cast(${key.label} as text), cast(${key.key_hash} as text),
      cast(${key.key_hint} as text), cast(${key.can_read} as integer), cast(${key.can_write} as integer),
      cast(${key.expires_at} as bigint), cast(${key.created_at} as bigint), cast(${key.origin_id} as text)
    from apps where id = ${key.app_id}
      and (select count(*) from api_keys where app_id = apps.id) < cast(${keys_max} as bigint) ${KEPT} returning id`;
  await db.batch([expectRows(1, inserted)]);
}

export function selectKeys(db: Database, app_id: string, place: After | null, limit: number): Promise<KeyRow[]> {
  return db.query(sql`select * from api_keys where app_id = ${app_id} and ${after(place)}
    order by created_at desc, id desc limit ${limit}`);
}

export function selectKeysByHash(db: Database, hashes: readonly string[]): Promise<KeyRow[]> {
  return db.query(sql`select * from api_keys where key_hash in (${paddedList(hashes)})`);
}

/** The hash of the deleted key, so that its cached form can be forgotten. */
export async function deleteKey(db: Database, id: string, app_scope: string | null): Promise<string | null> {
  const deleted = await db.query<{ key_hash: string }>(
    sql`delete from api_keys where ${allOf(within(id, app_scope))} returning key_hash`,
  );
  return deleted[0]?.key_hash ?? null;
}

/**
 * Two calls at the same moment may bring an app one beyond its limit on PostgreSQL, and the next one is refused.
 * @throws DatabaseError "unique" when the host is taken, "unmet" when the app is gone or has as many as it may
 */
export async function insertDomain(db: Database, domain: DomainRow, domains_max: number): Promise<void> {
  const inserted = sql`insert into domains (id, app_id, hostname, created_at)
    select cast(${domain.id} as text), id, cast(${domain.hostname} as text), cast(${domain.created_at} as bigint)
    from apps where id = ${domain.app_id}
      and (select count(*) from domains where app_id = apps.id) < cast(${domains_max} as bigint) ${KEPT} returning id`;
  await db.batch([expectRows(1, inserted)]);
}

export function selectDomains(db: Database, app_id: string, place: After | null, limit: number): Promise<DomainRow[]> {
  return db.query(sql`select * from domains where app_id = ${app_id} and ${after(place)}
    order by created_at desc, id desc limit ${limit}`);
}

export function selectDomainsByHost(db: Database, hostnames: readonly string[]): Promise<DomainRow[]> {
  return db.query(sql`select * from domains where hostname in (${paddedList(hostnames)})`);
}

export async function deleteDomain(db: Database, id: string, app_scope: string | null): Promise<string | null> {
  const deleted = await db.query<{ hostname: string }>(
    sql`delete from domains where ${allOf(within(id, app_scope))} returning hostname`,
  );
  return deleted[0]?.hostname ?? null;
}

function within(id: string, app_scope: string | null): Statement[] {
  return app_scope === null ? [sql`id = ${id}`] : [sql`id = ${id}`, sql`app_id = ${app_scope}`];
}

export function selectRemovals(db: Database): Promise<Removal[]> {
  return db.query(sql`select * from removals order by removed_at, kind, id limit ${REMOVALS_PER_ROUND}`);
}

export async function isBeingRemoved(db: Database, app_id: string): Promise<boolean> {
  return (await db.query(removalOf(app_id))).length > 0;
}

function removalOf(app_id: string): Statement {
  return sql`select 1 as one from removals where kind = 'app' and id = ${app_id}`;
}

export async function deleteRemoval(db: Database, removal: Removal): Promise<void> {
  // Not when the same id was made and deleted once more meanwhile: that removal still has to be done.
  await db.query(sql`delete from removals
    where kind = ${removal.kind} and id = ${removal.id} and removed_at = ${removal.removed_at}`);
}

/**
 * The statements that remove what is left of an app, a destination or a link, but for an app's clicks. Each deletes at most a step
 * of rows and answers them by key, and is repeated until it answers none. An app's id is given to a new app only after
 * that; only rows from before the removal count all the same: positions and click tokens begin with their time. Rows are
 * named by their whole key, for with half of it PostgreSQL may go through all rows of an app that its statistics do not
 * know.
 */
export function removalSteps(removal: Removal): Statement[] {
  const { id, removed_at } = removal;
  if (removal.kind === "link") {
    const [app_id = "", link_id = ""] = id.split("/");
    return countSteps(sql`app_id = ${app_id} and link_id = ${link_id}`);
  }
  if (removal.kind === "app") {
    const position = uuidFloor(removed_at + 1);
    return [
      // Before what they would be added to; one whose transaction commits late is folded to nothing. Not while somebody folds
      // them: each would wait for the other.
      sql`delete from click_tallies where id in (select t.id
        from (select id from click_tallies where id = '' /* locked */) as folding cross join click_tallies as t
        where t.app_id = ${id} limit ${COUNT_STEP_ROWS}) returning id`,
      ...countSteps(sql`app_id = ${id}`),
      sql`delete from events where (app_id, position) in (select app_id, position from events
        where app_id = ${id} and position < ${position} order by position limit ${REMOVAL_STEP_ROWS}) returning position`,
      sql`delete from app_events where (app_id, id) in (select app_id, id from app_events
        where app_id = ${id} and id < ${position} order by id limit ${REMOVAL_STEP_ROWS}) returning id`,
      sql`delete from identities where (app_id, kind, key) in (select app_id, kind, key from identities
        where app_id = ${id} order by kind, key limit ${REMOVAL_STEP_ROWS}) returning key`,
    ];
  }
  return [
    // First: a step that is under way is waited for, and none follows it that would hand out anything more.
    sql`update replays set finished_at = ${removed_at}, due_at = null, slot = null
      where destination_id = ${id} and finished_at is null`,
    // Attempts once more: one may be recorded as long as its delivery is there.
    ...["attempts", "deliveries", "attempts"].map((table) => stepOf(table, id)),
    // A replay may send to another webhook, where replays to come wait for whatever has the name of one.
    sql`update deliveries set replay_id = null, replay_from = null where (destination_id, position) in (
      select destination_id, position from deliveries where replay_id is not null
        and replay_id in (select id from replays where destination_id = ${id})
      limit ${REMOVAL_STEP_ROWS}) returning position`,
    sql`delete from replays where destination_id = ${id}`,
    sql`delete from destination_history where destination_id = ${id}`,
    // Whoever records an attempt writes into both in this order, so that no hours stay behind alone (findLeft).
    sql`delete from destination_health where destination_id = ${id}`,
    sql`delete from destination_hours where destination_id = ${id}`,
  ];
}

/** What clicks have added up to: no new app has the id before all of it is gone. */
function countSteps(of_it: Statement): Statement[] {
  return [
    // Waits for whoever folds at this moment, and may have found the app or link before it was deleted; answers no row.
    sql`update click_tallies set tallies = tallies where id = ''`,
    sql`delete from click_hours where (app_id, link_id, at) in (select app_id, link_id, at
      from click_hours where ${of_it} limit ${COUNT_STEP_ROWS}) returning at`,
    sql`delete from click_days where (app_id, link_id, at) in (select app_id, link_id, at
      from click_days where ${of_it} limit ${COUNT_STEP_ROWS}) returning at`,
    sql`delete from click_parts where (app_id, link_id, dimension, at, value) in (select app_id, link_id, dimension,
      at, value from click_parts where ${of_it} limit ${COUNT_STEP_ROWS}) returning at`,
  ];
}

/** Something that is gone, and of which there is something all the same. */
export type Left = Pick<Removal, "kind" | "id">;

/**
 * Apps and destinations that are gone and of which something has come since their removal was done: an attempt was under way that
 * counted in their health when it ended, a replay was asked for at that moment, a transaction that had read them committed
 * late, or a clock was ahead of the one that the removal went by. A seek for each of them. Sorted, so that two processes that
 * record them never wait in a circle.
 */
export async function findLeft(db: Pick<Database, "query">, limit: number): Promise<Left[]> {
  const looks = LEFT_IN.map(async ([kind, table]) => {
    const found = await db.query<{ id: string }>(idsIn(kind, table, limit));
    return found.map(({ id }) => `${kind} ${id}`);
  });
  const found = [...new Set((await Promise.all(looks)).flat())].sort();
  // Made of both above; no id has a space.
  return found.map((one) => one.split(" ") as [Left["kind"], string]).map(([kind, id]) => ({ kind, id }));
}

const LEFT_IN = [
  ...(["destination_health", "deliveries", "replays"] as const).map((table) => ["destination", table] as const),
  ...(["events", "app_events"] as const).map((table) => ["app", table] as const),
];

function idsIn(kind: "app" | "destination", table: string, limit: number): Statement {
  const of = `${kind}_id`;
  const parts = [
    `select id from (with recursive k (id) as (
        select (select ${of} from ${table} order by ${of} limit 1)
        union all
        select (select x.${of} from ${table} as x where x.${of} > k.id order by x.${of} limit 1)
        from k where k.id is not null)
      select id from k where id is not null) as k
    where not exists (select 1 from ${kind}s as d where d.id = k.id)
      and not exists (select 1 from removals as r where r.kind = '${kind}' and r.id = k.id) limit `,
    "",
  ];
  return { kind: "statement", parts, values: [limit] };
}

/** Unless somebody has recorded it, or has given its id to a new app, meanwhile. */
export function recordLeft({ kind, id }: Left, now: number): Statement {
  return sql`insert into removals (kind, id, removed_at)
    select cast(${kind} as text), cast(${id} as text), cast(${now} as bigint)
    where ${kind} <> 'app' or not exists (select 1 from apps where id = ${id}) on conflict (kind, id) do nothing`;
}

/** The same of one app, if there is something of it. */
export async function recordLeftOf(db: Database, app_id: string, now: number): Promise<void> {
  const [found] = await db.query(sql`select 1 as one where exists (select 1 from events where app_id = ${app_id})
    or exists (select 1 from app_events where app_id = ${app_id})`);
  if (found !== undefined) await db.query(recordLeft({ kind: "app", id: app_id }, now));
}

/** Both ledgers have the same key: a destination and a position. */
function stepOf(table: string, destination_id: string): Statement {
  const parts = [
    `delete from ${table} where (destination_id, position) in (select destination_id, position from ${table}
      where destination_id = `,
    " order by position limit ",
    ") returning position",
  ];
  const values: SqlValue[] = [destination_id, REMOVAL_STEP_ROWS];
  return { kind: "statement", parts, values };
}

/** Clicks by token: a range from one, inclusively, to the other, exclusively. */
export interface ClickRange {
  from: string;
  to: string;
}

/**
 * The first of the clicks from before the removal that have not been looked at: no index leads from an app to its clicks,
 * so all of them are gone through once, in ranges of so many. Null when there is nothing left to look at.
 */
export async function selectClickRange(db: Database, from: string, removed_at: number): Promise<ClickRange | null> {
  const end = (removed_at + 1).toString(16).padStart(12, "0");
  if (from >= end) return null;
  const found = await db.query<{ cid: string }>(sql`select cid from clicks where cid >= ${from} and cid < ${end}
    order by cid limit 1 offset ${REMOVAL_STEP_ROWS}`);
  return { from, to: found[0]?.cid ?? end };
}

export async function deleteClicks(db: Database, app_id: string, { from, to }: ClickRange): Promise<void> {
  await db.query(sql`delete from clicks where cid >= ${from} and cid < ${to} and app_id = ${app_id}`);
}
