// When two destinations of an app bring the same events to Google Analytics: it keeps both, and every number is twice what it
// was. Pure; called by vendors.ts for what it shows.
import type { EventType } from "#contract/events.ts";
import { type DestinationRow, isStopped } from "./destination.ts";

type Row = Pick<DestinationRow, "id" | "type" | "state" | "events" | "config">;

/** What to do about each of them, for one of the app's destinations; none: nothing. @param all of the app */
export function doubleCounts(row: Row, all: readonly Row[]): string[] {
  if (isStopped(row)) return [];
  const others = all.filter((other) => other.id !== row.id && !isStopped(other) && shared(row, other).length > 0);
  return others.flatMap((other) => whyTwice(row, other) ?? []);
}

function whyTwice(row: Row, other: Row): string | null {
  const events = shared(row, other).join(", ");
  if (row.type === "ga4" && other.type === "ga4" && streamOf(row) === streamOf(other)) {
    return `Destination ${other.id} sends ${events} to the same stream of Google Analytics, which counts both. Delete one, or let each take other events.`;
  }
  const segment = [row, other].find(({ type }) => type === "segment");
  const google = [row, other].find(({ type }) => type === "ga4");
  if (segment === undefined || google === undefined || isKeptFromGoogle(segment)) return null;
  return `Destination ${other.id} takes ${events}, too: if Segment passes them on to Google Analytics, they count twice there. Set skip_google_analytics of ${segment.id} to true, or let only one of both take them.`;
}

function shared(one: Row, other: Row): EventType[] {
  const taken = new Set(eventsOf(other));
  return eventsOf(one).filter((type) => taken.has(type));
}

function eventsOf({ events }: Row): EventType[] {
  // Written by settings-row.ts alone.
  return JSON.parse(events) as EventType[];
}

function configOf({ config }: Row): Record<string, unknown> {
  // Written by vendor-row.ts alone.
  return JSON.parse(config) as Record<string, unknown>;
}

function streamOf(row: Row): unknown {
  const { measurement_id, firebase_app_id } = configOf(row);
  return measurement_id ?? firebase_app_id;
}

/** By the switch, or by Segment's own names for what an event is passed on to. */
function isKeptFromGoogle(segment: Row): boolean {
  const { skip_google_analytics, integrations } = configOf(segment);
  const named = new Map(Object.entries(typeof integrations === "object" && integrations !== null ? integrations : {}));
  const otherwise = skip_google_analytics === true ? false : named.get("All");
  return ["Google Analytics 4", "Google Analytics 4 Cloud"].every((name) => (named.get(name) ?? otherwise) === false);
}
