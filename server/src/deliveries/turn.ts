// Taking turns: deliveries of one destination with the same key are sent one after another. What has the turn is decided by
// whoever claims (claim-store.ts); what does not have it is set aside under a due time that never comes, so that no claim
// looks at it again until its turn has come (turns-store.ts). Pure.
import { createHash } from "node:crypto";
import type { Destination } from "../destinations/destination.ts";
import type { DeliveryRow } from "./delivery.ts";

/** `due_at` of what waits for its turn, in ms since 1970: the last moment that a Date can hold. */
export const WAITS_FOR_TURN = 8_640_000_000_000_000;
/** Links have short ids, but ingest takes any text; an index on PostgreSQL takes 2,700 bytes. */
const KEY_MAX_CHARS = 100;

/** What has the same key goes one after another; null: whenever it is due. Tests wait for nothing. */
export function orderKeyOf(
  { ordering }: Pick<Destination, "ordering">,
  event: { link_id: string | null; target_id?: string | null },
): string | null {
  if (ordering !== "link" || event.link_id === null || (event.target_id ?? null) !== null) return null;
  if (event.link_id.length <= KEY_MAX_CHARS) return event.link_id;
  return createHash("sha256").update(event.link_id).digest("hex");
}

/** Whether an earlier one of its link has to end first, or another one is on its way. */
export function waitsForTurn(row: DeliveryRow): boolean {
  if (row.state !== "pending" || (row.order_key ?? null) === null || row.leased === 1) return false;
  if (row.due_at === WAITS_FOR_TURN) return true;
  return row.trigger !== "manual" && (row.turn_position ?? row.position) < row.position;
}
