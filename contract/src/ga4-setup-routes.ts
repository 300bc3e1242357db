// The calls that set Google Analytics up, and look whether events arrive there. Part of the route table of routes.ts.
import { Ga4Arrival, Ga4ArrivalBody, Ga4Setup, Ga4SetupBody } from "./ga4-setup.ts";
import { NoQuery, type Route, under } from "./route.ts";

export const GA4_SETUP_ROUTES = {
  setUpGa4: {
    method: "POST",
    path: "/api/apps/{app_id}/ga4/setup",
    scope: "app_write",
    tag: "Destinations",
    summary:
      "Plan what Google Analytics needs, and with `dry_run: false` do it: secret, dimensions, key event, destination",
    params: under("app_id"),
    query: NoQuery,
    body: Ga4SetupBody,
    status: 200,
    answer: Ga4Setup,
  },
  checkGa4Arrival: {
    method: "POST",
    path: "/api/apps/{app_id}/ga4/arrival",
    scope: "app_read",
    tag: "Destinations",
    summary: "Ask Google Analytics which events of LinkMe have arrived, in realtime and in reports",
    params: under("app_id"),
    query: NoQuery,
    body: Ga4ArrivalBody,
    status: 200,
    answer: Ga4Arrival,
  },
} as const satisfies Record<string, Route>;
