// An app as a customer would set it up over the API: a link that opens an app, and webhooks to a receiver of the test.
// Called by the tests of server/test/flows/ on a server that runs as a process of its own.
import assert from "node:assert/strict";
import type { ServerProcess } from "./server-process.ts";

/** Their redirects carry the token: the link leads to an app's own address. */
export const PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";

export interface Hook {
  id: string;
  /** Where it points to, on the receiver. */
  path: string;
  secret: string;
  /** Null: every type. */
  events: readonly string[] | null;
}

export interface Site {
  app_id: string;
  link_id: string;
  slug: string;
  hooks: Hook[];
  admin_token: string;
}

export interface HookPlan {
  path: string;
  events?: readonly string[];
  settings?: object;
}

const ALL_EVENTS = ["link.click", "link.token_created", "link.claim", "link.app_open", "link.deferred_claim_attempt"];

export async function createSite(server: ServerProcess, receiver_url: string, plans: HookPlan[]): Promise<Site> {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const create = async <Body>(path: string, body: object): Promise<Body> => {
    const answer = await server.request<Body>("POST", path, body, headers);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return answer.body;
  };
  const { id: app_id } = await create<{ id: string }>("/api/apps", { name: "Flow" });
  const redirects = { ios: "flow://open" };
  const link = await create<{ id: string; slug: string }>(`/api/apps/${app_id}/links`, { slug: "flow", redirects });
  const hooks: Hook[] = [];
  for (const { path, events, settings } of plans) {
    const { id, signing_secret: secret } = await create<{ id: string; signing_secret: string }>(
      `/api/apps/${app_id}/webhooks`,
      { url: receiver_url + path, events: events ?? ALL_EVENTS, ...settings },
    );
    hooks.push({ id, path, secret, events: events ?? null });
  }
  return { app_id, link_id: link.id, slug: link.slug, hooks, admin_token: server.admin_token };
}

/** The token in the address of a redirect; null when it has none. */
export function cidOf(location: unknown): string | null {
  return /[?&]cid=([0-9a-f]{32})\b/.exec(String(location))?.[1] ?? null;
}
