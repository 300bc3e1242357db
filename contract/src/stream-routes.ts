// The calls that are answered by a stream of messages without end. Part of the route table of routes.ts.
import { StoredEvent } from "./events.ts";
import { NoQuery, type Route, under } from "./route.ts";
import { DeliveryChange, EventStreamQuery } from "./streams.ts";

export const STREAM_ROUTES = {
  streamEvents: {
    method: "GET",
    path: "/api/apps/{app_id}/events/stream",
    scope: "app_read",
    tag: "Events",
    summary: "Follow the app's events: each one once, from now on or behind `Last-Event-ID`",
    params: under("app_id"),
    query: EventStreamQuery,
    status: 200,
    answer: StoredEvent,
    streams: true,
  },
  streamDeliveries: {
    method: "GET",
    path: "/api/webhooks/{id}/deliveries/stream",
    scope: "app_read",
    tag: "Deliveries",
    summary: "Follow a webhook's deliveries: each change once, from now on or behind `Last-Event-ID`",
    params: under("id"),
    query: NoQuery,
    status: 200,
    answer: DeliveryChange,
    streams: true,
  },
} as const satisfies Record<string, Route>;
