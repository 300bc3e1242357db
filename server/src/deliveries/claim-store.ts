// SQL that claims deliveries of a destination which sends in order, and what all claims share. Called by store.ts.
// Who is due and has the turn of its key gets a lease; who is due and does not have it is set aside, a bounded number with
// each claim, so that the next one finds what can be sent among the first that are due, whatever the backlog. Statements
// choose first, once, then name by key, for the reason that `claim` in store.ts gives.
import type { Database } from "../platform/database.ts";
import { list, type Statement, sql } from "../platform/sql.ts";
import type { DeliveryRow } from "./delivery.ts";
import { WAITS_FOR_TURN } from "./turn.ts";
import { firstOf, lockTurns } from "./turns-store.ts";

export type ClaimedRow = Pick<
  DeliveryRow,
  | ("position" | "app_id" | "event" | "attempt" | "failures" | "trigger" | "resume_state" | "resume_at" | "created_at")
  | ("order_key" | "replay_id" | "armed_at" | "armed_attempt")
>;

/** The columns of ClaimedRow. */
export const CLAIMED_COLUMNS = sql`position, app_id, event, attempt, failures, trigger, resume_state, resume_at, created_at,
  order_key, replay_id, armed_at, armed_attempt`;

/** A probe whose lease is over has not been: the delivery is what it was, one of a replay if that asked for it. */
export const NO_PROBE = sql`
  resume_state = case when trigger = 'probe' then null else resume_state end,
  resume_at = case when trigger = 'probe' then null else resume_at end,
  trigger = case when trigger <> 'probe' then trigger when replay_id is null then 'auto' else 'replay' end`;

/** When it is due whose lease ends without an attempt: what a person asked for first (DUE_FIRST), a probe's when it was. */
export function dueAgain(now: Statement): Statement {
  return sql`case when trigger in ('manual', 'test') then 0 when trigger = 'probe' then coalesce(resume_at, ${now})
    else ${now} end`;
}

/** What a person asked for; the words of the index deliveries_asked, and what is none of it. */
export const ASKED = sql`trigger <> 'auto' and trigger <> 'replay' and trigger <> 'probe'`;
const BY_ITSELF = sql`(trigger = 'auto' or trigger = 'replay' or trigger = 'probe')`;

/** Deliveries that are due and looked at by one claim. */
const LOOKED_AT_MAX = 500;
/** What a person asked for while another one of its key is on its way is looked at again after so long. */
const ASK_AGAIN_MS = 250;
const PUT_OFF = sql`(order_key is not null and leased = 0)`;

export interface ClaimBounds {
  now: number;
  lease_until: number;
  limit: number;
  /** Just what a person asked for. */
  asked_only: boolean;
  /** True when deliveries of the destination may have keys. Where some have although it is false, they are claimed in turn too. */
  in_turn?: boolean;
  /** So many of the limit come from the other end; nothing where they have keys. */
  newest?: number;
}

/** An event as it is sent; `body` null: it is larger than was asked for. */
export interface Envelope {
  position: string;
  id: string;
  target_id: string | null;
  /** Nothing of it may be sent any more. */
  erased_at: number | null;
  bytes: number;
  body: string | null;
}

/** Of claimed deliveries; of those larger than so many bytes the sizes alone. One that was removed is missing. */
export async function readEnvelopes(
  { query }: Pick<Database, "query">,
  app_id: string,
  positions: readonly string[],
  largest_bytes?: number,
): Promise<Envelope[]> {
  if (positions.length === 0) return [];
  const body =
    largest_bytes === undefined
      ? sql`body`
      : sql`case when octet_length(body) <= ${largest_bytes} then body end as body`;
  return query<Envelope>(sql`select position, id, target_id, erased_at, octet_length(body) as bytes, ${body} from events
    where app_id = ${app_id} and position in (${list(positions)})`);
}

/** As `claim` of store.ts. Claims twice the limit at the most: what a person asked for, and what comes by itself. */
export async function claimInTurn(
  { batch }: Pick<Database, "batch">,
  destination_id: string,
  bounds: ClaimBounds,
): Promise<{ claimed: ClaimedRow[]; next_due_at: number | null }> {
  const { now } = bounds;
  const claims = [claimAsked(destination_id, bounds)];
  if (!bounds.asked_only) claims.push(claimFirst(destination_id, bounds));
  const found = await batch([
    ...[lockTurns(destination_id), bringBackFirst(destination_id, now), setAside(destination_id, now)],
    ...claims,
    putOffAsked(destination_id, now),
    sql`select min(due_at) as due_at from deliveries
      where destination_id = ${destination_id} and state = 'pending' and due_at < ${WAITS_FOR_TURN}`,
  ]);
  // The columns are those of ClaimedRow.
  const claimed = found.slice(3, 3 + claims.length).flat() as unknown as ClaimedRow[];
  return { claimed, next_due_at: (found.at(-1)?.[0]?.["due_at"] as number | null) ?? null };
}

/** What a claim looks at: the first that are due. */
function dueOf(destination_id: string, now: number, condition: Statement): Statement {
  return sql`(select destination_id, position, order_key, due_at from deliveries
    where destination_id = ${destination_id} and state = 'pending' and due_at <= ${now} and ${condition}
    order by due_at limit ${LOOKED_AT_MAX})`;
}

/**
 * What a statement has chosen before, as `picked`. Claims of the destination wait for each other (lockTurns), so nothing is
 * locked while they choose. Where a person or whoever renews a lease has changed a row at the same moment, PostgreSQL asks
 * the rest of the condition once more.
 */
export const PICKED = sql`(destination_id, position) in (select destination_id, position from picked)`;

/** Of the key of `d`. */
export const FIRST = firstOf(sql`d.destination_id`, sql`d.order_key`);

/** No other one of the key of `d` is on its way. */
function isFree(now: number): Statement {
  return sql`not exists (select 1 from deliveries as b where b.destination_id = d.destination_id
    and b.order_key = d.order_key and b.leased = 1 and b.due_at > ${now} and b.position <> d.position)`;
}

function hasTurn(now: number): Statement {
  return sql`(d.order_key is null or (d.position = ${FIRST} and ${isFree(now)}))`;
}

/** Where something is due that has to wait, whatever it waits for must not be set aside. */
function bringBackFirst(destination_id: string, now: number): Statement {
  return sql`with picked as materialized (select d.destination_id, ${FIRST} as position
      from ${dueOf(destination_id, now, BY_ITSELF)} as d where d.order_key is not null)
    update deliveries set due_at = ${now} where ${PICKED} and due_at = ${WAITS_FOR_TURN}`;
}

function setAside(destination_id: string, now: number): Statement {
  return sql`with picked as materialized (select d.destination_id, d.position
      from ${dueOf(destination_id, now, BY_ITSELF)} as d where not ${hasTurn(now)})
    update deliveries set due_at = ${WAITS_FOR_TURN}, leased = 0, ${NO_PROBE}
    where ${PICKED} and due_at <= ${now} and ${BY_ITSELF}`;
}

function claimFirst(destination_id: string, { now, lease_until, limit }: ClaimBounds): Statement {
  return sql`with picked as materialized (select d.destination_id, d.position
      from ${dueOf(destination_id, now, BY_ITSELF)} as d where ${hasTurn(now)} order by d.due_at limit ${limit})
    ${takePicked(now, lease_until)}`;
}

/**
 * What a person asked for does not wait for its place, but for what is on its way, and for others that were asked for. It
 * goes as soon as its link is free, or others of the link would always be there first.
 */
function claimAsked(destination_id: string, { now, lease_until, limit }: ClaimBounds): Statement {
  const again_at = now + ASK_AGAIN_MS;
  return sql`with picked as materialized (select d.destination_id, d.position
      from ${dueOf(destination_id, again_at, sql`${ASKED} and (due_at <= ${now} or ${PUT_OFF})`)} as d
      where d.order_key is null or (${isFree(now)} and not exists (select 1 from deliveries as a
        where a.destination_id = d.destination_id and a.state = 'pending' and a.due_at <= ${again_at}
          and a.trigger <> 'auto' and a.trigger <> 'replay' and a.trigger <> 'probe'
          and a.order_key = d.order_key and a.position < d.position))
      limit ${limit})
    ${takePicked(again_at, lease_until)}`;
}

function putOffAsked(destination_id: string, now: number): Statement {
  return sql`with picked as materialized (select d.destination_id, d.position
      from ${dueOf(destination_id, now, ASKED)} as d where d.order_key is not null and not ${isFree(now)})
    update deliveries set due_at = ${now + ASK_AGAIN_MS} where ${PICKED} and due_at <= ${now}`;
}

function takePicked(due_until: number, lease_until: number): Statement {
  return sql`update deliveries set attempt = attempt + 1, leased = 1, due_at = ${lease_until}, ${NO_PROBE}
    where ${PICKED} and due_at <= ${due_until} returning ${CLAIMED_COLUMNS}`;
}

/** Of what a probe may take, those that have the turn, among the first by their time. */
export function withTurn(destination_id: string, condition: Statement, now: number): Statement {
  return sql`select d.destination_id, d.position, d.due_at, d.created_at
    from (select destination_id, position, order_key, due_at, created_at from deliveries
      where destination_id = ${destination_id} and ${condition} and due_at < ${WAITS_FOR_TURN}
      order by due_at, position limit ${LOOKED_AT_MAX}) as d where ${hasTurn(now)}`;
}
