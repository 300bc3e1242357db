// SQL that counts what became of a stretch of an app's events at each of its destinations. One statement counts all of
// them, so that every destination is counted over the same events, whatever is stored meanwhile. Called by fates.ts.
import type { DeliveryState } from "#contract/deliveries.ts";
import type { EventType } from "#contract/events.ts";
import type { Database } from "../platform/database.ts";
import { allOf, sql } from "../platform/sql.ts";

/** Events of one destination that share a fate, or what is needed to tell it. */
export interface FateCount {
  destination_id: string;
  /** Null: there is no delivery. */
  state: DeliveryState | "erased" | null;
  /** Set only without a delivery, like the next two. */
  event: EventType | null;
  created_at: number | null;
  for_another: number;
  count: number;
}

/** Positions behind `after`, or at the first one and later, and before `end_position`. */
export interface Stretch {
  app_id: string;
  after: string;
  end_position: string | null;
}

export type FatesStore = ReturnType<typeof createFatesStore>;

export function createFatesStore({ query }: Pick<Database, "query">) {
  /** The last of so many events; null when there are fewer. */
  async function edgeOf(stretch: Stretch, size: number): Promise<string | null> {
    const [edge] = await query<{ position: string }>(
      sql`select position from events where ${within(stretch)} order by position limit 1 offset ${size - 1}`,
    );
    return edge?.position ?? null;
  }

  /**
   * The state of each pair is looked up by key, row by row, for the reason that replay-walk-store.ts gives, and kept: merged
   * into the rest, both engines would look it up again wherever it is named.
   */
  function countFates(stretch: Stretch): Promise<FateCount[]> {
    const pairs = sql`select d.id as destination_id, e.event, e.created_at,
        case when e.target_id is null or e.target_id = d.id then 0 else 1 end as for_another,
        coalesce((select x.state from deliveries as x where x.destination_id = d.id and x.position = e.position),
          case when e.erased_at is not null then 'erased' end) as state
      from (select position, event, target_id, created_at, erased_at from events where ${within(stretch)}) as e
        cross join (select id from destinations where app_id = ${stretch.app_id}) as d`;
    const told = sql`select destination_id, state, case when state is null then event end as event,
        case when state is null then created_at end as created_at,
        case when state is null then for_another else 0 end as for_another
      from (with pairs as materialized (${pairs}) select * from pairs) as p`;
    return query<FateCount>(sql`select destination_id, state, event, created_at, for_another, count(*) as count
      from (${told}) as t group by destination_id, state, event, created_at, for_another`);
  }

  async function countEvents(stretch: Stretch): Promise<number> {
    const [counted] = await query<{ count: number }>(
      sql`select count(*) as count from events where ${within(stretch)}`,
    );
    return counted?.count ?? 0;
  }

  return { edgeOf, countFates, countEvents };
}

function within({ app_id, after, end_position }: Stretch) {
  const range = [sql`app_id = ${app_id}`, sql`position > ${after}`];
  if (end_position !== null) range.push(sql`position <= ${end_position}`);
  return allOf(range);
}
