// What was changed about a webhook, when, why and by whom: every change of its state, of what it takes and of its secrets, and
// the names of other settings that were changed.
// Called by the API.
import type { WebhookChange } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationStore, HistoryRow } from "./store.ts";
import { found, within } from "./webhook-rules.ts";

const UNKNOWN_ACTOR = "unknown (before this was kept)";

export function createHistory({ store }: { store: Pick<DestinationStore, "find" | "historyOf"> }) {
  /** Newest first. @throws AppError not_found, invalid_request (cursor) */
  async function listChanges(
    id: string,
    app_scope: string | null,
    page: { limit: number; cursor?: string | undefined },
  ) {
    await found(store.find(id, within(app_scope)));
    // decodeCursor has checked the type.
    const before = page.cursor === undefined ? null : (decodeCursor(page.cursor, ["number"])[0] as number);
    const rows = await store.historyOf(id, before, page.limit + 1);
    const shown = rows.slice(0, page.limit);
    const last = rows.length > page.limit ? shown.at(-1) : undefined;
    return { items: shown.map(showChange), next_cursor: last === undefined ? null : encodeCursor([last.at]) };
  }

  return { listChanges };
}

function showChange({ at, state, events, cause, actor }: HistoryRow): WebhookChange {
  // Written by this module alone.
  return { at: timeText(at), state, events: JSON.parse(events) as EventType[], cause, actor: actor ?? UNKNOWN_ACTOR };
}
