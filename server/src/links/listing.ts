// Lists of an app's links: LinkMe's, and our own with pages and a search. Called through links.ts.
import type { App } from "#contract/apps.ts";
import type { FoundLink, LinksQuery } from "#contract/link-lists.ts";
import type { ListedLink } from "#contract/links.ts";
import { notFound } from "../errors.ts";
import type { Database } from "../platform/database.ts";
import { cursorOf, type Page, placeOf } from "../platform/page.ts";
import { presentListedLink, stateOf } from "./link.ts";
import * as store from "./listing-store.ts";

/** LinkMe's list has no pages, so it ends after so many links. */
const LIST_MAX = 1_000;

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
    const found = await store.selectListedLinks(db, app_id, null, LIST_MAX);
    return found.map(({ hostname, ...row }) => presentListedLink(row, hostname, publicUrl()));
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
