// The one route table of the API: method, path, scope, schemas and status of every call under /api. The server's routes,
// their validation, the OpenAPI file and the clients' types follow from it. A route that is not here does not exist.
import { z } from "zod";
import { ANALYTICS_ROUTES } from "./analytics-routes.ts";
import { APP_EVENT_ROUTES } from "./app-event-routes.ts";
import {
  App,
  AppCreate,
  AppPatch,
  AppsPage,
  Domain,
  DomainCreate,
  DomainsPage,
  KeyCreate,
  KeysPage,
  NewKey,
} from "./apps.ts";
import { DeliveriesPage, DeliveriesQuery, Delivery, DeliveryDetail, ResendBody } from "./deliveries.ts";
import { DESTINATION_ROUTES } from "./destination-routes.ts";
import {
  EventQuery,
  EventsPage,
  EventsQuery,
  EventWithFates,
  FatesAnswer,
  FatesQuery,
  IngestAnswer,
  IngestBody,
} from "./events.ts";
import { PageQuery } from "./fields.ts";
import { GA4_SETUP_ROUTES } from "./ga4-setup-routes.ts";
import { LINK_LIST_ROUTES } from "./link-list-routes.ts";
import { LINKME_ROUTES } from "./linkme-routes.ts";
import { NOTICE_ROUTES } from "./notice-routes.ts";
import { PERSON_ROUTES } from "./person-routes.ts";
import { REPLAY_ROUTES } from "./replay-routes.ts";
import { NoQuery, type Route, under } from "./route.ts";
import { STREAM_ROUTES } from "./stream-routes.ts";
import { UTM_PRESET_ROUTES } from "./utm-preset-routes.ts";
import { WEBHOOK_ROUTES } from "./webhook-routes.ts";

const in_app = under("app_id");
const by_id = under("id");
const Ok = z.object({ ok: z.literal(true) }).meta({ id: "Ok" });

const HEALTH_ROUTES = {
  getHealth: {
    method: "GET",
    path: "/api/health",
    scope: "public",
    tag: "Server",
    summary: "The process answers",
    query: z.object({}),
    status: 200,
    answer: Ok,
  },
  getReady: {
    method: "GET",
    path: "/api/ready",
    scope: "public",
    tag: "Server",
    summary: "The process and its database answer",
    query: z.object({}),
    status: 200,
    answer: Ok,
  },
} as const satisfies Record<string, Route>;

const APP_ROUTES = {
  createApp: {
    method: "POST",
    path: "/api/apps",
    scope: "admin",
    tag: "Apps",
    summary: "Create an app",
    query: NoQuery,
    body: AppCreate,
    status: 201,
    answer: App,
  },
  listApps: {
    method: "GET",
    path: "/api/apps",
    scope: "app_read",
    tag: "Apps",
    summary: "List apps; a server key sees its own",
    query: PageQuery,
    status: 200,
    answer: AppsPage,
  },
  getApp: {
    method: "GET",
    path: "/api/apps/{app_id}",
    scope: "app_read",
    tag: "Apps",
    summary: "Get an app",
    params: in_app,
    query: NoQuery,
    status: 200,
    answer: App,
  },
  patchApp: {
    method: "PATCH",
    path: "/api/apps/{app_id}",
    scope: "app_write",
    tag: "Apps",
    summary: "Change an app's name or settings",
    params: in_app,
    query: NoQuery,
    body: AppPatch,
    status: 200,
    answer: App,
  },
  deleteApp: {
    method: "DELETE",
    path: "/api/apps/{app_id}",
    scope: "admin",
    tag: "Apps",
    summary: "Delete an app and everything that belongs to it",
    params: in_app,
    query: NoQuery,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;

const KEY_ROUTES = {
  createKey: {
    method: "POST",
    path: "/api/apps/{app_id}/keys",
    scope: "app_write",
    tag: "Keys",
    summary: "Create a key; it is shown only in this answer",
    params: in_app,
    query: NoQuery,
    body: KeyCreate,
    status: 201,
    answer: NewKey,
  },
  listKeys: {
    method: "GET",
    path: "/api/apps/{app_id}/keys",
    scope: "app_read",
    tag: "Keys",
    summary: "List keys, without their secrets",
    params: in_app,
    query: PageQuery,
    status: 200,
    answer: KeysPage,
  },
  deleteKey: {
    method: "DELETE",
    path: "/api/keys/{id}",
    scope: "app_write",
    tag: "Keys",
    summary: "Delete a key; it stops working at once",
    params: by_id,
    query: NoQuery,
    status: 204,
    answer: null,
  },
  createDomain: {
    method: "POST",
    path: "/api/apps/{app_id}/domains",
    scope: "app_write",
    tag: "Domains",
    summary: "Add a host on which the app's links answer",
    params: in_app,
    query: NoQuery,
    body: DomainCreate,
    status: 201,
    answer: Domain,
  },
  listDomains: {
    method: "GET",
    path: "/api/apps/{app_id}/domains",
    scope: "app_read",
    tag: "Domains",
    summary: "List the app's hosts",
    params: in_app,
    query: PageQuery,
    status: 200,
    answer: DomainsPage,
  },
  deleteDomain: {
    method: "DELETE",
    path: "/api/domains/{id}",
    scope: "app_write",
    tag: "Domains",
    summary: "Remove a host",
    params: by_id,
    query: NoQuery,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;

const DELIVERY_ROUTES = {
  listDeliveries: {
    method: "GET",
    path: "/api/webhooks/{id}/deliveries",
    scope: "app_read",
    tag: "Deliveries",
    summary: "List a webhook's deliveries",
    params: by_id,
    query: DeliveriesQuery.extend(PageQuery.shape),
    status: 200,
    answer: DeliveriesPage,
  },
  getDelivery: {
    method: "GET",
    path: "/api/deliveries/{id}",
    scope: "app_read",
    tag: "Deliveries",
    summary: "Get a delivery with its request and every attempt",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: DeliveryDetail,
  },
  retryDelivery: {
    method: "POST",
    path: "/api/deliveries/{id}/retry",
    scope: "app_write",
    tag: "Deliveries",
    summary: "Grant one attempt now, in any state",
    params: by_id,
    query: NoQuery,
    status: 202,
    answer: Delivery,
  },
  resendDelivery: {
    method: "POST",
    path: "/api/deliveries/{id}/resend",
    scope: "app_write",
    tag: "Deliveries",
    summary: "Send the same event to another webhook of the app, now; answers the delivery there",
    params: by_id,
    query: NoQuery,
    body: ResendBody,
    status: 202,
    answer: Delivery,
  },
  cancelDelivery: {
    method: "POST",
    path: "/api/deliveries/{id}/cancel",
    scope: "app_write",
    tag: "Deliveries",
    summary: "Cancel a pending delivery",
    params: by_id,
    query: NoQuery,
    status: 202,
    answer: Delivery,
  },
} as const satisfies Record<string, Route>;

const EVENT_ROUTES = {
  ingestEvents: {
    method: "POST",
    path: "/api/apps/{app_id}/events",
    scope: "app_write",
    tag: "Events",
    summary: "Store one event or up to 500, all or nothing; answered once durable",
    params: in_app,
    query: NoQuery,
    body: IngestBody,
    status: 202,
    answer: IngestAnswer,
  },
  listEvents: {
    method: "GET",
    path: "/api/apps/{app_id}/events",
    scope: "app_read",
    tag: "Events",
    summary: "List the app's events",
    params: in_app,
    query: EventsQuery.extend(PageQuery.shape),
    status: 200,
    answer: EventsPage,
  },
  getEvent: {
    method: "GET",
    path: "/api/events/{id}",
    scope: "app_read",
    tag: "Events",
    summary: "Get an event and its fate at every webhook of the app",
    params: by_id,
    query: EventQuery,
    status: 200,
    answer: EventWithFates,
  },
  eraseEvent: {
    method: "DELETE",
    path: "/api/events/{id}",
    scope: "app_write",
    tag: "Events",
    summary: "Erase what an event said, and what receivers answered to it; its id and its fates stay",
    params: by_id,
    query: EventQuery,
    status: 204,
    answer: null,
  },
  countFates: {
    method: "GET",
    path: "/api/apps/{app_id}/fates",
    scope: "app_read",
    tag: "Events",
    summary: "Count what became of the app's events at each webhook; the fates add up to the events",
    params: in_app,
    query: FatesQuery,
    status: 200,
    answer: FatesAnswer,
  },
} as const satisfies Record<string, Route>;

export const ROUTES = {
  ...HEALTH_ROUTES,
  ...APP_ROUTES,
  ...KEY_ROUTES,
  ...WEBHOOK_ROUTES,
  ...DESTINATION_ROUTES,
  ...GA4_SETUP_ROUTES,
  ...DELIVERY_ROUTES,
  ...REPLAY_ROUTES,
  ...EVENT_ROUTES,
  ...ANALYTICS_ROUTES,
  ...APP_EVENT_ROUTES,
  ...NOTICE_ROUTES,
  ...PERSON_ROUTES,
  ...STREAM_ROUTES,
  ...LINK_LIST_ROUTES,
  ...UTM_PRESET_ROUTES,
  ...LINKME_ROUTES,
} as const satisfies Record<string, Route>;

export type Routes = typeof ROUTES;
export type RouteName = keyof Routes;
