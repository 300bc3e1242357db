// What exists on a server that is fuzzed: an app whose links are opened, and one that is managed. Called by main.ts and by
// fuzz.test.ts.
import assert from "node:assert/strict";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import type { Names } from "./requests.ts";

/**
 * Each thread collects what is garbage long before it would by itself, and little stays free between pieces of memory: so
 * what the process has is nearly what it holds, and what it holds and should not shows in the measure.
 */
const NODE_OPTIONS = "--max-old-space-size=96 --max-semi-space-size=4";

/** Without the dispatcher, nothing is sent to anybody: the only receivers there are refuse connections. */
export function startFuzzServer(): Promise<ServerProcess> {
  const env = { LINKME_TRUSTED_PROXIES: "127.0.0.0/8", NODE_OPTIONS, MALLOC_ARENA_MAX: "2" };
  return startServer({ role: "edge,api", env });
}

/** As much of an answer as is read here; of each only one or two members are there. */
interface Made {
  id: string;
  key: string;
  event_id: string;
  items: Made[];
}

export async function createFuzzSite(server: ServerProcess): Promise<Names> {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const call = async (method: string, path: string, body?: object) => {
    const answer = await server.request<Made>(method, path, body, headers);
    assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const create = (path: string, body: object) => call("POST", path, body);

  const shop = await create("/api/apps", {
    ...{ name: "Shop", ios_bundle_id: "com.shop", ios_team_id: "ABCDE12345", android_package: "com.shop" },
    ...{
      ios_store_url: "https://apps.apple.com/app/id1",
      ios_enable_pasteboard: true,
      web_fallback_url: "https://shop.example",
    },
    ...{ android_store_url: "https://play.google.com/store/apps/details?id=com.shop" },
  });
  const links = `/api/apps/${shop.id}/links`;
  await create(`/api/apps/${shop.id}/domains`, { hostname: "go.shop.example" });
  const hello = {
    slug: "hello",
    deepLink: "/größe/42",
    utm: { utm_source: "mail" },
    customData: { a: "b" },
    allowParamPassthrough: true,
  };
  const link = await create(links, { ...hello, redirects: { ios: "shop://a", web: "https://go.shop.example/w" } });
  await create(links, { slug: "force", redirects: { web: "https://shop.example/?a=b#c", forceWeb: true } });
  await create(links, { slug: "plain" });
  const off = await create(links, { slug: "off" });
  await call("PATCH", `/api/links/${off.id}`, { enabled: 0 });
  const app_key = (await create(`/api/apps/${shop.id}/keys`, { kind: "app" })).key;

  return {
    ...{ app_id: shop.id, app_key, link_id: link.id, cid: await openLink(), admin_token: server.admin_token },
    ...(await createDesk("", "Desk")),
    ...(await createDesk("doomed_", "Doomed")),
    doomed_app: (await create("/api/apps", { name: "Doomed itself" })).id,
  };

  /** The token of a click. */
  async function openLink(): Promise<string> {
    const { headers } = await server.request("GET", "/hello", undefined, {
      host: "go.shop.example",
      "user-agent": "iPhone",
    });
    const cid = /cid=([0-9a-f]+)/.exec(String(headers["location"]))?.[1];
    assert.ok(cid, `the link leads to ${headers["location"]}`);
    return cid;
  }

  /** One of each thing that has an id, by the name that it has in paths. */
  async function createDesk(prefix: string, name: string): Promise<Names> {
    const { id: desk } = await create("/api/apps", { name });
    const at = `/api/apps/${desk}`;
    const key = await create(`${at}/keys`, { kind: "server" });
    const domain = await create(`${at}/domains`, { hostname: `${name}.example`.toLowerCase() });
    const hook = { url: "http://127.0.0.1:9/hook", events: ["link.click"], signature_scheme: "ed25519" };
    const webhook = await create(`${at}/webhooks`, hook);
    await create(`${at}/events`, { event: "link.click", data: { link_id: "lnk_1" } });
    const [delivery] = (await call("GET", `/api/webhooks/${webhook.id}/deliveries`)).items;
    assert.ok(delivery, "an event that the webhook wants has a delivery");
    const span = { since: "2026-01-31T09:30:00Z", until: "9999-01-31T09:30:00Z", states: ["missing"] };
    const replay = await create(`/api/webhooks/${webhook.id}/replays`, span);
    const link = await create(`${at}/links`, { slug: name.toLowerCase(), deepLink: "x" });
    const of_kind = {
      ...{ desk, keys: key.id, domains: domain.id, webhooks: webhook.id, events: delivery.event_id, links: link.id },
      ...{ deliveries: delivery.id, replays: replay.id, server_key: key.key },
    };
    return Object.fromEntries(Object.entries(of_kind).map(([kind, value]) => [prefix + kind, value]));
  }
}
