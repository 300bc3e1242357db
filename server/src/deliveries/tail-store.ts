// SQL of the stream of deliveries: some of one destination, with what their attempts came to. Called by tail.ts.
import type { Database } from "../platform/database.ts";
import { list, sql } from "../platform/sql.ts";
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
      where d.destination_id = ${destination_id} and d.position in (${list(padded(positions))})`);
  }

  function attempts(destination_id: string, positions: readonly string[]) {
    return query<AttemptFigures>(sql`select destination_id, position, number, trigger, started_at, duration_ms, outcome,
        status_code, error, cause
      from attempt_history where destination_id = ${destination_id} and position in (${list(padded(positions))})`);
  }

  return { deliveries, attempts };
}

/** Few texts, for each is prepared once: one that is shorter asks for some position again. */
function padded(positions: readonly string[]): readonly string[] {
  if (positions.length === 1) return positions;
  return Array.from({ length: CHANGES_MAX }, (_, index) => positions[index] ?? positions[0] ?? "");
}
