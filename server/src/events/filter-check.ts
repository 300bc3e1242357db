// Trying out a filter before it is saved: on the app's last events, or on one that is given. Called by the API.
import type { z } from "zod";
import type { Envelope } from "#contract/events.ts";
import { FILTER_CHECK_EVENTS_MAX, type FilterCheck, type FilterCheckAnswer } from "#contract/filters.ts";
import { compileFilter, type Subject, subjectOf, subjectWith } from "../destinations/filter.ts";
import { timeText } from "../platform/time-text.ts";
import type { EventStore } from "./store.ts";

interface Candidate {
  event_id: string | null;
  ts: string | null;
  subject: Subject & Pick<Envelope, "event">;
}

export type FilterChecks = ReturnType<typeof createFilterChecks>;

export function createFilterChecks({ store }: { store: Pick<EventStore, "newest"> }) {
  async function checkFilter(app_id: string, request: FilterCheck): Promise<z.output<typeof FilterCheckAnswer>> {
    const filter = compileFilter(request.filter);
    const candidates = request.event === undefined ? await lastEvents(app_id) : [given(request.event)];
    const items = candidates.map(({ event_id, ts, subject }) => {
      const reason = filter.refusal(subject);
      return { event_id, event: subject.event, ts, passes: reason === null, reason };
    });
    return { checked: items.length, passed: items.filter(({ passes }) => passes).length, items };
  }

  async function lastEvents(app_id: string): Promise<Candidate[]> {
    const rows = await store.newest(app_id, FILTER_CHECK_EVENTS_MAX);
    return rows.map((row) => {
      const at = timeText(row.created_at);
      return { event_id: row.id, ts: at, subject: { ...subjectOf(row), event: row.event } };
    });
  }

  return { checkFilter };
}

/** As ingest would take it: a link that is no text is none. */
function given({ event, data, id, ts }: NonNullable<FilterCheck["event"]>): Candidate {
  const link_id = typeof data["link_id"] === "string" ? data["link_id"] : null;
  return { event_id: id ?? null, ts: ts ?? null, subject: subjectWith({ event, link_id }, () => data) };
}
