// What the journal says of events that are stored together, and of the deliveries that they make. Pure; called by append.ts.
import { createdList } from "../deliveries/changes.ts";
import type { DeliveryRow } from "../deliveries/delivery.ts";
import type { JournalEntry } from "../platform/journal.ts";
import type { EventRow } from "./event.ts";

/** Events of any apps, and the deliveries of them all. */
export function eventsEntry(
  events: readonly Pick<EventRow, "app_id" | "position">[],
  deliveries: readonly Pick<DeliveryRow, "app_id" | "destination_id" | "position">[],
  at: number,
): JournalEntry {
  const lists = new Map<string, string>();
  const of_apps = new Map<string, string[]>();
  for (const { app_id, position } of events) add(of_apps, app_id, position);
  for (const [app_id, positions] of of_apps) lists.set(app_id, positions.join(","));
  const of_destinations = new Map<string, string[]>();
  const app_of = new Map<string, string>();
  for (const { app_id, destination_id, position } of deliveries) {
    add(of_destinations, destination_id, position);
    app_of.set(destination_id, app_id);
  }
  for (const [destination_id, positions] of of_destinations) {
    lists.set(destination_id, createdList(positions, of_apps.get(app_of.get(destination_id) ?? "") ?? []));
  }
  return { part: `E${events[0]?.position}`, at, lists };
}

function add(to: Map<string, string[]>, key: string, position: string): void {
  const known = to.get(key);
  if (known === undefined) to.set(key, [position]);
  else known.push(position);
}
