// SQL that erases what an event said: of the event itself, and of its deliveries, in one transaction. Called by erasing.ts.
import { type ErasedDelivery, eraseDeliveries } from "../deliveries/erasing-store.ts";
import type { Database } from "../platform/database.ts";
import { type Statement, sql } from "../platform/sql.ts";
import { type EventRow, tombstoneOf } from "./event.ts";

export type ErasingStore = ReturnType<typeof createErasingStore>;

export function createErasingStore({ transaction }: Pick<Database, "transaction">) {
  /** Answers whether the event was there and not erased yet, and the deliveries that were not. */
  function erase(event: EventRow, now: number): Promise<{ is_first: boolean; deliveries: ErasedDelivery[] }> {
    const { app_id, position } = event;
    return transaction(async (within) => {
      const found = await within<{ id: string }>(destinationsOf(event));
      const destination_ids = found.map(({ id }) => id);
      const deliveries = await eraseDeliveries(within, { position, destination_ids }, now);
      // Last, as where events expire: who changes both never waits for the other in a circle.
      const erased = await within(sql`update events set body = ${tombstoneOf(event, now)}, erased_at = ${now},
          cid = null, user_id = null, device = null
        where app_id = ${app_id} and position = ${position} and erased_at is null returning position`);
      return { is_first: erased.length > 0, deliveries };
    });
  }

  return { erase };
}

/**
 * Those of the app, and those that were deleted and whose deliveries are yet to be removed: what is under way for them may
 * still be answered. Each of these by its key, for there may be many and an event has few.
 */
function destinationsOf({ app_id, position }: EventRow): Statement {
  return sql`select id from destinations where app_id = ${app_id}
    union select r.id from removals as r where r.kind = 'destination' and (select d.app_id from deliveries as d
      where d.destination_id = r.id and d.position = ${position}) = ${app_id}
    order by id`;
}
