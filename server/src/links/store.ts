// The tables links, as they are opened, and clicks. Called by links.ts, recorder.ts and forget.ts; claims have statements of
// their own, how clicks are counted is in count-store.ts, and how links are made and changed in writing-store.ts.
import type { Database, Row } from "../platform/database.ts";
import { expectRows, paddedList, rows, type Statement, sql } from "../platform/sql.ts";
import type { ClickRow } from "./click.ts";
import type { KnownLink, LinkRow } from "./link.ts";

export type StoredLink = LinkRow & Row;

/** Of every id; a slug may begin so too. */
const ID_PREFIX = "lnk_";

/** Links by slug or id; an id wins over a slug of the same text. Answers a map from what was asked for. */
export async function selectLinks(db: Database, keys: readonly string[]): Promise<Map<string, KnownLink>> {
  const by_slug = sql`links.slug in (${paddedList(keys)})`;
  // Hardly anybody asks by an id, and a look in its index costs as much as one for a slug.
  const ids = keys.filter((key) => key.startsWith(ID_PREFIX));
  const found = await db.query<KnownLink>(
    sql`select links.*, utm_presets.utm as preset_utm, utm_presets.updated_at as preset_updated_at
      from links left join utm_presets on utm_presets.id = links.utm_preset_id
      where ${ids.length === 0 ? by_slug : sql`links.id in (${paddedList(ids)}) or ${by_slug}`}`,
  );
  const wanted = new Set(keys);
  const links = new Map<string, KnownLink>();
  for (const link of found) if (wanted.has(link.slug)) links.set(link.slug, link);
  for (const link of found) if (wanted.has(link.id)) links.set(link.id, link);
  return links;
}

/** By the ids of domains. */
export async function selectHostnames(db: Database, ids: readonly string[]): Promise<Map<string, string>> {
  const found = await db.query<{ id: string; hostname: string }>(
    sql`select id, hostname from domains where id in (${paddedList(ids)})`,
  );
  return new Map(found.map(({ id, hostname }) => [id, hostname]));
}

/**
 * Stores clicks; to be the first statement of its transaction. It demands that every click is new: one that is stored already
 * undoes the transaction, so that nothing is ever counted twice, whichever of two writers of the same click comes first.
 * On PostgreSQL the insert also waits for another transaction that is about to store it.
 */
export function insertClicks(clicks: readonly ClickRow[]): Statement {
  const inserted = clicks.map((click) => [
    click.cid,
    click.app_id,
    click.link_id,
    click.platform,
    click.dest_url,
    click.utm,
    click.params,
    click.os_version,
    click.locale,
    click.ip_hash,
    click.ua_hash,
    click.ga ?? null,
    click.created_at,
    click.expires_at,
  ]);
  return expectRows(
    clicks.length,
    sql`insert into clicks (cid, app_id, link_id, platform, dest_url, utm, params, os_version, locale, ip_hash, ua_hash,
      ga, created_at, expires_at) values ${rows(inserted)} on conflict (cid) do nothing`,
  );
}

/** What explains that a click was not taken: it is stored, or its app is gone and nothing can be stored for it. */
export async function selectClickFate(db: Database, click: ClickRow): Promise<"stored" | "orphan" | "unknown"> {
  const found = await db.query<{ what: string }>(sql`select 'click' as what from clicks where cid = ${click.cid}
    union all select 'app' as what from apps where id = ${click.app_id}`);
  if (found.some(({ what }) => what === "click")) return "stored";
  return found.length === 0 ? "orphan" : "unknown";
}

/** Fingerprints of clicks whose match window has passed, and where to look on. */
export interface FingerprintRange {
  /** From this token, which begins with its time, up to the other, exclusively. */
  readonly from: string;
  readonly to: string;
  /** Apps with this window; null: every app, also one that is gone. */
  readonly window_seconds: number | null;
  readonly limit: number;
}

/** Answers the tokens that it looked at and cleared, in order: fewer than the limit when the range is done. */
export async function clearFingerprints(db: Database, range: FingerprintRange): Promise<string[]> {
  const of_apps =
    range.window_seconds === null
      ? sql`true`
      : sql`app_id in (select id from apps where match_window_seconds = ${range.window_seconds})`;
  const cleared = await db.query<{ cid: string }>(sql`update clicks set ip_hash = null, ua_hash = null
    where cid in (select cid from clicks where cid >= ${range.from} and cid < ${range.to}
      and (ip_hash is not null or ua_hash is not null) and ${of_apps} order by cid limit ${range.limit})
    returning cid`);
  return cleared.map(({ cid }) => cid).sort();
}

export async function selectMatchWindows(db: Database): Promise<number[]> {
  const found = await db.query<{ match_window_seconds: number }>(
    sql`select distinct match_window_seconds from apps order by match_window_seconds`,
  );
  return found.map(({ match_window_seconds }) => match_window_seconds);
}

/** The oldest click that still has an address hash: read from the index that holds these alone. */
export async function selectOldestFingerprint(db: Database): Promise<number | null> {
  const found = await db.query<{ oldest: number | null }>(
    sql`select min(created_at) as oldest from clicks where ip_hash is not null`,
  );
  return found[0]?.oldest ?? null;
}
