// Events: ingest (the hot path), list, and the fate of one.
import type { z } from "zod";
import type {
  EventInput,
  EventsPage,
  EventsQuery,
  EventWithFates,
  FatesAnswer,
  FatesQuery,
  IngestAnswer,
} from "#contract/events.ts";
import type { PageQuery } from "#contract/fields.ts";
import { notFound } from "../errors.ts";
import type { Handlers } from "./bind.ts";

type Names = "ingestEvents" | "listEvents" | "getEvent" | "countFates";

/** What this file needs of the events; `app_scope` null means any app. */
export interface Events {
  ingest(app_id: string, inputs: EventInput[]): Promise<z.output<typeof IngestAnswer>>;
  listEvents(
    app_id: string,
    query: z.output<typeof EventsQuery>,
    page: PageQuery,
  ): Promise<z.output<typeof EventsPage>>;
  getEvent(id: string, app_scope: string | null): Promise<z.output<typeof EventWithFates>>;
}

export interface Fates {
  countFates(app_id: string, query: z.output<typeof FatesQuery>): Promise<z.output<typeof FatesAnswer>>;
}

export function eventHandlers(events: Events, fates: Fates): Handlers<Names> {
  return {
    ingestEvents: ({ params, body }) => events.ingest(params.app_id, "events" in body ? body.events : [body]),
    listEvents({ params, query }) {
      const { limit, cursor, ...filter } = query;
      return events.listEvents(params.app_id, filter, { limit, cursor });
    },
    countFates: ({ params, query }) => fates.countFates(params.app_id, query),
    getEvent({ params, query, access }) {
      const { app_id = access.app_scope } = query;
      // A key sees its own app alone, whatever it names.
      if (access.app_scope !== null && app_id !== access.app_scope) throw notFound("event");
      return events.getEvent(params.id, app_id);
    },
  };
}
