// The calls that answer what clicks add up to. Part of the route table of routes.ts.
import { Analytics, AnalyticsQuery } from "./analytics.ts";
import { type Route, under } from "./route.ts";

export const ANALYTICS_ROUTES = {
  getAnalytics: {
    method: "GET",
    path: "/api/apps/{app_id}/analytics",
    scope: "app_read",
    tag: "Analytics",
    summary: "Count the clicks of an app or link, by day or hour and by a property",
    params: under("app_id"),
    query: AnalyticsQuery,
    status: 200,
    answer: Analytics,
  },
} as const satisfies Record<string, Route>;
