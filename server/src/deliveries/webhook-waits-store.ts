// SQL that finds what waits at webhooks although it should not, with a bounded look at each. Called by present-webhooks.ts.
import type { Database } from "../platform/database.ts";
import { list, sql } from "../platform/sql.ts";
import { WAITS_FOR_TURN } from "./turn.ts";
import { firstOf, nextOf } from "./turns-store.ts";
import type { Stuck } from "./webhook-waits.ts";

/** Deliveries that are due first of a webhook: among these is one that waits, unless all of them were made due for the past just now. */
const DUE_LOOKED_AT_MAX = 20;
/** Deliveries whose next attempt is the furthest away, over all webhooks of an answer: as a rule those that have failed most often. */
const TRIED_LOOKED_AT_MAX = 200;

interface Head {
  position: string;
  due_at: number;
  leased: number;
  looked: number;
}

export type WebhookWaitsStore = ReturnType<typeof createWebhookWaitsStore>;

export function createWebhookWaitsStore({ query }: Pick<Database, "query">) {
  /**
   * Since when a delivery of each is due that was so at `before` already; those without one are left out. What a person
   * asked for is due at 0 from its first moment on.
   */
  async function overdueOf(ids: readonly string[], before: number): Promise<Map<string, number>> {
    if (ids.length === 0) return new Map();
    // One seek in deliveries_due for each, however much is pending.
    const found = await query<{ id: string; since: number | null }>(
      sql`select id, (select min(case when o.created_at > o.due_at then o.created_at else o.due_at end)
          from (select due_at, created_at from deliveries where deliveries.destination_id = destinations.id
            and state = 'pending' and due_at > 0 and due_at <= ${before}
            order by due_at limit ${DUE_LOOKED_AT_MAX}) as o where o.created_at <= ${before}) as since
        from destinations where id in (${list(ids)})`,
    );
    return new Map(found.flatMap(({ id, since }) => (since === null ? [] : [[id, since] as const])));
  }

  /**
   * Of ordered webhooks those at which events wait for one that was accepted by `before` and is tried again.
   * @param after when that is due, at the earliest: of active ones in the future, and of paused ones whenever it was
   */
  async function stuckOf(ids: readonly string[], after: number, before: number): Promise<Map<string, Stuck>> {
    const limit = Math.ceil(TRIED_LOOKED_AT_MAX / Math.max(1, ids.length));
    const found = await Promise.all(
      ids.map(async (id) => toStuck(id, await headsOf(id, { after, before, limit }), limit)),
    );
    return new Map(found.flatMap((stuck) => (stuck === null ? [] : [[stuck.destination_id, stuck] as const])));
  }

  /**
   * Backwards in deliveries_due from behind what waits for its turn, and of each that was tried whether it is the first of
   * its key and not the only one: asked row by row, for `exists` may become a join over all that is pending.
   * It was tried when it was claimed before: what cannot be sent, for a secret that cannot be read, and what is probed, has claims
   * and no failures, and a claim under way has not ended. Claims from before a replay, and those of what had succeeded, say nothing of now.
   */
  function headsOf(
    id: string,
    { after, before, limit }: { after: number; before: number; limit: number },
  ): Promise<Head[]> {
    return query<Head>(sql`select position, due_at, leased, looked from (
        select l.*, count(*) over () as looked from (
          select position, order_key, attempt - case when armed_attempt is not null then armed_attempt
              when replay_id is not null and failures = 0 then attempt else 0 end as tries, resume_state, leased, due_at,
            coalesce(armed_at, created_at) as began_at from deliveries
          where destination_id = ${id} and state = 'pending' and due_at > ${after} and due_at < ${WAITS_FOR_TURN}
          order by due_at desc limit ${limit}) as l) as h
      where order_key is not null and tries > leased
        and (resume_state is null or resume_state <> 'succeeded') and began_at <= ${before}
        and position = ${firstOf(sql`${id}`, sql`h.order_key`)}
        and ${nextOf(sql`${id}`, sql`h.order_key`, sql`h.position`)} is not null
      order by position`);
  }

  return { overdueOf, stuckOf };
}

function toStuck(destination_id: string, heads: readonly Head[], limit: number): Stuck | null {
  const [first] = heads;
  if (first === undefined) return null;
  const { position, due_at, leased, looked } = first;
  const next_at = leased === 1 ? null : due_at;
  return { destination_id, position, next_at, links: heads.length, is_exact: looked < limit };
}
