// Events: ingest (the hot path), list, and the fate of one.
import type { z } from "zod";
import type {
  EventInput,
  EventQuery,
  EventsPage,
  EventsQuery,
  EventWithFates,
  FatesAnswer,
  FatesQuery,
  IngestAnswer,
} from "#contract/events.ts";
import type { PageQuery } from "#contract/fields.ts";
import { notFound } from "../errors.ts";
import type { Access } from "./access.ts";
import type { Handlers } from "./bind.ts";

type Names = "ingestEvents" | "listEvents" | "getEvent" | "eraseEvent" | "countFates";

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

export interface Erasing {
  eraseEvent(id: string, app_scope: string | null): Promise<void>;
}

export interface Fates {
  countFates(app_id: string, query: z.output<typeof FatesQuery>): Promise<z.output<typeof FatesAnswer>>;
}

export function eventHandlers(events: Events, erasing: Erasing, fates: Fates): Handlers<Names> {
  return {
    ingestEvents: ({ params, body }) => events.ingest(params.app_id, "events" in body ? body.events : [body]),
    listEvents({ params, query }) {
      const { limit, cursor, ...filter } = query;
      return events.listEvents(params.app_id, filter, { limit, cursor });
    },
    countFates: ({ params, query }) => fates.countFates(params.app_id, query),
    getEvent: ({ params, query, access }) => events.getEvent(params.id, scopeOf(query, access)),
    eraseEvent: ({ params, query, access }) => erasing.eraseEvent(params.id, scopeOf(query, access)),
  };
}

/** A key sees its own app alone, whatever it names. @throws AppError not_found */
function scopeOf({ app_id }: z.output<typeof EventQuery>, { app_scope }: Access): string | null {
  if (app_scope !== null && app_id !== undefined && app_id !== app_scope) throw notFound("event");
  return app_id ?? app_scope;
}
