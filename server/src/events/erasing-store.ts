// SQL that erases what an event said: of the event itself, and of its deliveries, in one transaction. Called by erasing.ts.
import { type ErasedDelivery, eraseDeliveries } from "../deliveries/erasing-store.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import { type EventRow, tombstoneOf } from "./event.ts";

export type ErasingStore = ReturnType<typeof createErasingStore>;

export function createErasingStore({ transaction }: Pick<Database, "transaction">) {
  /** Answers whether the event was there and not erased yet, and the deliveries that were not. */
  function erase(event: EventRow, now: number): Promise<{ is_first: boolean; deliveries: ErasedDelivery[] }> {
    const { app_id, position } = event;
    return transaction(async (within) => {
      const found = await within<{ id: string }>(sql`select id from destinations where app_id = ${app_id} order by id`);
      const destination_ids = found.map(({ id }) => id);
      const deliveries = await eraseDeliveries(within, { position, destination_ids }, now);
      // Last, as where events expire: who changes both never waits for the other in a circle.
      const erased = await within(sql`update events set body = ${tombstoneOf(event, now)}, erased_at = ${now}
        where app_id = ${app_id} and position = ${position} and erased_at is null returning position`);
      return { is_first: erased.length > 0, deliveries };
    });
  }

  return { erase };
}
