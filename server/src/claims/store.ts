// Clicks as claims see them, and the apps a caller can be one of. Called by claims.ts alone.
import type { ClaimType } from "#contract/events.ts";
import type { Database, Row } from "../platform/database.ts";
import { expectRows, list, type Statement, sql } from "../platform/sql.ts";
import type { Person } from "./identity.ts";
import { CANDIDATES_MAX, type Candidate } from "./matching.ts";

export interface ClaimableClick extends Row {
  cid: string;
  app_id: string;
  link_id: string;
  platform: string;
  utm: string | null;
  params: string | null;
  created_at: number;
  expires_at: number;
  claimed_at: number | null;
  user_id: string | null;
  device: string | null;
  ga: string | null;
}

/** Where to look for a claim without a token. */
export interface Window {
  readonly app_id: string;
  readonly ip_hashes: readonly string[];
  readonly since: number;
  readonly now: number;
}

export async function selectClick(db: Database, cid: string): Promise<ClaimableClick | null> {
  const found = await db.query<ClaimableClick>(
    sql`select cid, app_id, link_id, platform, utm, params, created_at, expires_at, claimed_at, user_id, device, ga
      from clicks where cid = ${cid}`,
  );
  return found[0] ?? null;
}

/** Where a page of candidates ended. */
export type Edge = Pick<Candidate, "created_at" | "cid">;

/**
 * Unclaimed clicks of the window and these platforms, newest first, a page of them; the index clicks_match holds exactly those
 * that still have a hash. Platforms are compared row by row, as claims are: there are no more rows than one network's.
 */
export function selectCandidates(
  db: Database,
  window: Window,
  platforms: readonly string[],
  before: Edge | null,
): Promise<(ClaimableClick & Candidate)[]> {
  const until =
    before === null
      ? sql`created_at <= ${window.now}`
      : sql`created_at <= ${before.created_at} and (created_at, cid) < (${before.created_at}, ${before.cid})`;
  return db.query(sql`select cid, app_id, link_id, platform, utm, params, created_at, expires_at, claimed_at, user_id,
      device, ga, ua_hash, os_version, locale from clicks
    where app_id = ${window.app_id} and ip_hash in (${list(window.ip_hashes)})
      and created_at >= ${window.since} and ${until} and claimed_at is null and platform in (${list(platforms)})
    order by created_at desc, cid desc limit ${CANDIDATES_MAX}`);
}

/** The newest click of the network, claimed or not, however old: tells why nothing matched. */
export async function selectNearMiss(
  db: Database,
  { app_id, ip_hashes }: Window,
): Promise<{ created_at: number; claimed_at: number | null } | null> {
  const found = await db.query<{ created_at: number; claimed_at: number | null }>(
    sql`select created_at, claimed_at from clicks
      where app_id = ${app_id} and ip_hash in (${list(ip_hashes)}) order by created_at desc limit 1`,
  );
  return found[0] ?? null;
}

/** Claims a click, once: the second of two claims that race finds no row, and its transaction is undone. */
export function claimClick(cid: string, claim_type: ClaimType, now: number, { user_id, device }: Person): Statement {
  return expectRows(
    1,
    sql`update clicks set claimed_at = ${now}, claim_type = ${claim_type},
        user_id = coalesce(user_id, ${user_id}), device = coalesce(device, ${device})
      where cid = ${cid} and claimed_at is null returning cid`,
  );
}

/** Apps with this bundle id or package name; two are enough to know that it does not tell. */
export function selectAppsByBundle(db: Database, bundle_id: string): Promise<{ id: string }[]> {
  return db.query(
    sql`select id from apps where ios_bundle_id = ${bundle_id} or android_package = ${bundle_id} order by id limit 2`,
  );
}

/** The first two apps: enough to know whether there is exactly one. */
export function selectFirstApps(db: Database): Promise<{ id: string }[]> {
  return db.query(sql`select id from apps order by id limit 2`);
}
