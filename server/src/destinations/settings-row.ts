// What destinations of all types have in common: which events they take, how they are tried, and whether they are on. How a row
// with these settings is made, changed and shown. Pure. Called by webhook-row.ts and vendor-row.ts; input has passed the contract's schemas.
import type { DestinationState, Health, Missed, Ordering, RetryOn } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type { Filter } from "#contract/filters.ts";
import { timeText } from "../platform/time-text.ts";
import { changedFields } from "./changed-fields.ts";
import type { DestinationRow, StoredOrdering } from "./destination.ts";
import { type Going, type Known, nextStep } from "./missed.ts";
import type { Change } from "./store.ts";

export interface Settings {
  events: readonly EventType[];
  description: string;
  enabled: boolean;
  /** Seconds. */
  retry_schedule?: readonly number[] | undefined;
  timeout_ms: number;
  max_in_flight: number;
  rate_per_second: number | null;
  retry_on: RetryOn;
  ordering: Ordering;
  filter: Filter | null;
}

type SettingsPatch = { [Name in keyof Settings]?: Settings[Name] | undefined };

interface Made extends Pick<DestinationRow, "id" | "app_id" | "type" | "config" | "secrets" | "public_keys"> {
  now: number;
  default_retry_schedule: readonly number[];
}

export function newRow(
  { id, app_id, type, config, secrets, public_keys, now, default_retry_schedule }: Made,
  input: Settings,
): DestinationRow {
  return {
    ...{ id, app_id, type, config, secrets },
    events: JSON.stringify(input.events),
    description: input.description,
    enabled: input.enabled ? 1 : 0,
    state: input.enabled ? "active" : "off",
    state_reason: null,
    state_changed_at: now,
    retry_schedule: JSON.stringify(input.retry_schedule ?? default_retry_schedule),
    timeout_ms: input.timeout_ms,
    max_in_flight: input.max_in_flight,
    rate_per_second: input.rate_per_second,
    retry_on: input.retry_on,
    filter: filterText(input.filter),
    stopped_at: input.enabled ? null : now,
    restarted_at: null,
    ordering: input.ordering,
    created_at: now,
    updated_at: now,
    public_keys,
    era: 0,
  };
}

/** The row with what a patch sets, but for `enabled`: see `asChange`. */
export function changeSettings(row: DestinationRow, patch: SettingsPatch, now: number): DestinationRow {
  const { events, retry_schedule } = patch;
  return {
    ...row,
    events: events === undefined ? row.events : JSON.stringify(events),
    description: patch.description ?? row.description,
    retry_schedule: retry_schedule === undefined ? row.retry_schedule : JSON.stringify(retry_schedule),
    timeout_ms: patch.timeout_ms ?? row.timeout_ms,
    max_in_flight: patch.max_in_flight ?? row.max_in_flight,
    rate_per_second: patch.rate_per_second === undefined ? row.rate_per_second : patch.rate_per_second,
    retry_on: patch.retry_on ?? row.retry_on,
    filter: patch.filter === undefined ? row.filter : filterText(patch.filter),
    ordering: nextOrdering(row.ordering, patch.ordering),
    updated_at: now,
  };
}

/** What a change of settings comes to: its state, its cause, and whether attempts begin anew. */
export function asChange(
  before: DestinationRow,
  after: DestinationRow,
  enabled: boolean | undefined,
  now: number,
): Change {
  const switched = triedAnew(before, switchState(after, enabled, now), now);
  return { ...switched, cause: causeOf(switched.cause, before, switched.row) };
}

/** Why, then what else was changed with it. */
function causeOf(cause: string, before: DestinationRow, after: DestinationRow): string {
  const is_filter = cause === CHANGED && after.filter !== before.filter;
  const filter_cause = after.filter === null ? "its filter was removed" : "its filter was changed";
  const first = is_filter ? filter_cause : cause;
  const fields = changedFields(before, after).filter((name) => !is_filter || name !== "filter");
  if (fields.length === 0) return first;
  const named = `changed: ${fields.join(", ")}`;
  return first === CHANGED ? named : `${first}; ${named}`;
}

function filterText(filter: Filter | null): string | null {
  return filter === null ? null : JSON.stringify(filter);
}

const CHANGED = "changed";

/** Nothing can be set to `leaving`: that ends by itself when nothing waits for its turn any more. */
function nextOrdering(from: StoredOrdering, to: Ordering | undefined): StoredOrdering {
  return to === "none" && from !== "none" ? "leaving" : (to ?? from);
}

/** Enabling ends `off`, `disabled` and `paused`, and forgets the failures. */
function switchState(row: DestinationRow, enabled: boolean | undefined, now: number): Change {
  const from = row.state;
  const to = enabled === false ? "off" : enabled === true ? "active" : from;
  if (enabled === undefined || to === from) return { row, cause: CHANGED, reset_health: false };
  const switched: DestinationRow = {
    ...row,
    enabled: enabled ? 1 : 0,
    state: to,
    state_reason: null,
    state_changed_at: now,
  };
  return { row: switched, cause: enabled ? "enabled" : "turned off", reset_health: enabled };
}

/**
 * What its attempts depend on may be what was wrong: those under way say nothing about it any more, nor about what was enabled
 * since. While it is paused, the next one tells at once.
 */
function triedAnew(before: DestinationRow, change: Change, now: number): Change {
  const { state, config, timeout_ms } = change.row;
  const is_set_anew = config !== before.config || timeout_ms !== before.timeout_ms;
  const is_enabled = state === "active" && before.state !== "active";
  if (!is_set_anew && !is_enabled) return change;
  const row = { ...change.row, era: before.era + 1 };
  return state === "paused" ? { ...change, row, probe_at: now } : { ...change, row };
}

/** What is known of a destination beside its row; `problem` says why it cannot send, and `repair` what to do about that. */
export interface Facts extends Known, Going {
  health: Health;
  problem: string | null;
  repair: string | null;
}

/** What the API shows of a destination of any type. */
export interface ShownSettings {
  id: string;
  app_id: string;
  events: EventType[];
  description: string;
  enabled: boolean;
  state: DestinationState;
  state_reason: string | null;
  state_changed_at: string;
  retry_schedule: number[];
  timeout_ms: number;
  max_in_flight: number;
  rate_per_second: number | null;
  retry_on: RetryOn;
  ordering: Ordering;
  filter: Filter | null;
  created_at: string;
  updated_at: string;
  health: Health;
  missed: Missed | null;
  next_step: string | null;
}

export function showSettings(row: DestinationRow, facts: Facts, now: number): ShownSettings {
  const { health, missed, problem, repair } = facts;
  return {
    id: row.id,
    app_id: row.app_id,
    // These texts are written by the functions above only, after validation.
    events: JSON.parse(row.events) as EventType[],
    description: row.description,
    enabled: row.enabled === 1,
    state: row.state,
    state_reason: row.state_reason ?? problem,
    state_changed_at: timeText(row.state_changed_at),
    retry_schedule: JSON.parse(row.retry_schedule) as number[],
    timeout_ms: row.timeout_ms,
    max_in_flight: row.max_in_flight,
    rate_per_second: row.rate_per_second,
    retry_on: row.retry_on,
    ordering: row.ordering === "link" ? "link" : "none",
    filter: row.filter === null ? null : (JSON.parse(row.filter) as Filter),
    created_at: timeText(row.created_at),
    updated_at: timeText(row.updated_at),
    health,
    missed,
    next_step: repair ?? nextStep(row, facts, facts, now),
  };
}
