// SQL that tries a paused destination: when, and with which delivery. Part of store.ts. The time of the next probe stands
// in `destination_health` and is moved by whoever takes it, so that any number of processes make one.
import { probeGapMs } from "../destinations/failing.ts";
import type { Database } from "../platform/database.ts";
import { type Statement, sql } from "../platform/sql.ts";
import { CLAIMED_COLUMNS, type ClaimBounds, type ClaimedRow, withTurn } from "./claim-store.ts";
import { lockTurns } from "./turns-store.ts";

/** The next one of a destination, as `destination_health` has it. */
interface Probe {
  probe_at: number;
  probes: number;
  /** Which delivery was tried last of those that wait longest; null at first. */
  probe_after_due: number | null;
  probe_after_created: number | null;
  probe_after_position: string | null;
}

interface Candidate {
  due_at: number;
  created_at: number;
  position: string;
}

export function createProbeStore({ query, batch }: Pick<Database, "query" | "batch">) {
  /**
   * Takes one delivery of a paused destination when its next probe is due, whatever its own time, and puts the probe after
   * that off. However many processes ask, one gets it; while there is nothing to try it stays due.
   */
  async function claimProbe(
    destination_id: string,
    bounds: Pick<ClaimBounds, "now" | "lease_until" | "in_turn">,
  ): Promise<ClaimedRow[]> {
    const { now } = bounds;
    const probe = await findDueProbe(destination_id, now);
    if (probe === undefined) return [];
    const idle = idleIn(destination_id, bounds);
    // Alternately from both ends: of those that wait longest each time the next one, so that however many the receiver
    // cannot take they are passed by some day, and the newest, so that they need not all be passed by first.
    const newest = probe.probes % 2 === 1 ? await findNewest(idle, now) : undefined;
    const next = newest ?? (await findNext(idle, probe));
    if (next === undefined) return [];
    if (!(await takeProbe(destination_id, probe, newest === undefined ? next : lastOf(probe), now))) return [];
    const claimed = await take(destination_id, next.position, bounds);
    if (claimed.length > 0) return claimed;
    // Somebody else had it at that moment, so another one is tried.
    const other = await findNext(idle, { ...probe, probe_after_position: null });
    return other === undefined ? [] : take(destination_id, other.position, bounds);
  }

  /** When a destination that is paused is tried next, in ms since 1970; null: not known. */
  async function probeAt(destination_id: string): Promise<number | null> {
    const [found] = await query<{ probe_at: number | null }>(
      sql`select probe_at from destination_health where destination_id = ${destination_id}`,
    );
    return found?.probe_at ?? null;
  }

  async function findDueProbe(destination_id: string, now: number): Promise<Probe | undefined> {
    const [probe] = await query<Probe>(sql`select probe_at, probes, probe_after_due, probe_after_created,
        probe_after_position from destination_health where destination_id = ${destination_id} and probe_at is not null`);
    if (probe === undefined) return undefined;
    // A time much further away than the gap before it is of a clock that was wrong.
    return probe.probe_at <= now || probe.probe_at > now + 2 * probeGapMs(probe.probes) ? probe : undefined;
  }

  /** False when somebody else was faster. */
  async function takeProbe(
    destination_id: string,
    probe: Probe,
    last: ReturnType<typeof lastOf>,
    now: number,
  ): Promise<boolean> {
    const taken = await query(sql`update destination_health set probe_at = ${now + probeGapMs(probe.probes + 1)},
        probes = probes + 1, probe_after_due = ${last.due_at}, probe_after_created = ${last.created_at},
        probe_after_position = ${last.position}
      where destination_id = ${destination_id} and probe_at = ${probe.probe_at} returning probes`);
    return taken.length > 0;
  }

  async function findNext(idle: Statement, probe: Probe): Promise<Candidate | undefined> {
    const { due_at, created_at, position } = lastOf(probe);
    const first = (range: Statement) =>
      query<Candidate>(sql`select due_at, created_at, position from ${idle} and ${range}
        order by due_at, created_at, position limit 1`);
    if (position !== null) {
      const [next] = await first(sql`(due_at, created_at, position) > (${due_at}, ${created_at}, ${position})`);
      if (next !== undefined) return next;
    }
    return (await first(sql`true`))[0];
  }

  async function findNewest(idle: Statement, now: number): Promise<Candidate | undefined> {
    const [newest] = await query<Candidate>(sql`select due_at, created_at, position from ${idle}
      and due_at <= ${now} order by due_at desc, created_at desc limit 1`);
    return newest;
  }

  /** Nothing when somebody else has it by now, or it is not its turn any more. */
  async function take(
    destination_id: string,
    position: string,
    bounds: Pick<ClaimBounds, "now" | "lease_until" | "in_turn">,
  ): Promise<ClaimedRow[]> {
    // Asked of the row itself as well: what another transaction has just changed is judged anew by that alone.
    const has_turn =
      bounds.in_turn === true ? sql`position in (select position from ${idleIn(destination_id, bounds)})` : NO_KEY;
    const taking = sql`update deliveries set attempt = attempt + 1, leased = 1, trigger = 'probe',
        resume_state = coalesce(resume_state, 'pending'),
        resume_at = case when resume_state is null then due_at else resume_at end, due_at = ${bounds.lease_until}
      where destination_id = ${destination_id} and position = ${position} and ${idleAt(bounds.now)} and ${has_turn}
      returning ${CLAIMED_COLUMNS}`;
    if (bounds.in_turn !== true) return query<ClaimedRow>(taking);
    // The columns are those of ClaimedRow.
    return (await batch([lockTurns(destination_id), taking]))[1] as unknown as ClaimedRow[];
  }

  return { claimProbe, probeAt };
}

/** Not under a lease, and nothing that a person asked for. */
function idleAt(now: number): Statement {
  return sql`state = 'pending' and (leased = 0 or due_at <= ${now}) and trigger <> 'manual' and trigger <> 'test'`;
}

/** Whoever has not heard that the destination is ordered tries nothing that has to be in turn. */
const NO_KEY = sql`order_key is null`;

/** What may be tried, to be followed by further conditions. */
function idleIn(destination_id: string, { now, in_turn }: Pick<ClaimBounds, "now" | "in_turn">): Statement {
  if (in_turn === true) return sql`(${withTurn(destination_id, idleAt(now), now)}) as idle where true`;
  return sql`deliveries where destination_id = ${destination_id} and ${idleAt(now)} and ${NO_KEY}`;
}

function lastOf(probe: Probe) {
  return {
    due_at: probe.probe_after_due,
    created_at: probe.probe_after_created,
    position: probe.probe_after_position,
  };
}
