// Lists of an app's links: LinkMe's, and our own with pages and a search. Called through links.ts.
import type { App } from "#contract/apps.ts";
import type { FoundLink, LinksQuery } from "#contract/link-lists.ts";
import type { ListedLink } from "#contract/links.ts";
import { notFound } from "../errors.ts";
import type { Database } from "../platform/database.ts";
import { type After, cursorOf, type Page, placeOf } from "../platform/page.ts";
import { charsOf, presentListedLink, stateOf } from "./link.ts";
import * as store from "./listing-store.ts";

/** LinkMe's list has no pages, so it ends after so many links, or with the one that makes it so long. */
const LIST_MAX = 1_000;
const LIST_MAX_CHARS = 8 * 1024 * 1024;
/** A link has up to some 50 kB of text, most have a hundredth of that. */
const READ_ROWS = 200;

export interface ListingOptions {
  db: Database;
  accounts: { findApp(id: string): Promise<App | null> };
  publicUrl(): string;
  now(): number;
}

export function createListing({ db, accounts, publicUrl, now }: ListingOptions) {
  /** Newest first. */
  async function list(app_id: string): Promise<ListedLink[]> {
    if ((await accounts.findApp(app_id)) === null) throw notFound("app");
    const links: ListedLink[] = [];
    let chars = 0;
    let place: After | null = null;
    for (;;) {
      const found: store.StoredListedLink[] = await store.selectListedLinks(db, app_id, place, READ_ROWS);
      for (const { hostname, ...row } of found) {
        if (links.length >= LIST_MAX || chars >= LIST_MAX_CHARS) return links;
        links.push(presentListedLink(row, hostname, publicUrl()));
        chars += charsOf(row);
      }
      if (found.length < READ_ROWS) return links;
      place = found.at(-1) ?? null;
    }
  }

  /** Newest first. @throws AppError invalid_request (cursor) */
  async function search(app_id: string, { limit, cursor, internal, ...filter }: LinksQuery): Promise<Page<FoundLink>> {
    const at = now();
    const wanted = { ...filter, internal: internal === undefined ? undefined : internal === "1" ? 1 : 0 } as const;
    const { found, end } = await store.searchLinks(db, { app_id, place: placeOf({ cursor }), now: at }, wanted, limit);
    const items = found.map(({ hostname, ...row }) => ({
      ...presentListedLink(row, hostname, publicUrl()),
      state: stateOf(row, at),
    }));
    return { items, next_cursor: cursorOf(end) };
  }

  return { list, search };
}
