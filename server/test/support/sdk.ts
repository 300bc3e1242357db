// An SDK's calls over HTTP, for tests of claims and app events: an app with one link, visitors and their addresses.
import assert from "node:assert/strict";
import { EVENT_DATA } from "#contract/events.ts";
import { openApi, type TestApi } from "./api.ts";
import type { Engine } from "./engines.ts";
import { waitUntil } from "./wait.ts";

export const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
export const PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0.0.0 Mobile Safari/537.36";
export const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/126.0.0.0 Safari/537.36";
export const NATIVE_IOS = "Shop/12 CFNetwork/1494.0.7 Darwin/23.4.0";
export const NATIVE_ANDROID = "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)";
const HOST = "127.0.0.1:8080";

export interface Caller {
  ip?: string;
  agent?: string;
  host?: string;
  headers?: Record<string, string>;
}

export function send(
  api: TestApi,
  method: string,
  url: string,
  body: unknown,
  { ip = "203.0.113.7", agent = MAC, host = HOST, headers = {} }: Caller,
) {
  const all = { host, "user-agent": agent, "x-forwarded-for": ip, ...headers };
  return api.call(method, url, body, { token: null, headers: all });
}

/** Opens a link and answers the token that its click got. */
export async function click(api: TestApi, app_id: string, slug: string, caller: Caller = {}): Promise<string> {
  const newest = async () => (await eventsOf(api, app_id)).findLast(({ event }) => event === "link.token_created");
  const before = (await newest())?.data["cid"];
  const { status } = await send(api, "GET", `/${slug}`, undefined, caller);
  assert.equal(status, 302);
  let cid = before;
  // On a machine that is busy the click comes through the spool, behind the answer.
  await waitUntil(async () => {
    cid = (await newest())?.data["cid"];
    return cid !== before;
  }, "the click to be stored");
  return String(cid);
}

export const claim = (api: TestApi, app_id: string, body: object, caller: Caller = {}) =>
  send(api, "POST", "/api/deferred/claim", body, { ...caller, headers: { "x-app-id": app_id, ...caller.headers } });

export async function eventsOf(api: TestApi, app_id: string) {
  const { body } = await api.call("GET", `/api/apps/${app_id}/events?limit=100`);
  return body.items.reverse() as { event: keyof typeof EVENT_DATA; data: Record<string, unknown> }[];
}

export async function ofType(api: TestApi, app_id: string, type: keyof typeof EVENT_DATA) {
  const events = (await eventsOf(api, app_id)).filter(({ event }) => event === type);
  for (const { data } of events) assert.deepEqual(EVENT_DATA[type].strict().parse(data), data);
  return events.map(({ data }) => data);
}

/** A server with one app and its link `hello`; without an engine on a file of its own. */
export async function startShop(engine: Engine | null, settings: object = {}) {
  const api = await openApi({
    ...(engine !== null && { DATABASE_URL: await engine.address() }),
    LINKME_PUBLIC_URL: "http://links.test",
    LINKME_TRUSTED_PROXIES: "127.0.0.0/8",
  });
  const app_id = await api.createApp(settings);
  const link = await api.call("POST", `/api/apps/${app_id}/links`, {
    slug: "hello",
    deepLink: "/größe/42",
    deepLinkParams: { id: 42, note: 'a "b"' },
    customData: { line: "1\n2", emoji: "👟", on: true, none: null },
    utm: { utm_source: "mail" },
    redirects: { web: "https://w.example/", forceWeb: false },
    allowParamPassthrough: true,
  });
  return { api, app_id, link: link.body };
}
