// Routes of app events; recording one is LinkMe's own endpoint (linkme-routes.ts).
import { AppEventsPage, AppEventsQuery } from "./app-events.ts";
import { type Route, under } from "./route.ts";

export const APP_EVENT_ROUTES = {
  listAppEvents: {
    method: "GET",
    path: "/api/apps/{app_id}/app-events",
    scope: "app_read",
    tag: "Events",
    summary:
      "List what the app's SDKs have reported, newest first; the opens that they report are events of type link.app_open",
    params: under("app_id"),
    query: AppEventsQuery,
    status: 200,
    answer: AppEventsPage,
  },
} as const satisfies Record<string, Route>;
