// SQL that takes what an erased event said off its deliveries, in the transaction that erases it. Called by the events module.
// What is pending ends as by a cancel: the row does not tell whether a dispatcher is sending it at this moment or has it in
// memory only. An attempt that is under way ends by itself, and its success counts (settle-store.ts).
import type { Query } from "../platform/database.ts";
import { insertJournal } from "../platform/journal.ts";
import { paddedList, sql } from "../platform/sql.ts";
import { changeEntry } from "./changes.ts";
import type { DeliveryRow } from "./delivery.ts";
import { ERASED_BEFORE } from "./delivery.ts";
import { lockTurns, passTurns, turnsOf } from "./turns-store.ts";

/** A delivery of an erased event, as it was before. */
export type ErasedDelivery = Pick<DeliveryRow, "destination_id" | "position" | "attempt" | "state"> & {
  order_key: string | null;
};

/**
 * Ends the deliveries of one event at these destinations that are pending, and blanks what of all of them may say the same as
 * the event: answers, and the values that a filter named. Those that were erased before are left out.
 */
export async function eraseDeliveries(
  within: Query,
  { position, destination_ids }: { position: string; destination_ids: readonly string[] },
  now: number,
): Promise<ErasedDelivery[]> {
  if (destination_ids.length === 0) return [];
  const of_event = sql`position = ${position} and destination_id in (${paddedList(destination_ids)}) and erased_at is null`;
  const present = await within<{ destination_id: string }>(
    sql`select destination_id from deliveries where ${of_event} order by destination_id`,
  );
  // In the order in which settling takes the same locks, before it changes deliveries.
  for (const { destination_id } of present) await within(lockTurns(destination_id));
  const erased = await within<ErasedDelivery>(sql`select destination_id, position, attempt, state, order_key
    from deliveries where ${of_event} order by destination_id /* locked */`);
  if (erased.length === 0) return [];
  const named = sql`position = ${position} and destination_id in (${paddedList(idsOf(erased))})`;
  // What had ended before a person or a replay asked for it again is again what it was.
  const ends = sql`state = 'pending' and coalesce(resume_state, 'pending') = 'pending'`;
  await within(sql`update deliveries set erased_at = ${now},
      state = case when ${ends} then 'failed' else coalesce(resume_state, state) end,
      reason = case when ${ends} then ${ERASED_BEFORE} when reason like 'Filtered: %' then 'Filtered.' else reason end,
      settled_at = case when ${ends} then ${now} else settled_at end,
      due_at = null, leased = 0, resume_state = null, resume_at = null,
      first_response_headers = case when first_started_at is not null then '{}' end,
      first_response_snippet = case when first_started_at is not null then '' end,
      first_response_truncated = case when first_started_at is not null then 0 end
    where ${named}`);
  await within(sql`update attempts set response_headers = '{}', response_snippet = '', response_truncated = 0
    where ${named}`);
  const turns = turnsOf(erased.filter(isPending));
  if (turns.length > 0) await within(passTurns(turns, now));
  for (const id of idsOf(erased)) await within(insertJournal(changeEntry("erased", id, [position], now)));
  return erased;
}

export function isPending({ state }: Pick<DeliveryRow, "state">): boolean {
  return state === "pending";
}

function idsOf(deliveries: readonly ErasedDelivery[]): string[] {
  return deliveries.map(({ destination_id }) => destination_id);
}
