// SQL of the stream of deliveries: some of one destination, with what their attempts came to. Called by tail.ts.
import type { Database } from "../platform/database.ts";
import { paddedList, sql } from "../platform/sql.ts";
import type { AttemptRow, DeliveryRow } from "./delivery.ts";

/** Deliveries of one read. */
export const CHANGES_MAX = 50;

export type DeliveryTailStore = ReturnType<typeof createDeliveryTailStore>;

/** An attempt without what its receiver answered. */
export type AttemptFigures = Omit<AttemptRow, "response_headers" | "response_snippet" | "response_truncated">;

export function createDeliveryTailStore({ query }: Pick<Database, "query">) {
  /** In any order; at most CHANGES_MAX are asked for. */
  function deliveries(destination_id: string, positions: readonly string[]) {
    return query<DeliveryRow & { event_id: string | null }>(sql`select d.*, e.id as event_id from deliveries as d
      left join events as e on e.app_id = d.app_id and e.position = d.position
      where d.destination_id = ${destination_id} and d.position in (${paddedList(positions)})`);
  }

  function attempts(destination_id: string, positions: readonly string[]) {
    return query<AttemptFigures>(sql`select destination_id, position, number, trigger, started_at, duration_ms, outcome,
        status_code, error, cause
      from attempt_history where destination_id = ${destination_id} and position in (${paddedList(positions)})`);
  }

  return { deliveries, attempts };
}
