// Apps that have one of everything, and a call of every route of the table on them. Used by the tests of what holds for all
// routes, whatever they do, so a route that is added fails there until it says here how it is called.
import assert from "node:assert/strict";
import type { Route } from "#contract/route.ts";
import { ROUTES, type RouteName } from "#contract/routes.ts";
import type { Answer, CallOptions, TestApi } from "./api.ts";
import { PROPERTY_ID, SERVICE_ACCOUNT } from "./vendors/google.ts";

/** An app with one of everything, and the keys to it. */
export interface Tenant {
  app_id: string;
  /** By the beginning of the paths that take it. */
  ids: Record<string, string>;
  key: string;
  read_key: string;
  write_key: string;
  app_key: string;
}

/** Of an event that waits for a dispatcher, so that it is never done. */
const REPLAY = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z", events: ["link.app_open"] };

/** @param endpoint what its webhook leads to, and mark a word that all its data has */
export async function createTenant(api: TestApi, endpoint: string, mark = ""): Promise<Tenant> {
  const app_id = await api.createApp(mark === "" ? {} : { name: mark });
  const made = async (path: string, body: object): Promise<Answer["body"]> => {
    const answer = await api.call("POST", `/api/apps/${app_id}/${path}`, body);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    return answer.body;
  };
  const webhook = await made("webhooks", { url: endpoint, events: ["link.click"], description: mark });
  const { accepted } = await made("events", { event: "link.click", data: { n: 1, mark } });
  const { body } = await api.call("GET", `/api/webhooks/${webhook.id}/deliveries`);
  const missed = await made("events", { event: "link.app_open", data: { n: 1, mark } });
  assert.equal(missed.accepted.length, 1);
  const sdk = { token: null, headers: { "x-app-id": app_id } };
  await api.call("POST", "/api/app-events", { type: "install", detail: mark }, sdk);
  const config = { write_key: "key-of-segment", host: new URL(endpoint).origin };
  const vendor = await made("destinations", { type: "segment", config, events: ["link.click"], description: mark });
  const erasure = await made("erasures", { user_id: `nobody ${mark}` });
  const { body: replay } = await api.call("POST", `/api/webhooks/${webhook.id}/replays`, REPLAY);
  return {
    app_id,
    ids: {
      "/api/keys/{id}": (await made("keys", { kind: "app", label: mark })).id,
      "/api/domains/{id}": (await made("domains", { hostname: `${app_id.slice(-12)}.example.com` })).id,
      "/api/webhooks/{id}": webhook.id,
      "/api/destinations/{id}": vendor.id,
      "/api/deliveries/{id}": body.items[0].id,
      "/api/replays/{id}": replay.id,
      "/api/erasures/{id}": erasure.id,
      "/api/events/{id}": accepted[0],
      "/api/utm-presets/{id}": (await made("utm-presets", { name: `Mail ${mark}`, utm: { utm_source: "mail" } })).id,
      "/api/links/{id}": (await made("links", { deepLink: `/${mark || "x"}` })).id,
    },
    key: await api.createKey(app_id),
    read_key: await api.createKey(app_id, { can_write: false }),
    write_key: await api.createKey(app_id, { can_read: false }),
    app_key: await api.createKey(app_id, { kind: "app", can_write: true }),
  };
}

/** A body that each call with one accepts. */
export function bodiesOf(endpoint: string): Partial<Record<RouteName, object | string>> {
  const config = { write_key: "key-of-segment", host: new URL(endpoint).origin };
  const segment = { type: "segment", config, events: ["link.claim"] };
  return {
    createApp: { name: "Another" },
    patchApp: { name: "Renamed" },
    createKey: { kind: "app" },
    createDomain: { hostname: "new.example.com" },
    createWebhook: { url: endpoint, events: ["link.claim"] },
    patchWebhook: { description: "changed" },
    createDestination: segment,
    patchDestination: { description: "changed" },
    previewDestination: {},
    previewNewDestination: { type: "segment", config: segment.config },
    checkDestination: { canary: true },
    testDestination: {},
    createDestinationReplay: REPLAY,
    setUpGa4: { service_account: SERVICE_ACCOUNT },
    checkGa4Arrival: { service_account: SERVICE_ACCOUNT, property_id: PROPERTY_ID },
    testWebhook: {},
    promoteSecret: { grace_seconds: 60 },
    resendDelivery: {},
    checkReceiver: { url: endpoint },
    checkFilter: { filter: { path: "platform", equals: "ios" } },
    createReplay: REPLAY,
    resumeReplay: { rate_per_second: 5 },
    ingestEvents: { event: "link.claim", data: {} },
    createErasure: { user_id: "nobody" },
    showPerson: { user_id: "nobody" },
    createLink: { deepLink: "y" },
    createLinks: { links: [{ web_fallback_url: "https://shop.example/" }] },
    importLinks: "web_fallback_url\nhttps://shop.example/",
    createUtmPreset: { name: "Spring", utm: { utm_campaign: "spring" } },
    patchUtmPreset: { utm: { utm_source: "paper" } },
    createLinkOfApp: { web_fallback_url: "https://shop.example/" },
    createShortLink: { url: "https://shop.example/" },
    patchLink: { enabled: 1 },
    resolveUrl: { url: "https://unknown.example.com/x" },
    claimDeferred: { platform: "ios" },
    claimInstallReferrer: { referrer: "utm_source=x" },
    recordAppEvent: { type: "open", platform: "ios" },
  };
}

/** What has to be called before, for a call to find what it needs. */
export const BEFORE: Partial<Record<RouteName, RouteName[]>> = {
  checkSecret: ["rotateSecret"],
  promoteSecret: ["rotateSecret"],
  undoPromotion: ["rotateSecret", "promoteSecret"],
  dropNextSecret: ["rotateSecret"],
};

export function pathOf(name: RouteName, tenant: Tenant, id?: string): string {
  const { path } = ROUTES[name];
  const prefix = /^\/api\/[\w-]+\/\{id\}/.exec(path)?.[0];
  const known = prefix === undefined ? "" : (tenant.ids[prefix] ?? assert.fail(`say which id ${path} takes`));
  return path.replace("{app_id}", id ?? tenant.app_id).replace("{id}", id ?? known);
}

/** The body is sent where the route takes one. */
export function sendTo(
  api: TestApi,
  name: RouteName,
  url: string,
  { options, body }: { options: CallOptions; body: unknown },
): Promise<Answer> {
  const { method, body: schema, takes_csv }: Route = ROUTES[name];
  const sent = schema === undefined ? undefined : (body ?? assert.fail(`${name}: say a body`));
  const headers = { ...(takes_csv && { "content-type": "text/csv" }), ...options.headers };
  return api.call(method, url, sent, { ...options, headers });
}
