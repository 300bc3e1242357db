// Which events a journey must have made, from what was done and answered. Pure; called by main.ts after the journey.
import type { ClaimType, EventType, Platform } from "#contract/events.ts";

/** What one visitor did, and what the server answered. */
export interface Visit {
  platform: Platform;
  /** Where the link sent the visitor. */
  dest_url: string;
  /** The click token, as soon as an answer has told it. */
  cid: string | null;
  claim: { type: ClaimType; bundle_id: string | null } | null;
  /** The client's clock when the app was opened, in seconds since 1970; null when it was not. */
  app_opened_at: number | null;
}

export interface DemoLink {
  id: string;
  slug: string;
  path: string;
  utm: Record<string, string>;
}

/** An event that must arrive once, and the members that its `data` must have; others are allowed. */
export interface ExpectedEvent {
  event: EventType;
  platform: Platform;
  data: Record<string, unknown>;
}

/** In the order in which they happen. */
export function expectEvents(visits: readonly Visit[], link: DemoLink): ExpectedEvent[] {
  return visits.flatMap((visit) => [
    ...expectClick(visit, link),
    ...expectClaim(visit, link),
    ...expectOpen(visit, link),
  ]);
}

function expectClick({ platform, dest_url, cid }: Visit, { id, slug, utm }: DemoLink): ExpectedEvent[] {
  const data = { link_id: id, platform, dest_url, slug, ...(cid === null ? {} : { cid }) };
  return [
    { event: "link.click", platform, data: { ...data, utm } },
    { event: "link.token_created", platform, data },
  ];
}

function expectClaim({ platform, cid, claim }: Visit, { id, path, utm }: DemoLink): ExpectedEvent[] {
  if (claim === null) return [];
  const claimed: ExpectedEvent = {
    event: "link.claim",
    platform,
    data: { link_id: id, platform, cid, claim_type: claim.type, path, utm, duplicate: false },
  };
  if (claim.type !== "fingerprint") return [claimed];
  const { bundle_id } = claim;
  const data = { link_id: id, platform, cid, bundle_id, matched: true, method: "fingerprint", reason: "matched" };
  return [{ event: "link.deferred_claim_attempt", platform, data }, claimed];
}

function expectOpen({ platform, cid, app_opened_at }: Visit, { id }: DemoLink): ExpectedEvent[] {
  if (app_opened_at === null) return [];
  const data = { link_id: id, platform, cid, type: "open", timestamp: app_opened_at };
  return [{ event: "link.app_open", platform, data }];
}

/** @example countByType(expected) // "3 link.click, 3 link.token_created, 2 link.claim" */
export function countByType(events: readonly { event: string }[]): string {
  const counts = new Map<string, number>();
  for (const { event } of events) counts.set(event, (counts.get(event) ?? 0) + 1);
  return [...counts].map(([event, count]) => `${count} ${event}`).join(", ");
}
