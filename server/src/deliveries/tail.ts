// Where a stream of a webhook's deliveries comes from: the journal says which changed and how, their rows say how they are now.
// So a reader that comes later sees each change, and never a state that was not.
import type { DeliveryChange } from "#contract/streams.ts";
import type { Destination } from "../destinations/destination.ts";
import { createJournalReader } from "../platform/journal-reader.ts";
import type { JournalStore } from "../platform/journal-store.ts";
import { type Cursor, readCursor, type Source, writeCursor } from "../platform/stream.ts";
import { type AppScope, findDestination } from "./app-scope.ts";
import { type Change, changesIn } from "./changes.ts";
import { showAttempt, showDelivery } from "./delivery.ts";
import { type AttemptFigures, CHANGES_MAX, type DeliveryTailStore } from "./tail-store.ts";

const NOTICE =
  "What changed since your last message is not kept any more: look into the list of deliveries. The stream goes on from now.";

export interface DeliveryTailOptions {
  store: DeliveryTailStore;
  journal: Pick<JournalStore, "page" | "head" | "has">;
  destinations: { find(id: string): Promise<Destination | null> };
  now(): number;
}

export type DeliveryTail = ReturnType<typeof createDeliveryTail>;

export function createDeliveryTail(options: DeliveryTailOptions) {
  const { journal, destinations } = options;

  /** @throws AppError not_found: also when the webhook is another app's */
  function find(id: string, app_scope: AppScope): Promise<Destination> {
    return findDestination(destinations, id, app_scope);
  }

  /** @throws AppError invalid_request (last-event-id) */
  async function open({ id, app_id }: Destination, last_id: string | undefined): Promise<Source> {
    const cursor = last_id === undefined ? null : readCursor(last_id);
    if (cursor !== null && (await journal.has(cursor))) return createSource(options, { id, app_id }, cursor, null);
    const start = { ...(await journal.head()), index: 0, position: "", until: "" };
    return createSource(options, { id, app_id }, start, cursor === null ? null : NOTICE);
  }

  return { find, open };
}

function createSource(
  { store, journal, destinations, now }: DeliveryTailOptions,
  { id, app_id }: { id: string; app_id: string },
  start: Cursor,
  notice: string | null,
): Source {
  const reader = createJournalReader(journal, id, start, (row) => changesIn(row, { id, app_id }));

  async function next() {
    const { taken, is_done } = await reader.take(CHANGES_MAX);
    const show = await look(taken.map(({ entry }) => entry));
    const messages = taken.flatMap(({ entry, place }) => {
      const change = show(entry);
      if (change === null) return [];
      return [{ id: writeCursor({ ...place, position: "", until: "" }), data: JSON.stringify(change) }];
    });
    return { messages, is_done };
  }

  /** Reads what the changes are about; the answer shows one of them, or null when its delivery is gone. */
  async function look(changes: readonly Change[]): Promise<(change: Change) => DeliveryChange | null> {
    const positions = [...new Set(changes.map(({ position }) => position))];
    if (positions.length === 0) return () => null;
    const attempted = new Set(changes.filter((one) => one.number !== null).map(({ position }) => position));
    const [destination, rows, attempts] = await Promise.all([
      destinations.find(id),
      store.deliveries(id, positions),
      attempted.size === 0 ? [] : store.attempts(id, [...attempted]),
    ]);
    const by_position = new Map(rows.map((row) => [row.position, row]));
    const by_number = new Map(attempts.map((one) => [`${one.position} ${one.number}`, one]));
    const at = now();
    return ({ position, kind, number }) => {
      const row = by_position.get(position);
      if (row === undefined || destination === null) return null;
      const shown = showDelivery(row, row.event_id ?? row.position, at, destination);
      return { ...shown, change: kind, attempt: figuresOf(by_number.get(`${position} ${number}`)) };
    };
  }

  const cursor = () => writeCursor({ ...reader.place(), position: "", until: "" });
  return { next, cursor, notice };
}

function figuresOf(attempt: AttemptFigures | undefined): DeliveryChange["attempt"] {
  if (attempt === undefined) return null;
  const { id, number, trigger, started_at, duration_ms, outcome, status_code, error } = showAttempt({
    ...attempt,
    ...{ response_headers: "{}", response_snippet: "", response_truncated: 0 },
  });
  return { id, number, trigger, started_at, duration_ms, outcome, status_code, error };
}
