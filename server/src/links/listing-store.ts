// How lists of an app's links are read: newest first, along (app_id, created_at, id). Called by listing.ts.
import type { LinkState } from "#contract/link-lists.ts";
import { PAGE_SCAN_MAX } from "../platform/cursor.ts";
import type { Database } from "../platform/database.ts";
import { type After, after } from "../platform/page.ts";
import { allOf, type Statement, sql } from "../platform/sql.ts";
import type { StoredLink } from "./store.ts";

/** With the host that the link is printed with. */
export type StoredListedLink = StoredLink & { hostname: string | null };

export interface LinkFilter {
  q?: string | undefined;
  tag?: string | undefined;
  state?: LinkState | undefined;
  internal?: 0 | 1 | undefined;
  utm_preset_id?: string | undefined;
}

/** Newest first. */
export function selectListedLinks(
  db: Database,
  app_id: string,
  place: After | null,
  limit: number,
): Promise<StoredListedLink[]> {
  return db.query(withHosts(sql`select * from links where ${range(app_id, place)} ${NEWEST_FIRST} limit ${limit}`));
}

/** Those that match among the next PAGE_SCAN_MAX. `end` is where the look ended, which may be before the page was full. */
export async function searchLinks(
  db: Database,
  { app_id, place, now }: { app_id: string; place: After | null; now: number },
  filter: LinkFilter,
  limit: number,
): Promise<{ found: StoredListedLink[]; end: After | null }> {
  const wanted = conditions(filter, now);
  if (wanted.length === 0) {
    const found = await selectListedLinks(db, app_id, place, limit);
    return { found, end: found.length < limit ? null : (found.at(-1) ?? null) };
  }
  const scanned = sql`select * from links where ${range(app_id, place)} ${NEWEST_FIRST} limit ${PAGE_SCAN_MAX}`;
  const found = await db.query<StoredListedLink>(
    withHosts(sql`select * from (${scanned}) as scanned where ${allOf(wanted)} ${NEWEST_FIRST} limit ${limit}`),
  );
  if (found.length >= limit) return { found, end: found.at(-1) ?? null };
  const [edge] = await db.query<StoredLink>(sql`select created_at, id from links
    where ${range(app_id, place)} ${NEWEST_FIRST} limit 1 offset ${PAGE_SCAN_MAX - 1}`);
  return { found, end: edge ?? null };
}

const NEWEST_FIRST = sql`order by created_at desc, id desc`;

/**
 * The links of an app behind a place. The app is named three times because PostgreSQL, as long as its statistics are old, then
 * expects few links and reads along the index until there are enough; else it reads all of the app and sorts them. Measured
 * with a million: 20 ms in place of 1,200.
 */
function range(app_id: string, place: After | null): Statement {
  return sql`app_id = ${app_id} and app_id >= ${app_id} and app_id <= ${app_id} and ${after(place)}`;
}

function withHosts(links: Statement): Statement {
  return sql`select page.*, domains.hostname from (${links}) as page
    left join domains on domains.id = page.domain_id and domains.app_id = page.app_id
    order by page.created_at desc, page.id desc`;
}

function conditions({ q, tag, state, internal, utm_preset_id }: LinkFilter, now: number): Statement[] {
  const wanted: Statement[] = [];
  if (q !== undefined) wanted.push(containing(q));
  // As JSON text has them: tags hold no quotation marks.
  if (tag !== undefined) wanted.push(sql`tags like ${`%"${escapeLike(tag)}"%`} escape '!'`);
  if (state !== undefined) wanted.push(STATES[state](now));
  if (internal !== undefined) wanted.push(sql`internal = ${internal}`);
  if (utm_preset_id !== undefined) wanted.push(sql`utm_preset_id = ${utm_preset_id}`);
  return wanted;
}

/** A line feed stands between the columns, so that nothing is found across two. */
function containing(text: string): Statement {
  const columns = sql`slug || '\n' || coalesce(og_title, '') || '\n' || coalesce(deep_link_path, '')
    || '\n' || coalesce(web_fallback_url, '') || '\n' || coalesce(ios_custom_url, '') || '\n' || coalesce(android_custom_url, '')
    || '\n' || coalesce(ios_store_url, '') || '\n' || coalesce(android_store_url, '') || '\n' || coalesce(expired_url, '')`;
  // SQLite knows the two cases of ASCII letters alone: others are looked for as they were typed, too.
  const [lower, typed] = [text.toLowerCase(), text].map((part) => `%${escapeLike(part)}%`);
  if (/^[\x20-\x7e]*$/.test(text)) return sql`lower(${columns}) like ${lower ?? ""} escape '!'`;
  return sql`(lower(${columns}) like ${lower ?? ""} escape '!' or ${columns} like ${typed ?? ""} escape '!')`;
}

function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, (sign) => `!${sign}`);
}

/** As stateOf in link.ts says. */
const STATES: Readonly<Record<LinkState, (now: number) => Statement>> = {
  active: (now) =>
    sql`enabled = 1 and (expires_at is null or expires_at > ${now}) and (click_limit is null or click_count < click_limit)`,
  disabled: () => sql`enabled = 0`,
  expired: (now) => sql`enabled = 1 and expires_at <= ${now}`,
  limit_reached: (now) =>
    sql`enabled = 1 and (expires_at is null or expires_at > ${now}) and click_count >= click_limit`,
};
