// Links as they are made, read, changed and deleted by the API. Called through links.ts, which keeps what visitors open.
// One way of making links serves every call that makes some: what differs is the names.
import type { Link, LinkCreate, LinkCreated, LinkPatch } from "#contract/links.ts";
import { SLUG_PATTERN } from "#contract/links.ts";
import { AppError, notFound, refuse } from "../errors.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { IdSource, Ids } from "../platform/ids.ts";
import { composeLink, toColumns } from "./input.ts";
import { type LinkRow, linkOrigin, presentLink } from "./link.ts";
import { isFreeText, randomSlug, SUGGESTIONS_MAX, slugsLike } from "./slugs.ts";
import { selectLinks } from "./store.ts";
import * as store from "./writing-store.ts";

const SLUG_TRIES = 5;
/** Of a call that makes many links: for how many slugs that are taken others are looked for. */
const SUGGESTED_MAX = 20;

export interface WritingOptions {
  db: Database;
  ids: Ids;
  source: IdSource;
  /** How many links an app may have. */
  links_max: number;
  publicUrl(): string;
  /** A link came, changed or went: what was known of its id and slug holds no more. */
  changed(link: Pick<LinkRow, "id" | "slug">, updated_at: number | null): void;
}

/** What became of one of several links. */
export type Made = LinkCreated | AppError;
type Hidden = 0 | 1;

export type Writing = ReturnType<typeof createWriting>;

export function createWriting({ db, ids, source, links_max, publicUrl, changed }: WritingOptions) {
  /**
   * @param internal what a link is that does not say
   * @throws AppError slug_taken, not_found, conflict, invalid_request
   */
  async function create(app_id: string, input: LinkCreate, internal: Hidden = 1): Promise<LinkCreated> {
    const [made] = await createMany(app_id, [input], internal);
    if (made === undefined || made instanceof AppError) throw made ?? new Error("every link has a result");
    return made;
  }

  /**
   * Each by itself: what is wrong with one is its result, and keeps no other back. In the order of the inputs, of which there
   * are a hundred or so at the most: they are one transaction.
   * @throws AppError not_found for the app
   */
  async function createMany(app_id: string, inputs: readonly LinkCreate[], internal: Hidden = 1): Promise<Made[]> {
    const domain = await store.selectDefaultDomain(db, app_id);
    const identity = { app_id, domain_id: domain?.id ?? null, now: source.now() };
    const drafts = inputs.map((input) => ({
      given: input.slug ?? null,
      row: composeLink(input, { ...identity, id: ids.prefixed("lnk") }, internal),
    }));
    const results = new Map<Draft, Made>();
    await insertDrafts(drafts, results, linkOrigin(domain?.hostname ?? null, publicUrl()));
    const taken = drafts.filter((draft) => !results.has(draft));
    const suggestions = await suggest(taken.map(({ given }) => given ?? ""));
    return drafts.map(
      (draft) => results.get(draft) ?? slugTaken(draft.given ?? "", suggestions.get(draft.given ?? "")),
    );
  }

  interface Draft {
    readonly given: string | null;
    readonly row: LinkRow;
  }

  /** Those that have no result afterwards found their slug taken. */
  async function insertDrafts(drafts: readonly Draft[], results: Map<Draft, Made>, origin: string): Promise<void> {
    for (let tries = 1; tries <= SLUG_TRIES; tries++) {
      const asked = drafts
        .filter((draft) => !results.has(draft) && (tries === 1 || draft.given === null))
        .map((draft) => ({ draft, row: { ...draft.row, slug: draft.given ?? randomSlug(source) } }))
        .filter(({ row }) => isFreeText(row.slug));
      // Of those with the same slug the first one may have it.
      const first = [...new Map(asked.toReversed().map((one) => [one.row.slug, one])).values()].toReversed();
      if (first.length === 0) return;
      const rows = first.map(({ row }) => row);
      const outcome = await store.insertLinks(db, rows, links_max);
      if (outcome === null) throw notFound("app");
      for (const { draft, row } of first) {
        if (outcome.no_preset.has(row.id)) results.set(draft, noPreset());
        if (outcome.too_many.has(row.id)) results.set(draft, tooMany(links_max));
        if (!outcome.inserted.has(row.id)) continue;
        changed(row, null);
        const { id, app_id, domain_id, slug } = row;
        results.set(draft, { id, app_id, domain_id, slug, slugUrl: `${origin}/${slug}` });
      }
    }
  }

  /** Slugs like these that no link has, at most SUGGESTIONS_MAX for each. */
  async function suggest(slugs: readonly string[]): Promise<Map<string, string[]>> {
    const likes = new Map(slugs.slice(0, SUGGESTED_MAX).map((slug) => [slug, slugsLike(slug, source)]));
    const taken = await store.selectTakenSlugs(db.query, [...likes.values()].flat());
    return new Map(
      [...likes].map(([slug, like]) => [slug, like.filter((one) => !taken.has(one)).slice(0, SUGGESTIONS_MAX)]),
    );
  }

  /** @param app_scope null for the operator; a link of another app does not exist */
  async function get(id_or_slug: string, app_scope: string | null): Promise<Link> {
    return presentLink(await findRow(id_or_slug, app_scope));
  }

  /** @throws AppError not_found, slug_taken, invalid_request */
  async function patch(id_or_slug: string, app_scope: string | null, changes: LinkPatch): Promise<Link> {
    const row = await findRow(id_or_slug, app_scope);
    const columns = toColumns(changes);
    const { slug } = columns;
    if (slug !== undefined && !isFreeText(slug)) throw slugTaken(slug, (await suggest([slug])).get(slug));
    const updated_at = source.now();
    let after: LinkRow | "no_preset" | null;
    try {
      after = await store.updateLink(db, row, { ...columns, updated_at });
    } catch (error) {
      if (slug === undefined || !isDatabaseError(error, "unique")) throw error;
      throw slugTaken(slug, (await suggest([slug])).get(slug));
    }
    if (after === "no_preset") throw noPreset();
    if (after === null) throw notFound("link");
    changed(row, updated_at);
    changed(after, updated_at);
    return presentLink(after);
  }

  async function remove(id_or_slug: string, app_scope: string | null): Promise<void> {
    const row = await findRow(id_or_slug, app_scope);
    try {
      await store.deleteLink(db, row, source.now());
    } catch (error) {
      // Somebody else was first: it is gone, which is what was asked for.
      if (!isDatabaseError(error, "unmet")) throw error;
    }
    changed(row, null);
  }

  async function findRow(id_or_slug: string, app_scope: string | null): Promise<LinkRow> {
    const row = SLUG_PATTERN.test(id_or_slug) ? (await selectLinks(db, [id_or_slug])).get(id_or_slug) : undefined;
    if (row === undefined || (app_scope !== null && row.app_id !== app_scope)) throw notFound("link");
    return row;
  }

  return { create, createMany, get, patch, remove };
}

function tooMany(links_max: number): AppError {
  return refuse(
    "conflict",
    `An app may have ${links_max} links, and it has so many. Delete some, or raise LINKME_LINKS_PER_APP.`,
  );
}

function noPreset(): AppError {
  return notFound("UTM preset", "utm_preset_id");
}

function slugTaken(slug: string, suggestions: readonly string[] = []): AppError {
  const proposal = suggestions.length === 0 ? "" : `, like ${suggestions.join(", ")}`;
  return new AppError("slug_taken", `The slug ${slug} is taken. Choose another one${proposal}.`, {
    details: [{ path: "slug", message: "a slug that no other link has" }],
    suggestions,
  });
}
