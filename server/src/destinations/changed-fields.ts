// Which settings of a webhook a change has changed, by the names that the API has for them: the history names them and never
// says a value, for a URL and headers may hold secrets. Pure; called by webhook-row.ts and store.ts.
import type { DestinationRow } from "./destination.ts";

const COLUMNS = [
  ...["events", "filter", "description", "retry_schedule", "timeout_ms", "max_in_flight", "rate_per_second"],
  ...["retry_on", "ordering"],
] as const satisfies readonly (keyof DestinationRow)[];

/** The state and the signing secrets are none of them: their changes have causes of their own. */
export function changedFields(before: DestinationRow, after: DestinationRow): string[] {
  const columns = COLUMNS.filter((name) => shown(name, before) !== shown(name, after));
  return [...changedConfig(before.config, after.config), ...columns];
}

/** What is leaving its order has none for whoever asks. */
function shown(name: (typeof COLUMNS)[number], row: DestinationRow) {
  return name === "ordering" && row.ordering === "leaving" ? "none" : row[name];
}

function changedConfig(before: string, after: string): string[] {
  if (before === after) return [];
  // Written by webhook-row.ts alone.
  const [old, fresh] = [before, after].map((text) => new Map(Object.entries(JSON.parse(text) as object)));
  const names = new Set([...(old?.keys() ?? []), ...(fresh?.keys() ?? [])]);
  return [...names].filter((name) => JSON.stringify(old?.get(name)) !== JSON.stringify(fresh?.get(name)));
}
