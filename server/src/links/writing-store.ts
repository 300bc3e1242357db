// How links come, change and go: the tables links and app_links. Called by writing.ts.
// The row of app_links is taken before any link, so that two calls for one app never wait for each other in a circle.
import { recordRemoval, removedLink } from "../accounts/store.ts";
import type { Database, Query } from "../platform/database.ts";
import { assign, expectRows, KEPT, paddedList, rows, sql } from "../platform/sql.ts";
import type { LinkRow } from "./link.ts";
import { keepPresets } from "./presets-store.ts";
import type { StoredLink } from "./store.ts";

/** Texts first, then numbers: PostgreSQL is told the types of a list of values. */
const TEXTS = [
  ...["id", "app_id", "slug", "domain_id", "deep_link_path", "deep_link_params", "ios_custom_url"],
  ...["android_custom_url", "ios_store_url", "android_store_url", "web_fallback_url", "og_title", "og_description"],
  ...["og_image_url", "utm", "utm_override", "custom_data", "tags", "expired_url", "utm_preset_id"],
] as readonly (keyof LinkRow)[];
const NUMBERS = [
  ...["allow_param_passthrough", "force_redirect_web", "enabled", "internal", "click_count", "last_click_at"],
  ...["created_at", "updated_at", "expires_at", "click_limit"],
] as readonly (keyof LinkRow)[];
const TYPES = [...TEXTS.map(() => "text" as const), ...NUMBERS.map(() => "bigint" as const)];

/** By their ids; those that are in neither set found their slugs taken. */
export interface Inserted {
  readonly inserted: ReadonlySet<string>;
  /** Their slugs are free, and the app may have no more links. */
  readonly too_many: ReadonlySet<string>;
  /** Their UTM preset is none of the app's. */
  readonly no_preset: ReadonlySet<string>;
}

/** Inserts those whose slugs are free, all of one app, as far as it may have so many, the first ones first. Null: no such app. */
export function insertLinks(db: Database, links: readonly LinkRow[], links_max: number): Promise<Inserted | null> {
  const app_id = links[0]?.app_id ?? "";
  return db.transaction(async (query): Promise<Inserted | null> => {
    const count = await holdCount(query, app_id);
    if (count === null) return null;
    const taken = await selectTakenSlugs(
      query,
      links.map(({ slug }) => slug),
    );
    const kept = await keepPresets(query, app_id, presetsOf(links));
    const free = links.filter(({ slug, utm_preset_id: preset }) => {
      return !taken.has(slug) && (preset === null || kept.has(preset));
    });
    const room = Math.max(0, links_max - count);
    const inserted = await insertRows(query, free.slice(0, room));
    if (inserted.size > 0)
      await query(sql`update app_links set links = links + ${inserted.size} where app_id = ${app_id}`);
    const no_preset = links.filter(({ utm_preset_id: preset }) => preset !== null && !kept.has(preset));
    return { inserted, too_many: idsOf(free.slice(room)), no_preset: idsOf(no_preset) };
  });
}

function presetsOf(links: readonly LinkRow[]): string[] {
  return [...new Set(links.flatMap(({ utm_preset_id }) => utm_preset_id ?? []))];
}

function idsOf(links: readonly LinkRow[]): Set<string> {
  return new Set(links.map(({ id }) => id));
}

/** How many links the app has, which no other call changes before the transaction ends; nor does the app go. */
async function holdCount(query: Query, app_id: string): Promise<number | null> {
  const counted = await query<{ links: number }>(sql`insert into app_links (app_id, links)
    select id, 0 from apps where id = ${app_id} ${KEPT}
    on conflict (app_id) do update set links = app_links.links returning links`);
  return counted[0]?.links ?? null;
}

async function insertRows(query: Query, links: readonly LinkRow[]): Promise<Set<string>> {
  if (links.length === 0) return new Set();
  // In the order of slugs, for whose index two transactions wait.
  const sorted = [...links].sort((left, right) => (left.slug < right.slug ? -1 : 1));
  const values = sorted.map((link) => [...TEXTS, ...NUMBERS].map((name) => link[name]));
  const inserted = await query<{ id: string }>(sql`insert into links (id, app_id, slug, domain_id, deep_link_path,
      deep_link_params, ios_custom_url, android_custom_url, ios_store_url, android_store_url, web_fallback_url, og_title,
      og_description, og_image_url, utm, utm_override, custom_data, tags, expired_url, utm_preset_id,
      allow_param_passthrough, force_redirect_web, enabled, internal, click_count, last_click_at, created_at, updated_at,
      expires_at, click_limit)
    select * from (values ${rows(values, TYPES)}) as link where true order by column3
    on conflict (slug) do nothing returning id`);
  return new Set(inserted.map(({ id }) => id));
}

/** Null when the link is gone. @throws DatabaseError unique when the new slug is taken */
export async function updateLink(
  db: Database,
  { id, app_id }: Pick<LinkRow, "id" | "app_id">,
  changes: Partial<LinkRow>,
): Promise<LinkRow | "no_preset" | null> {
  const update = async (query: Query) => {
    const updated = await query<StoredLink>(sql`update links set ${assign(changes)} where id = ${id} returning *`);
    return updated[0] ?? null;
  };
  const { utm_preset_id } = changes;
  if (utm_preset_id === undefined || utm_preset_id === null) return update(db.query);
  return db.transaction(async (query) => {
    // The app first, as its deletion does.
    await query(sql`select id from apps where id = ${app_id} ${KEPT}`);
    const kept = await keepPresets(query, app_id, [utm_preset_id]);
    return kept.size === 0 ? "no_preset" : update(query);
  });
}

/** What was counted of it goes afterwards, step by step. @throws DatabaseError unmet when it is gone */
export async function deleteLink(
  db: Database,
  { id, app_id }: Pick<LinkRow, "id" | "app_id">,
  now: number,
): Promise<void> {
  await db.batch([
    sql`update app_links set links = links - 1 where app_id = ${app_id}`,
    expectRows(1, sql`delete from links where id = ${id} returning id`),
    recordRemoval("link", removedLink(app_id, id), now),
  ]);
}

/** Those of the slugs that a link has. */
export async function selectTakenSlugs(query: Query, slugs: readonly string[]): Promise<Set<string>> {
  if (slugs.length === 0) return new Set();
  const found = await query<{ slug: string }>(sql`select slug from links where slug in (${paddedList(slugs)})`);
  return new Set(found.map(({ slug }) => slug));
}

/** The app's first domain: where its links are printed to live. */
export async function selectDefaultDomain(
  db: Database,
  app_id: string,
): Promise<{ id: string; hostname: string } | null> {
  const found = await db.query<{ id: string; hostname: string }>(
    sql`select id, hostname from domains where app_id = ${app_id} order by created_at, id limit 1`,
  );
  return found[0] ?? null;
}
