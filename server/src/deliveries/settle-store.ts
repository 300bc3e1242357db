// SQL that records finished attempts: history, state, health, counters by the hour. Called by settling.ts, in the same
// transactions as everything else that waits. Statements name deliveries by their key and not by `state = 'pending'` alone,
// for the reason that store.ts gives. Recording an attempt again changes nothing, when it is `set_apart` then.
import type { Outcome } from "#destination-types/definition.ts";
import { insertJournal, insertJournalUnless } from "../platform/journal.ts";
import { eachRow, expectRows, rows, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import { attemptsEntry } from "./changes.ts";
import type { AttemptRow, DeliveryKey } from "./delivery.ts";
import type { Decision } from "./policy.ts";
import { endOf, healthChanges, hourCounts, singleChanges, withUnchanged } from "./totals.ts";
import { passTurns, turnsOf } from "./turns-store.ts";

/** Everything that one finished attempt writes. */
export interface Settlement {
  key: DeliveryKey;
  /** Others with the same one wait for their turn; absent or null: none do. */
  order_key?: string | null;
  /** The fencing token under which it was made. */
  attempt: number;
  /** The claim that it was made under, whose end moves while it lives; absent: it is not known. */
  lease?: { readonly lease_until: number };
  decision: Decision;
  record: AttemptRow;
  settled_at: number | null;
  /** Undefined when nothing was sent. */
  outcome: Outcome | undefined;
  /** That of the destination with which it was made; absent: nothing was sent. */
  era?: number;
  /** The receiver was asked and said nothing; absent: it answered, or was not asked. */
  is_silence?: boolean;
  /** Whether it says something about the health of the destination: tests and replays do not. */
  counts: boolean;
  /**
   * It may be on record already, or its delivery settled by somebody else: what it says goes into the history, and is
   * counted unless it stands there.
   */
  set_apart: boolean;
}

/**
 * The statements that record finished attempts: history, state, health. A stale attempt changes no state, and a delivery
 * that is not pending any more refuses the whole group, to be composed again with `set_apart`.
 */
export function settle(settlements: readonly Settlement[]): Statement[] {
  const at_once = settlements.filter(isAtOnce);
  const others = at_once.length === settlements.length ? [] : settlements.filter((one) => !isAtOnce(one));
  const counted = settlements.filter((one) => one.counts);
  const certain = counted.filter((one) => !one.set_apart);
  const doubtful = certain.length === counted.length ? [] : counted.filter((one) => one.set_apart);
  const ordered = turnsOf(settlements.map(({ key, order_key = null }) => ({ ...key, order_key })));
  const statements: Statement[] = [];
  // Before the records themselves are written, of which these ask. Always in this order, so that two processes that change
  // the same rows never wait for each other in a circle.
  const again = settlements.filter((one) => one.set_apart);
  const first = again.length === 0 ? settlements : settlements.filter((one) => !one.set_apart);
  if (again.length > 0) statements.push(journalUnlessRecorded(again));
  if (doubtful.length > 0) {
    // Two statements count here, each in order by itself: the rows of both are locked first.
    if (certain.length > 0 || ordered.length > 0) statements.push(updateHealth([], [...keysOf(counted), ...ordered]));
    statements.push(updateHealthUnlessRecorded(doubtful), addHoursUnlessRecorded(doubtful));
  }
  if (certain.length > 0 || ordered.length > 0) statements.push(updateHealth(certain, ordered));
  if (certain.length > 0) statements.push(addHours(certain));
  const overtaken = others.filter(mayBeOvertaken);
  if (others.length > 0) statements.push(insertAttempts(others.map(({ record }) => record)));
  // Before what may settle the attempt that has overtaken it.
  if (overtaken.length > 0) statements.push(updateOvertaken(overtaken));
  if (others.length > 0) statements.push(updateSettled(others));
  if (at_once.length > 0) statements.push(expectRows(at_once.length, updateDelivered(at_once)));
  if (ordered.length > 0) statements.push(passTurns(ordered, Math.max(...settlements.map(endOf))));
  if (first.length > 0) statements.push(insertJournal(attemptsEntry(first, writtenAt(first))));
  return statements;
}

/** When it is written, for what it is worth: nothing but the age of the journal's rows depends on it. */
function writtenAt(settlements: readonly Settlement[]): number {
  const last = settlements.at(-1);
  return last === undefined ? 0 : last.record.started_at + last.record.duration_ms;
}

function journalUnlessRecorded(settlements: readonly Settlement[]): Statement {
  const entries = settlements.map((one) => ({
    entry: attemptsEntry([one], writtenAt([one])),
    keys: [one.key.destination_id, one.key.position, one.attempt],
  }));
  // As UNRECORDED, of the columns that hold the keys here.
  const known = sql`exists (select 1 from attempts where attempts.destination_id = made.column5
      and attempts.position = made.column6 and attempts.number = made.column7)
    or exists (select 1 from deliveries where deliveries.destination_id = made.column5
      and deliveries.position = made.column6 and made.column7 = 1 and deliveries.first_started_at is not null)`;
  return insertJournalUnless(known, entries, ["text", "text", "bigint"]);
}

/** What most attempts are: the delivery's own row has place for its record, whose outcome is none but this. */
function isAtOnce({ attempt, record, set_apart }: Settlement): boolean {
  return attempt === 1 && record.trigger === "auto" && record.outcome === "accepted" && !set_apart;
}

/** Ends deliveries and keeps the record of their only attempt. Unmet when one of them is not pending. */
function updateDelivered(settlements: readonly Settlement[]): Statement {
  const values = settlements.map(({ key, record, settled_at }): SqlValue[] => [
    key.destination_id,
    key.position,
    settled_at,
    record.started_at,
    record.duration_ms,
    record.status_code,
    record.response_headers,
    record.response_snippet,
    record.response_truncated,
  ]);
  return sql`update deliveries set state = 'succeeded', reason = null, failures = 0, due_at = null, trigger = 'auto',
      settled_at = column3, leased = 0, resume_state = null, resume_at = null, first_started_at = column4,
      first_duration_ms = column5, first_status_code = column6, first_response_headers = column7,
      first_response_snippet = column8, first_response_truncated = column9
    ${eachRow(values, DELIVERED_TYPES)}
    where destination_id = column1 and position = column2 and ((attempt = 1 and leased = 1) or state = 'pending')`;
}

const DELIVERED_TYPES = [
  ...(["text", "text", "bigint", "bigint", "bigint", "bigint", "text", "text", "bigint"] as const),
];

/**
 * The delivery's own row does not hold the record. The number stands inside: beside it, in an `or`, PostgreSQL would read
 * all deliveries into a table of its own as long as it takes them for few.
 */
const NOT_IN_ROW = sql`not exists (select 1 from deliveries where deliveries.destination_id = made.column1
  and deliveries.position = made.column2 and made.column3 = 1 and deliveries.first_started_at is not null)`;

/** What comes again, because nobody heard of its commit, or was made for a webhook that was removed meanwhile is left out. */
function insertAttempts(attempts: readonly AttemptRow[]): Statement {
  const values = attempts.map((row): SqlValue[] => [
    row.destination_id,
    row.position,
    row.number,
    row.trigger,
    row.started_at,
    row.duration_ms,
    row.outcome,
    row.status_code,
    row.error,
    row.cause,
    row.response_headers,
    row.response_snippet,
    row.response_truncated,
  ]);
  // Materialized, so that each delivery is asked once.
  return sql`with made as materialized (select made.*, ${IS_ERASED} as is_erased
      from (values ${rows(values, ATTEMPT_TYPES)}) as made)
    insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
      status_code, error, cause, response_headers, response_snippet, response_truncated)
    select column1, column2, column3, column4, column5, column6, column7, column8, column9, column10,
      case when is_erased = 1 then '{}' else column11 end, case when is_erased = 1 then '' else column12 end, column13
    from made where is_erased is not null on conflict do nothing`;
}

/**
 * What a receiver answered to an event that was erased meanwhile is not kept, for it may say the same. Null where the
 * delivery's own row holds the record, and where there is no delivery any more: nothing would ever remove the record then. The
 * row is locked: so who erases or removes it either sees this record or is seen here.
 */
const IS_ERASED = sql`(select case when made.column3 = 1 and d.first_started_at is not null then null
    when d.erased_at is null then 0 else 1 end
  from deliveries as d where d.destination_id = made.column1 and d.position = made.column2 /* locked */)`;

const ATTEMPT_TYPES = [
  ...(["text", "text", "bigint", "text", "bigint", "bigint"] as const),
  ...(["text", "bigint", "text", "text", "text", "text", "bigint"] as const),
];

/**
 * The token fences off a worker whose lease ran out, and `leased` one whose delivery a person granted another attempt, or
 * whose result was recorded already. A success counts all the same, for nothing may be sent after it, and what had ended
 * without one, as when somebody canceled it meanwhile, has reached its receiver nevertheless. So does the failure of an
 * attempt while the end of its lease is what the schedule stands at.
 */
function updateSettled(settlements: readonly Settlement[]): Statement {
  const values = settlements.map(({ key, attempt, lease, decision, settled_at }): SqlValue[] => [
    key.destination_id,
    key.position,
    attempt,
    decision.state,
    decision.reason,
    decision.failures,
    decision.due_at,
    decision.trigger,
    settled_at,
    decision.restored ? 1 : 0,
    decision.restored ? null : (lease?.lease_until ?? null),
  ]);
  // What is restored is what the row holds: an attempt that was overtaken may have been recorded since the claim.
  return sql`update deliveries set state = case when column10 = 1 then coalesce(resume_state, column4) else column4 end,
      reason = case when column10 = 1 or ${ASKED_STILL} then reason else column5 end,
      failures = case when column10 = 1 or ${ASKED_STILL} then failures else column6 end,
      due_at = case when column10 = 1 and resume_state is not null then resume_at else column7 end, ${TRIGGER},
      settled_at = coalesce(column9, settled_at), leased = 0,
      resume_state = case when ${ASKED_STILL} then resume_state end,
      resume_at = case when ${ASKED_STILL} then resume_at end
    ${eachRow(values, SETTLED_TYPES)}
    where destination_id = column1 and position = column2
      and ((attempt = column3 and leased = 1) or (state <> 'succeeded' and column4 = 'succeeded')
        or (attempt > column3 and leased = 0 and state = 'pending' and due_at = column11))`;
}

/** Of a failure that counts: a person may have asked for another attempt while it was under way. */
function mayBeOvertaken({ decision, lease }: Settlement): boolean {
  return lease !== undefined && decision.state !== "succeeded" && !decision.restored;
}

/**
 * The failure of an attempt beside which a person was granted another one: what follows from it is put where that one puts
 * the delivery back. The end of its lease stands there until then, and nothing else tells that its result is outstanding;
 * where the other one has failed already, it is when the delivery is due (updateSettled).
 */
function updateOvertaken(settlements: readonly Settlement[]): Statement {
  const values = settlements.map(({ key, attempt, lease, decision, settled_at }): SqlValue[] => [
    ...[key.destination_id, key.position, attempt, lease?.lease_until ?? null],
    ...[decision.state, decision.reason, decision.failures, decision.due_at, settled_at],
  ]);
  return sql`update deliveries set resume_state = column5, reason = column6, failures = column7, resume_at = column8,
      settled_at = coalesce(column9, settled_at)
    ${eachRow(values, OVERTAKEN_TYPES)}
    where destination_id = column1 and position = column2 and attempt >= column3 and trigger = 'manual'
      and resume_state = 'pending' and resume_at = column4`;
}

const OVERTAKEN_TYPES = [
  ...(["text", "text", "bigint", "bigint", "text", "text"] as const),
  ...(["bigint", "bigint", "bigint"] as const),
];

/** A person asked for it, and it is to be made anew (decideCutOff): where it puts the delivery back stays. */
const ASKED_STILL = sql`(column4 = 'pending' and column8 = 'manual')`;

/** What a replay asked for stays so, also when a person granted an attempt in between. */
const TRIGGER = sql`trigger = case when replay_id is not null and column8 = 'auto' then 'replay' else column8 end`;

const SETTLED_TYPES = [
  ...(["text", "text", "bigint", "text", "text"] as const),
  ...(["bigint", "bigint", "text", "bigint", "bigint", "bigint"] as const),
];

function keysOf(settlements: readonly Settlement[]): DeliveryKey[] {
  return settlements.map(({ key }) => key);
}

/** Locks the rows of further destinations as well, such as those that pass turns on, all in one order (turns-store.ts). */
function updateHealth(settlements: readonly Settlement[], locked: readonly { destination_id: string }[]): Statement {
  const values = withUnchanged(healthChanges(settlements), locked).map((one): SqlValue[] => [
    one.destination_id,
    one.success_at,
    one.failure_at,
    one.failures,
    one.failing_since,
    one.era,
  ]);
  return sql`insert into destination_health (destination_id, last_success_at, last_failure_at, consecutive_failures,
      failing_since, era) values ${rows(values)} ${ADD_TO_HEALTH}`;
}

function addHours(settlements: readonly Settlement[]): Statement {
  const values = hourCounts(settlements).map((one): SqlValue[] => [
    one.destination_id,
    one.hour,
    one.succeeded,
    one.latency_class,
    one.attempts,
  ]);
  return sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
    values ${rows(values)} ${ADD_TO_HOURS}`;
}

/** Each attempt by itself, for each may be on record already. */
function updateHealthUnlessRecorded(settlements: readonly Settlement[]): Statement {
  const values = singleChanges(settlements).map(({ key, attempt, health }): SqlValue[] => [
    ...[key.destination_id, key.position, attempt],
    ...[health.success_at, health.failure_at, health.failures, health.failing_since, health.era],
  ]);
  return sql`insert into destination_health (destination_id, last_success_at, last_failure_at, consecutive_failures,
      failing_since, era)
    select column1, max(column4), max(column5), sum(column6), min(column7), max(column8)
    from (values ${rows(values, HEALTH_TYPES)}) as made
    where ${UNRECORDED} group by column1 order by column1 ${ADD_TO_HEALTH}`;
}

function addHoursUnlessRecorded(settlements: readonly Settlement[]): Statement {
  const values = singleChanges(settlements).map(({ key, attempt, hour }): SqlValue[] => [
    ...[key.destination_id, key.position, attempt],
    ...[hour.hour, hour.succeeded, hour.latency_class],
  ]);
  return sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
    select column1, column4, column5, column6, count(*) from (values ${rows(values, HOUR_TYPES)}) as made
    where ${UNRECORDED} group by column1, column4, column5, column6 order by column1, column4, column5, column6
    ${ADD_TO_HOURS}`;
}

const HEALTH_TYPES = ["text", "text", "bigint", "bigint", "bigint", "bigint", "bigint", "bigint"] as const;
const HOUR_TYPES = ["text", "text", "bigint", "bigint", "bigint", "bigint"] as const;

/** Asked of the tables and not of the view over both, which SQLite would read from end to end for each attempt. */
const UNRECORDED = sql`not exists (select 1 from attempts where attempts.destination_id = made.column1
  and attempts.position = made.column2 and attempts.number = made.column3) and ${NOT_IN_ROW}`;

/** The run of failures is of one era: an earlier one adds nothing to it and ends nothing, a later one begins it anew. */
const ADD_TO_HEALTH = sql`on conflict (destination_id) do update set
  last_success_at = case when destination_health.last_success_at > excluded.last_success_at
    then destination_health.last_success_at
    else coalesce(excluded.last_success_at, destination_health.last_success_at) end,
  last_failure_at = case when destination_health.last_failure_at > excluded.last_failure_at
    then destination_health.last_failure_at
    else coalesce(excluded.last_failure_at, destination_health.last_failure_at) end,
  consecutive_failures = case when excluded.era < destination_health.era then destination_health.consecutive_failures
    when excluded.era > destination_health.era or excluded.last_success_at is not null then excluded.consecutive_failures
    else destination_health.consecutive_failures + excluded.consecutive_failures end,
  failing_since = case when excluded.era < destination_health.era then destination_health.failing_since
    when excluded.era > destination_health.era or excluded.last_success_at is not null then excluded.failing_since
    else coalesce(destination_health.failing_since, excluded.failing_since) end,
  era = case when excluded.era > destination_health.era then excluded.era else destination_health.era end`;

const ADD_TO_HOURS = sql`on conflict (destination_id, hour, succeeded, latency_class)
  do update set attempts = destination_hours.attempts + excluded.attempts`;
