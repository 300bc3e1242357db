// What a caller of the management API may name: the operator every webhook, a key those of its app. An id of another app is
// like one that does not exist. Used wherever a caller names a webhook.
import type { Destination } from "../destinations/destination.ts";
import { notFound } from "../errors.ts";

/** Which app's rows a caller may see; null for the operator, who sees all. */
export type AppScope = string | null;

/**
 * @param field the one of the body that holds the id; null: it is in the address
 * @throws AppError not_found
 */
export async function findDestination(
  destinations: { find(id: string): Promise<Destination | null> },
  id: string,
  app_scope: AppScope,
  field: string | null = null,
): Promise<Destination> {
  const destination = await destinations.find(id);
  const is_there = destination !== null && (app_scope === null || destination.app_id === app_scope);
  if (!is_there) throw notFound("webhook", field);
  return destination;
}
