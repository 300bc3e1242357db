// How what an SDK reports is stored: claims, app events and who is tied to what share one channel of the event log, so that a
// transaction changes rows in one order, whatever it holds, and two processes never wait in a circle. Created once by
// compose-edge.ts.
import type { EventRow } from "../events/event.ts";
import { countInstalls } from "../links/count-store.ts";
import type { Statement } from "../platform/sql.ts";
import { type AppEventRow, insertAppEvent, keepApp } from "./app-event-store.ts";
import type { IdentityRow } from "./identity.ts";
import { upsertIdentities } from "./identity-store.ts";

/** What belongs together, all or nothing. */
export interface Item {
  readonly app_id: string;
  readonly events: readonly EventRow[];
  /** The link of whose token an app was installed by. */
  readonly installed_by?: string | undefined;
  /** Changes of clicks. */
  readonly clicks?: readonly { readonly cid: string; readonly statement: Statement }[];
  readonly app_event?: AppEventRow;
  readonly identities?: readonly IdentityRow[];
}

/** The part of the event log that is used: the statements and the events of an item, all or nothing. */
export interface ClaimLog {
  channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose: (items: readonly Item[]) => { statements: Statement[] },
  ): (item: Item) => Promise<unknown>;
}

/** Rejects with "unmet" when the app is gone, a click was claimed meanwhile, or somebody was tied to another click. */
export type Store = (item: Item) => Promise<unknown>;

export function createStoring(log: ClaimLog, newId: () => string): Store {
  return log.channel<Item>(
    ({ events }) => events,
    (items) => ({ statements: composeItems(items, newId) }),
  );
}

export function composeItems(items: readonly Item[], newId: () => string): Statement[] {
  const app_events = items.flatMap(({ app_event }) => (app_event === undefined ? [] : [app_event]));
  const identities = items.flatMap((item) => item.identities ?? []);
  // An app that is gone must get nothing any more; events have a guard of their own.
  const kept = new Set([...app_events, ...identities].map(({ app_id }) => app_id));
  const clicks = items.flatMap((item) => item.clicks ?? []);
  const installs = items.flatMap(({ installed_by }) => installed_by ?? []);
  return [
    ...[...kept].sort().map(keepApp),
    ...app_events.map(insertAppEvent),
    ...clicks.toSorted((one, other) => compare(one.cid, other.cid)).map(({ statement }) => statement),
    ...layersOf(identities).map(upsertIdentities),
    ...countInstalls(installs, newId),
  ];
}

/** Each row at most once in a layer, and in the order of its key. */
function layersOf(identities: readonly IdentityRow[]): IdentityRow[][] {
  const layers: IdentityRow[][] = [];
  const of_key = Map.groupBy(identities, ({ app_id, kind, key }) => `${app_id} ${kind} ${key}`);
  for (const name of [...of_key.keys()].sort()) {
    of_key.get(name)?.forEach((row, depth) => {
      layers[depth] ??= [];
      layers[depth].push(row);
    });
  }
  return layers;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
