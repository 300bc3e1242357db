// What a scenario sets up before the load, through the public management API only: an app with a webhook, and either
// a server key or a link on a domain of the app.
import { request } from "undici";
import type { Server } from "./processes.ts";
import { DELIVERY_SLOTS } from "./workload.ts";

/** A lost connection is tried again while the drain still waits for it, so that it does not look like a lost event. */
const RETRY_SCHEDULE_SECONDS = [1, 2, 5];
const CALL_TIMEOUT_MS = 30_000;
export const LINK_HOST = "go.benchmark.example";
export const LINK_SLUG = "spring";

type Entity = Record<string, unknown>;
type Call = { method: "GET" | "POST" | "PATCH"; path: string; body?: unknown };

/** @throws Error with the server's answer when it is not a 2xx */
export async function callApi(server: Server, { method, path, body }: Call): Promise<Entity> {
  const answer = await request(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.admin_token}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
    headersTimeout: CALL_TIMEOUT_MS,
    bodyTimeout: CALL_TIMEOUT_MS,
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${path} answered ${answer.statusCode}: ${text}`);
  // Every call made here answers an object; what is missing from it shows as undefined in the next path.
  return JSON.parse(text) as Entity;
}

export async function createApp(server: Server): Promise<string> {
  const settings = {
    name: "Benchmark",
    ios_store_url: "https://apps.apple.com/app/id000000001",
    android_store_url: "https://play.google.com/store/apps/details?id=com.example.benchmark",
  };
  return String((await callApi(server, { method: "POST", path: "/api/apps", body: settings }))["id"]);
}

export async function createServerKey(server: Server, appId: string): Promise<string> {
  const path = `/api/apps/${appId}/keys`;
  return String((await callApi(server, { method: "POST", path, body: { kind: "server", can_write: true } }))["key"]);
}

/** @param retrySchedule seconds; the server's default when left out */
export async function createWebhook(
  server: Server,
  webhook: { app_id: string; url: string; event: string; retry_schedule?: number[] },
): Promise<string> {
  const { app_id, url, event, retry_schedule } = webhook;
  const body = { url, events: [event], max_in_flight: DELIVERY_SLOTS, ...(retry_schedule && { retry_schedule }) };
  return String((await callApi(server, { method: "POST", path: `/api/apps/${app_id}/webhooks`, body }))["id"]);
}

/** A webhook whose retries fall inside the time that a phase waits for stragglers. */
export function createMeasuredWebhook(
  server: Server,
  webhook: { app_id: string; url: string; event: string },
): Promise<string> {
  return createWebhook(server, { ...webhook, retry_schedule: RETRY_SCHEDULE_SECONDS });
}

/**
 * A link whose three targets all carry the click's token: a custom scheme for iPhones, the Play Store for Android (the
 * app's), and for desktops a page on the app's own domain.
 */
export async function createLink(server: Server, appId: string): Promise<void> {
  await createDomain(server, appId);
  const redirects = { ios: "benchmark://open/spring", web: `https://${LINK_HOST}/landing` };
  const body = { slug: LINK_SLUG, deepLink: "/spring", redirects, utm: { utm_source: "newsletter" } };
  await callApi(server, { method: "POST", path: `/api/apps/${appId}/links`, body });
}

export async function createDomain(server: Server, appId: string): Promise<string> {
  const domain = { method: "POST", path: `/api/apps/${appId}/domains`, body: { hostname: LINK_HOST } } as const;
  return String((await callApi(server, domain))["id"]);
}

/** Deliveries that the server's own ledger still counts as pending. */
export async function pendingDeliveries(server: Server, webhookId: string): Promise<number> {
  const { health } = await callApi(server, { method: "GET", path: `/api/webhooks/${webhookId}` });
  const pending = typeof health === "object" && health !== null && "pending" in health ? health.pending : undefined;
  if (typeof pending !== "number") throw new Error(`Webhook ${webhookId} has no health.pending.`);
  return pending;
}
