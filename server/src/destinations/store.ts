// The tables `destinations`, `destination_history` and `destination_health`, and what is read of the deliveries for a
// destination's health. Every change goes through `change`, `insert` or `remove`: one transaction raises the app's
// version, writes the row and adds to the history. Called by the rest of the module.
import type { DestinationState } from "#contract/destinations.ts";
import { recordRemoval } from "../accounts/store.ts";
import type { NewNotice } from "../notices/notice.ts";
import type { Database, Query, Row } from "../platform/database.ts";
import { allOf, list, type Statement, sql } from "../platform/sql.ts";
import { noticeOfChange } from "./change-notice.ts";
import { changedFields } from "./changed-fields.ts";
import { type DestinationRow, isStopped } from "./destination.ts";
import { type Failed, NONE_FAILED } from "./failed.ts";
import { FAILED_SCAN_MAX, failedAt, triesAt } from "./failed-store.ts";
import type { FailureRun } from "./failing.ts";
import { type AttemptCount, type HealthFacts, NO_FACTS } from "./health.ts";
import { firstHealthHour } from "./latency.ts";
import { createMissedStore } from "./missed-store.ts";
import type { LoadedApp } from "./registry.ts";

/** Each event makes one delivery for each destination of its app, in one transaction. */
export const DESTINATIONS_PER_APP_MAX = 1_000;

/** Which destinations an id may mean: webhooks, all others, or any; and those of this app unless null. */
export interface Scope {
  type: "webhook" | "vendor" | null;
  app_id: string | null;
}

export interface Change {
  row: DestinationRow;
  cause: string;
  reset_health: boolean;
  /** When the next delivery is tried of a destination that is paused by this change, or was paused and is set otherwise. */
  probe_at?: number;
}

/** What becomes of a row and its run of failures, which is of its present era, decided without waiting for anything; null leaves it as it is. */
export type Decide = (row: DestinationRow, run: FailureRun) => Change | null;

/** Who changes something: `system` is the server itself, by what it saw. */
export const SYSTEM = "system";

export type DestinationStore = ReturnType<typeof createDestinationStore>;

/** Keeps a notice for the operator in the transaction of what it tells. */
export type ComposeNotice = (notice: NewNotice) => readonly Statement[];

export function createDestinationStore(db: Database, composeNotice: ComposeNotice = () => []) {
  /** Version and rows of one moment: one statement, one snapshot. */
  async function loadApp(app_id: string, query: Query = db.query): Promise<LoadedApp | null> {
    // Every app has a row here, with an id of null when it has no destinations.
    const found = await query<DestinationRow & { version: number }>(
      sql`select apps.destinations_version as version, destinations.* from apps
        left join destinations on destinations.app_id = apps.id
        where apps.id = ${app_id} order by destinations.created_at, destinations.id`,
    );
    if (found[0] === undefined) return null;
    const rows = found.map(({ version: _, ...row }) => row).filter((row) => row.id !== null);
    return { version: found[0].version, rows };
  }

  /** Reads the destinations of apps and runs what is composed from them, while every change of one waits. */
  function runLocked(
    app_ids: readonly string[],
    learn: (app_id: string, found: LoadedApp | null) => void,
    compose: () => readonly Statement[],
  ): Promise<Row[][]> {
    return db.transaction(async (query) => {
      // In one order, so that two processes never wait for each other.
      for (const app_id of app_ids.toSorted()) {
        // Written without a change: that is what changes of an app's destinations wait for.
        await query(sql`update apps set destinations_version = destinations_version where id = ${app_id}`);
        learn(app_id, await loadApp(app_id, query));
      }
      const rows: Row[][] = [];
      for (const statement of compose()) rows.push(await query(statement));
      return rows;
    });
  }

  async function versionOf(app_id: string): Promise<number | null> {
    const found = await db.query<{ version: number }>(
      sql`select destinations_version as version from apps where id = ${app_id}`,
    );
    return found[0]?.version ?? null;
  }

  async function appOf(destination_id: string): Promise<string | null> {
    const found = await db.query<{ app_id: string }>(sql`select app_id from destinations where id = ${destination_id}`);
    return found[0]?.app_id ?? null;
  }

  async function find(id: string, scope: Scope): Promise<DestinationRow | null> {
    const found = await db.query<DestinationRow>(sql`select * from destinations where ${within(id, scope)}`);
    return found[0] ?? null;
  }

  /** Newest first, beginning after a creation time and id. */
  function page(
    app_id: string,
    type: NonNullable<Scope["type"]>,
    after: [number, string] | null,
    limit: number,
  ): Promise<DestinationRow[]> {
    const from = after === null ? sql`true` : sql`(created_at, id) < (${after[0]}, ${after[1]})`;
    return db.query(
      sql`select * from destinations where app_id = ${app_id} and ${ofKind(type)} and ${from}
        order by created_at desc, id desc limit ${limit}`,
    );
  }

  async function appExists(app_id: string): Promise<boolean> {
    return (await db.query(sql`select 1 as found from apps where id = ${app_id}`)).length > 0;
  }

  function insert(row: DestinationRow, actor: string): Promise<"inserted" | "no_such_app" | "too_many"> {
    return db.transaction(async (query) => {
      if (!(await raiseVersion(query, row.app_id))) return "no_such_app";
      const counted = await query<{ count: number }>(
        sql`select count(*) as count from destinations where app_id = ${row.app_id}`,
      );
      if ((counted[0]?.count ?? 0) >= DESTINATIONS_PER_APP_MAX) return "too_many";
      await query(insertRow(row));
      await query(resetHealth(row));
      const cause = row.state === "off" ? "turned off from the start" : "created";
      await query(insertHistory(row, row.created_at, { cause, actor, explains: 1 }));
      return "inserted";
    });
  }

  /** Answers the row as it is afterwards, and whether it changed; null when the id means nothing here. */
  async function change(id: string, scope: Scope, { now, actor }: { now: number; actor: string }, decide: Decide) {
    const app_id = (await find(id, scope))?.app_id;
    if (app_id === undefined) return null;
    return db.transaction(async (query) => {
      // Raising the version first makes two changes of an app's destinations wait for each other.
      await raiseVersion(query, app_id);
      const row = (await query<DestinationRow>(sql`select * from destinations where ${within(id, scope)}`))[0];
      if (row === undefined) return null;
      const decision = decide(row, (await query<FailureRun>(failureRun(id)))[0] ?? NO_FAILURES);
      if (decision === null) return { row, changed: false };
      const is_kept = belongsInHistory(row, decision.row);
      const at = is_kept ? await historyTime(query, id, now) : now;
      const after = { ...decision.row, ...(await stopAfter(query, row, decision.row, at)) };
      await query(updateRow(after));
      if (decision.reset_health) await query(resetHealth(after));
      else if (after.era !== row.era) await query(beginRun(after));
      // What was disabled begins anew: what is shown of its health is from now on. The attempts themselves are kept.
      if (decision.reset_health && row.state === "disabled") {
        await query(sql`update destination_health set last_failure_at = null where destination_id = ${id}`);
        await query(sql`delete from destination_hours where destination_id = ${id}`);
      }
      if (decision.probe_at !== undefined) await query(startProbes(id, decision.probe_at));
      const explains = explanationOf(row, after);
      if (is_kept) await query(insertHistory(after, at, { cause: decision.cause, actor, explains }));
      if (explains === SETTINGS_ALONE) await query(trimSettings(id));
      const failed = row.state === after.state ? NONE_FAILED : await failedAt(query, id);
      const notice = noticeOfChange(row, after, { cause: decision.cause, failed });
      if (notice !== null) for (const statement of composeNotice(notice)) await query(statement);
      return { row: after, changed: true };
    });
  }

  /** The row goes at once, so nothing is sent any more; its deliveries go later, in steps. Answers its app. */
  async function remove(id: string, scope: Scope, now: number): Promise<string | null> {
    const app_id = (await find(id, scope))?.app_id;
    if (app_id === undefined) return null;
    return db.transaction(async (query) => {
      await raiseVersion(query, app_id);
      const removed = await query(sql`delete from destinations where ${within(id, scope)} returning id`);
      if (removed.length === 0) return null;
      await query(recordRemoval("destination", id, now));
      return app_id;
    });
  }

  /** Newest first, before a time. */
  function historyOf(id: string, before: number | null, limit: number): Promise<HistoryRow[]> {
    const range = before === null ? sql`true` : sql`at < ${before}`;
    return db.query(sql`select at, state, events, cause, actor from destination_history
      where destination_id = ${id} and ${range} order by at desc limit ${limit}`);
  }

  async function healthOf(ids: readonly string[], now: number): Promise<Map<string, HealthFacts>> {
    if (ids.length === 0) return new Map();
    const [totals, attempts, pending] = await Promise.all([
      db.query<Totals>(sql`select * from destination_health where destination_id in (${list(ids)})`),
      db.query<AttemptCount & Owned>(
        sql`select destination_id, succeeded, latency_class, cast(sum(attempts) as bigint) as attempts
          from destination_hours where destination_id in (${list(ids)}) and hour >= ${firstHealthHour(now)}
          group by destination_id, succeeded, latency_class`,
      ),
      // Walks the index deliveries_due alone, which holds both columns; no row is touched, settled or not.
      db.query<Owned & { pending: number; oldest: number }>(
        sql`select destination_id, count(*) as pending, min(created_at) as oldest from deliveries
          where destination_id in (${list(ids)}) and state = 'pending' group by destination_id`,
      ),
    ]);
    return new Map(ids.map((id) => [id, factsOf(id, totals, attempts, pending)]));
  }

  /** Of those that have any, by id: at most `limit` destinations, or this one. */
  function publicKeys(webhook_id: string | null, limit: number): Promise<Pick<DestinationRow, "id" | "public_keys">[]> {
    const which = webhook_id === null ? sql`true` : sql`id = ${webhook_id}`;
    return db.query(sql`select id, public_keys from destinations
      where public_keys is not null and ${which} order by id limit ${limit}`);
  }

  async function runOf(id: string): Promise<FailureRun> {
    return (await db.query<FailureRun>(failureRun(id)))[0] ?? NO_FAILURES;
  }

  /** What has failed for good at each of them. */
  async function failedOf(ids: readonly string[]): Promise<Map<string, Failed>> {
    const limit = Math.ceil(FAILED_SCAN_MAX / Math.max(1, ids.length));
    const found = ids.map(async (id) => [id, await failedAt(db.query, id, limit)] as const);
    return new Map(await Promise.all(found));
  }

  const triesOf = (id: string) => triesAt(db.query, id);

  return {
    ...{ loadApp, runLocked, versionOf, appOf, appExists, find, page, insert, change, remove },
    ...{ historyOf, healthOf, failedOf, triesOf, runOf, publicKeys },
  };
}

/** `actor` is null for what was kept before actors were. */
export interface HistoryRow {
  at: number;
  state: DestinationState;
  events: string;
  cause: string;
  actor: string | null;
}

const NO_FAILURES: FailureRun = { consecutive_failures: 0, failing_since: null };

function failureRun(id: string): Statement {
  return sql`select consecutive_failures, failing_since, last_success_at from destination_health
    where destination_id = ${id}`;
}

/** What was sent by other settings is no part of the run: attempts that end later add to that of their own era only. */
function beginRun({ id, era }: DestinationRow): Statement {
  return sql`update destination_health set era = ${era}, consecutive_failures = 0, failing_since = null
    where destination_id = ${id}`;
}

function startProbes(id: string, probe_at: number): Statement {
  return sql`update destination_health set probe_at = ${probe_at}, probes = 0, probe_after_due = null,
    probe_after_created = null, probe_after_position = null where destination_id = ${id}`;
}

interface Owned {
  destination_id: string;
}

interface Totals extends Owned {
  last_success_at: number | null;
  last_failure_at: number | null;
  consecutive_failures: number;
  probe_at: number | null;
}

function factsOf(
  id: string,
  totals: readonly Totals[],
  attempts: readonly (AttemptCount & Owned)[],
  pending: readonly (Owned & { pending: number; oldest: number })[],
): HealthFacts {
  const total = totals.find((row) => row.destination_id === id) ?? NO_FACTS;
  const waiting = pending.find((row) => row.destination_id === id);
  return {
    last_success_at: total.last_success_at,
    last_failure_at: total.last_failure_at,
    consecutive_failures: total.consecutive_failures,
    attempts: attempts.filter((row) => row.destination_id === id),
    pending: waiting?.pending ?? 0,
    oldest_pending_at: waiting?.oldest ?? null,
    probe_at: total.probe_at,
  };
}

function within(id: string, { type, app_id }: Scope): Statement {
  const conditions = [sql`id = ${id}`];
  if (type !== null) conditions.push(ofKind(type));
  if (app_id !== null) conditions.push(sql`app_id = ${app_id}`);
  return allOf(conditions);
}

function ofKind(type: NonNullable<Scope["type"]>): Statement {
  return type === "webhook" ? sql`type = ${type}` : sql`type <> ${"webhook"}`;
}

async function raiseVersion(query: Query, app_id: string): Promise<boolean> {
  const raised = await query(
    sql`update apps set destinations_version = destinations_version + 1 where id = ${app_id} returning id`,
  );
  return raised.length > 0;
}

/** `explains` of an entry that tells of other settings alone: they decide nothing about what an event meets, and must not date it. */
const SETTINGS_ALONE = 2;
/** The newest of these that are kept: a program may set them all the time. */
export const SETTINGS_ENTRIES_MAX = 200;

function belongsInHistory(before: DestinationRow, after: DestinationRow): boolean {
  return belongsToEvents(before, after) || changedFields(before, after).length > 0;
}

function belongsToEvents(before: DestinationRow, after: DestinationRow): boolean {
  return after.secrets !== before.secrets || decidesAnew(before, after);
}

function explanationOf(before: DestinationRow, after: DestinationRow): number {
  if (!belongsToEvents(before, after)) return SETTINGS_ALONE;
  return explainsEvents(before, after) ? 1 : 0;
}

function trimSettings(id: string): Statement {
  const settings = sql`destination_id = ${id} and explains = ${SETTINGS_ALONE}`;
  return sql`delete from destination_history where ${settings} and at < (select at from destination_history
    where ${settings} order by at desc limit 1 offset ${SETTINGS_ENTRIES_MAX - 1})`;
}

function decidesAnew(before: DestinationRow, after: DestinationRow): boolean {
  return after.state !== before.state || after.events !== before.events || after.filter !== before.filter;
}

/**
 * State, events and filter decide what an event meets. A change of the secrets or the filter of a destination that is stopped
 * must not take the place of the reason why it is: that is what every event it misses is told.
 */
function explainsEvents(before: DestinationRow, after: DestinationRow): boolean {
  return after.state !== before.state || after.events !== before.events || !isStopped(after);
}

/** One entry for each such change: when two fall into one millisecond the later one is dated a millisecond on. */
async function historyTime(query: Query, id: string, now: number): Promise<number> {
  const last = await query<{ at: number | null }>(
    sql`select max(at) as at from destination_history where destination_id = ${id}`,
  );
  return Math.max(now, (last[0]?.at ?? 0) + 1);
}

function insertHistory(row: DestinationRow, at: number, entry: { cause: string; actor: string; explains: number }) {
  return sql`insert into destination_history (destination_id, at, state, events, filter, cause, actor, explains)
    values (${row.id}, ${at}, ${row.state}, ${row.events}, ${row.filter}, ${entry.cause}, ${entry.actor},
      ${entry.explains})`;
}

/**
 * While it is off or disabled nothing is stored for it. Of such times the first is kept of which something is missing, and
 * when the last one ended; the history tells those between.
 */
async function stopAfter(query: Query, before: DestinationRow, after: DestinationRow, at: number) {
  if (isStopped(before) === isStopped(after)) return {};
  if (!isStopped(after)) return { restarted_at: at };
  return { stopped_at: (await createMissedStore({ query }).unrecoveredSince(after, at)) ?? at, restarted_at: null };
}

function resetHealth({ id, era }: DestinationRow): Statement {
  return sql`insert into destination_health (destination_id, last_success_at, last_failure_at, consecutive_failures,
      failing_since, era) values (${id}, null, null, 0, null, ${era})
    on conflict (destination_id) do update set consecutive_failures = 0, failing_since = null, era = excluded.era,
      probe_at = null, probes = 0`;
}

function insertRow(row: DestinationRow): Statement {
  return sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state, state_reason,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, rate_per_second, retry_on, filter, stopped_at,
      restarted_at, created_at, updated_at, public_keys, ordering, era)
    values (${row.id}, ${row.app_id}, ${row.type}, ${row.config}, ${row.secrets}, ${row.events}, ${row.description},
      ${row.enabled}, ${row.state}, ${row.state_reason}, ${row.state_changed_at}, ${row.retry_schedule},
      ${row.timeout_ms}, ${row.max_in_flight}, ${row.rate_per_second}, ${row.retry_on}, ${row.filter},
      ${row.stopped_at}, ${row.restarted_at}, ${row.created_at}, ${row.updated_at}, ${row.public_keys},
      ${row.ordering}, ${row.era})`;
}

function updateRow(row: DestinationRow): Statement {
  return sql`update destinations set config = ${row.config}, secrets = ${row.secrets}, events = ${row.events},
      description = ${row.description}, enabled = ${row.enabled}, state = ${row.state},
      state_reason = ${row.state_reason}, state_changed_at = ${row.state_changed_at},
      retry_schedule = ${row.retry_schedule}, timeout_ms = ${row.timeout_ms}, max_in_flight = ${row.max_in_flight},
      rate_per_second = ${row.rate_per_second}, retry_on = ${row.retry_on},
      filter = ${row.filter}, stopped_at = ${row.stopped_at}, restarted_at = ${row.restarted_at}, updated_at = ${row.updated_at},
      public_keys = ${row.public_keys}, ordering = ${row.ordering}, era = ${row.era}
    where id = ${row.id}`;
}
