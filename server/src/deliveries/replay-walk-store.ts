// SQL that finds what a replay sends: the deliveries and the events without one that match it, in the order of their
// positions, stretch by stretch. Called by replays.ts to count and by replay-runner.ts to go on.
// Each stretch seeks in an index and looks at a bounded number of rows, whatever the ranges and ledgers are: all events of
// the app by (app_id, position) when what is missing or delivered is wanted, else only the deliveries of the index
// deliveries_unhappy.
import type { EventType } from "#contract/events.ts";
import { REPLAYED_STATES, type ReplayedState } from "#contract/replays.ts";
import type { CompiledFilter } from "../destinations/filter.ts";
import { createPassing, PASSING_BYTES_MAX } from "../destinations/passing-store.ts";
import type { Database } from "../platform/database.ts";
import { allOf, list, type Statement, sql } from "../platform/sql.ts";
import { INDEXED_STATE } from "./ledger-store.ts";
import { type ReplayRow, readRule } from "./replay.ts";

/** Rows that one stretch of a step looks at, at the most. */
const STRETCH_MAX = 2_000;
/** The same for a piece of a count, which nobody else waits for. */
const COUNTED_MAX = 20_000;
/** The same for a count where a filter has to see each event that is missing. */
const FILTERED_STRETCH_MAX = 1_000;
/** Matches that a step looks at for those that pass a filter, at the least as many as it may hand out. */
const SIFTED_MAX = 500;

/** What a replay looks for; as JSON texts where the row keeps them. */
export type Wanted = Pick<
  ReplayRow,
  | "app_id"
  | "destination_id"
  | "target_id"
  | "states"
  | "events"
  | "missing_events"
  | "parts"
  | "link_id"
  | "end_position"
  | "created_at"
>;

export interface Match {
  position: string;
  event_id: string;
  event: EventType;
  link_id: string | null;
  created_at: number;
  state: ReplayedState;
  /** What it has come to at the webhook that gets it. */
  target_state: ReplayedState;
  /** Under the name of another replay that has not counted it yet: it must be waited for. */
  replay_id: string | null;
}

/** What a look has found, and up to where all has been looked at then. */
export interface Found {
  matches: readonly Match[];
  at_position: string;
  walked: boolean;
  /** The other replay by whose name the search was cut off. */
  waits_for?: string | null;
}

export type ReplayWalk = ReturnType<typeof createReplayWalk>;

export function createReplayWalk({ query }: Pick<Database, "query">) {
  const { passingOf } = createPassing({ query });

  /**
   * The next matches behind a position, at most `limit`, and up to where the search is complete, or which other replay has to
   * count the next one first. Of what is missing only what passes the filter; what has a delivery, a filtered one included,
   * is sent because somebody asked for it. A filter may refuse nearly all: so many more are looked at, and of large ones
   * fewer, that a step is short and each gets on.
   */
  async function next(wanted: Wanted, after: string, limit: number, filter: CompiledFilter | null): Promise<Found> {
    if (filter === null || !asksFilter(wanted)) return nextUnfiltered(wanted, after, limit);
    const found = await nextUnfiltered(wanted, after, Math.max(limit, SIFTED_MAX));
    const bounds = { passing_max: limit, bytes_max: PASSING_BYTES_MAX };
    const { passing, looked } = await passingOf(wanted.app_id, found.matches, filter, {
      isAsked: isMissing,
      ...bounds,
    });
    if (looked === found.matches.length) return { ...found, matches: passing };
    return { matches: passing, at_position: found.matches[looked - 1]?.position ?? after, walked: false };
  }

  async function nextUnfiltered(wanted: Wanted, after: string, limit: number): Promise<Found> {
    const part = partBehind(wanted, after);
    const stretch = stretchOf(part, STRETCH_MAX);
    const found = await query<Match>(sql`select m.* from (${matchesIn(stretch, wanted)}) as m
      order by m.position limit ${limit}`);
    const cut_at = found.findIndex(({ replay_id }) => replay_id !== null);
    const matches = cut_at === -1 ? found : found.slice(0, cut_at);
    if (cut_at !== -1) {
      const waits_for = found[cut_at]?.replay_id ?? null;
      return { matches, at_position: matches.at(-1)?.position ?? after, walked: false, waits_for };
    }
    if (found.length === limit) return { matches, at_position: found.at(-1)?.position ?? after, walked: false };
    const next = await nextOf(part, stretch, STRETCH_MAX);
    return { matches, at_position: next ?? part.end_position, walked: next === null };
  }

  /** Exact, in pieces, each a short look of its own. */
  async function count(wanted: Wanted, from: string, sample_max: number, filter: CompiledFilter | null) {
    if (filter !== null && asksFilter(wanted)) return countPassing(wanted, from, sample_max, filter);
    const sample: Match[] = [];
    let total = 0;
    for (let after: string | null = from; after !== null; ) {
      const part = partBehind(wanted, after);
      const stretch = stretchOf(part, COUNTED_MAX);
      const matches = matchesIn(stretch, wanted);
      const [counted] = await query<{ count: number }>(sql`select count(*) as count from (${matches}) as m`);
      const matched = counted?.count ?? 0;
      total += matched;
      const lacking = sample_max - sample.length;
      if (matched > 0 && lacking > 0) {
        sample.push(
          ...(await query<Match>(sql`select m.* from (${matches}) as m order by m.position limit ${lacking}`)),
        );
      }
      after = await nextOf(part, stretch, COUNTED_MAX);
    }
    return { total, sample };
  }

  async function countPassing(wanted: Wanted, from: string, sample_max: number, filter: CompiledFilter) {
    const sample: Match[] = [];
    let total = 0;
    for (let after: string | null = from; after !== null; ) {
      const part = partBehind(wanted, after);
      const stretch = stretchOf(part, FILTERED_STRETCH_MAX);
      const found = await query<Match>(sql`select m.* from (${matchesIn(stretch, wanted)}) as m order by m.position`);
      const { passing } = await passingOf(wanted.app_id, found, filter, { isAsked: isMissing });
      total += passing.length;
      sample.push(...passing.slice(0, sample_max - sample.length));
      after = await nextOf(part, stretch, FILTERED_STRETCH_MAX);
    }
    return { total, sample };
  }

  /** Where to go on: behind the last position of a full stretch, or with the next part; null when there is nothing left. */
  async function nextOf(part: Part, stretch: Stretch, size: number): Promise<string | null> {
    const [edge] = await query<{ position: string }>(
      sql`select position from (${stretch.positions}) as s order by position limit 1 offset ${size - 1}`,
    );
    return edge?.position ?? (part.is_last ? null : part.end_position);
  }

  return { next, count };
}

/** What is left of the part of the range that a position is in or before. */
interface Part {
  wanted: Wanted;
  after: string;
  end_position: string;
  is_last: boolean;
}

function partBehind(wanted: Wanted, after: string): Part {
  const whole: Part = { wanted, after, end_position: wanted.end_position, is_last: true };
  const { parts } = readRule(wanted);
  if (parts === null) return whole;
  const found = parts.find(([, end_position]) => end_position > after);
  if (found === undefined) return { ...whole, after: wanted.end_position };
  const [from_position, end_position] = found;
  const is_over = end_position >= wanted.end_position;
  return {
    wanted,
    after: from_position > after ? from_position : after,
    end_position: is_over ? wanted.end_position : end_position,
    is_last: is_over || found === parts.at(-1),
  };
}

interface Stretch {
  /** The positions that are looked at. */
  positions: Statement;
  /** Their events: position, id, event, link_id, target_id, created_at, erased_at, and the state of their delivery, null without one. */
  events: Statement;
}

function stretchOf({ wanted, after, end_position }: Part, size: number): Stretch {
  const { app_id, destination_id } = wanted;
  const range = sql`position > ${after} and position < ${end_position}`;
  const { states } = readRule(wanted);
  const unhappy = states.flatMap((state) => (isUnhappy(state) ? [INDEXED_STATE[state]] : []));
  const state = stateThen(wanted);
  if (unhappy.length < states.length) {
    const of_app = sql`app_id = ${app_id} and ${range} order by position limit ${size}`;
    // Asked for row by row: joined, PostgreSQL may read the whole ledger of a webhook that its statistics do not know.
    const of_event = sql`(select ${state} from deliveries as d
      where d.destination_id = ${destination_id} and d.position = events.position)`;
    return {
      positions: sql`select position from events where ${of_app}`,
      events: sql`select position, id, event, link_id, target_id, created_at, erased_at, ${of_event} as state
        from events where ${of_app}`,
    };
  }
  // One seek for each state, and the first of all they found.
  const each = unhappy.map(
    (condition) => sql`select * from (select position, ${state} as state from deliveries as d
      where destination_id = ${destination_id} and ${condition} and ${range} order by position limit ${size}) as one_state`,
  );
  const positions = sql`select position, state from (${unionOf(each)}) as all_states order by position limit ${size}`;
  const events = sql`select e.position, e.id, e.event, e.link_id, e.target_id, e.created_at, e.erased_at, p.state
    from (${positions}) as p join events as e on e.app_id = ${app_id} and e.position = p.position`;
  return { positions, events };
}

/** Test events are no part of a replay, nor is what was erased: there is nothing to send. */
function matchesIn({ events }: Stretch, wanted: Wanted): Statement {
  const { states, missing_events } = readRule(wanted);
  const settled = states.filter((state) => state !== "missing");
  const ways: Statement[] = [];
  if (settled.length > 0) {
    // Written by replays.ts alone.
    const of_types =
      wanted.events === null ? [] : [sql`e.event in (${list(JSON.parse(wanted.events) as EventType[])})`];
    ways.push(allOf([sql`e.state in (${list(settled)})`, ...of_types]));
  }
  if (settled.length < states.length) {
    ways.push(sql`e.state is null and e.event in (${list(missing_events)})`);
  }
  const [first = sql`false`, second = sql`false`] = ways;
  const of_link = wanted.link_id === null ? sql`true` : sql`e.link_id = ${wanted.link_id}`;
  const matches = sql`select e.position, e.id as event_id, e.event, e.link_id, e.created_at, coalesce(e.state, 'missing') as state,
      coalesce(${stateAtTarget(wanted)}, 'missing') as target_state,
      (select d.replay_id from deliveries as d where d.destination_id = ${wanted.target_id}
        and d.position = e.position) as replay_id
    from (${events}) as e where e.target_id is null and e.erased_at is null and ${of_link} and ((${first}) or (${second}))`;
  if (wanted.target_id === wanted.destination_id) return matches;
  // What is pending there comes by itself, and what was sent there since the replay was asked for has been sent.
  return sql`select free.* from (${matches}) as free where free.target_state in (${list(REPLAYED_STATES)})`;
}

/** As it was when the replay was asked for: what was settled since has been sent since. */
function stateThen({ created_at }: Wanted): Statement {
  return sql`case when coalesce(d.settled_at, d.created_at) <= ${created_at} then d.state else 'later' end`;
}

function stateAtTarget(wanted: Wanted): Statement {
  if (wanted.target_id === wanted.destination_id) return sql`e.state`;
  return sql`(select ${stateThen(wanted)} from deliveries as d
    where d.destination_id = ${wanted.target_id} and d.position = e.position)`;
}

/** What has a delivery is sent whatever the filter says. */
function asksFilter(wanted: Wanted): boolean {
  return readRule(wanted).states.includes("missing");
}

function isMissing({ state }: Match): boolean {
  return state === "missing";
}

function isUnhappy(state: ReplayedState): state is "failed" | "canceled" | "skipped" {
  return state === "failed" || state === "canceled" || state === "skipped";
}

function unionOf([
  first = sql`select null as position, null as state where false`,
  ...others
]: readonly Statement[]): Statement {
  return others.reduce((all, one) => sql`${all} union all ${one}`, first);
}
