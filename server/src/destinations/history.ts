// What was changed about a webhook, when, why and by whom: every change of its state, of what it takes and of its secrets, and
// the names of other settings that were changed.
// Called by the API.
import type { WebhookChange } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import { notFound } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationStore, HistoryRow } from "./store.ts";
import { vendorsOf } from "./vendors.ts";
import { found, within } from "./webhook-rules.ts";

interface Page {
  limit: number;
  cursor?: string | undefined;
}

const UNKNOWN_ACTOR = "unknown (before this was kept)";

export function createHistory({ store }: { store: Pick<DestinationStore, "find" | "historyOf"> }) {
  /** Newest first. @throws AppError not_found, invalid_request (cursor) */
  async function listChanges(id: string, app_scope: string | null, page: Page) {
    await found(store.find(id, within(app_scope)));
    return changesOf(id, page);
  }

  async function changesOf(id: string, page: Page) {
    // decodeCursor has checked the type.
    const before = page.cursor === undefined ? null : (decodeCursor(page.cursor, ["number"])[0] as number);
    const rows = await store.historyOf(id, before, page.limit + 1);
    const shown = rows.slice(0, page.limit);
    const last = rows.length > page.limit ? shown.at(-1) : undefined;
    return { items: shown.map(showChange), next_cursor: last === undefined ? null : encodeCursor([last.at]) };
  }

  /** The same of a destination of another type. */
  async function listVendorChanges(id: string, app_scope: string | null, page: Page) {
    if ((await store.find(id, vendorsOf(app_scope))) === null) throw notFound("destination");
    return changesOf(id, page);
  }

  return { listChanges, listVendorChanges };
}

function showChange({ at, state, events, cause, actor }: HistoryRow): WebhookChange {
  // Written by this module alone.
  return { at: timeText(at), state, events: JSON.parse(events) as EventType[], cause, actor: actor ?? UNKNOWN_ACTOR };
}
