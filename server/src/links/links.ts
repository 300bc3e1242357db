// Links: making, reading and changing them, and finding the one that a visitor opened. Called by the API and by the edge.
// A link that was read is remembered for LINK_TTL_MS; a change made by this process holds at once. When the database does
// not answer, a link that is remembered goes on being served: a slow database never stops a redirect.
import type { App, Domain } from "#contract/apps.ts";
import {
  type Link,
  type LinkCreate,
  type LinkCreated,
  type LinkPatch,
  type ListedLink,
  RESERVED_SLUGS,
  SLUG_PATTERN,
} from "#contract/links.ts";
import { createLookup } from "../accounts/lookup.ts";
import { notFound, refuse } from "../errors.ts";
import { createBoundedMap } from "../platform/bounded-map.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { IdSource, Ids } from "../platform/ids.ts";
import { composeLink } from "./input.ts";
import {
  type LinkRow,
  linkOrigin,
  type PreparedLink,
  prepareLink,
  prepareTargets,
  presentLink,
  presentListedLink,
  rootRow,
  webHosts,
} from "./link.ts";
import * as store from "./store.ts";
import { hostWithoutPort, isBareIp } from "./target.ts";

/** How long a change made by another process may stay unseen. */
const LINK_TTL_MS = 1_000;
const LINKS_MAX = 10_000;
/** How long a visitor waits for a fresh read when an older one is at hand. */
const STALE_WAIT_MS = 20;
const LIST_MAX = 1_000;
const SLUG_TRIES = 5;
const SLUG_CHARS = 8;
/** Thirty-two signs without l and o, 0 and 1, which people confuse. */
const SLUG_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";
const LINK_ID_PATTERN = /^lnk_[0-9a-f]{32}$/;

/** What links need of accounts: cached look-ups; `peek` answers undefined when `find` has to read. */
export interface LinkAccounts {
  findApp(id: string): Promise<App | null>;
  peekApp(id: string): App | null | undefined;
  findDomain(hostname: string): Promise<Domain | null>;
  peekDomain(hostname: string): Domain | null | undefined;
}

export interface LinksOptions {
  db: Database;
  ids: Ids;
  source: IdSource;
  accounts: LinkAccounts;
  /** The server's own address; asked each time, for it can depend on the port that was free. */
  publicUrl(): string;
}

export type Links = ReturnType<typeof createLinks>;

export function createLinks({ db, ids, source, accounts, publicUrl }: LinksOptions) {
  const links = createLookup<LinkRow>({
    load: (keys) => store.selectLinks(db, keys),
    now: source.now,
    ttl_ms: LINK_TTL_MS,
    max_entries: LINKS_MAX,
  });
  /** By origin and slug; older than LINK_TTL_MS they serve while the database does not answer. */
  const prepared = createBoundedMap<PreparedLink | null>(LINKS_MAX);
  /** When this process last changed a link, by its id: what was known before is not served while the database is slow. */
  const changed_at = createBoundedMap<number>(LINKS_MAX);

  /** @throws AppError slug_taken, not_found */
  async function create(app_id: string, input: LinkCreate): Promise<LinkCreated> {
    if ((await accounts.findApp(app_id)) === null) throw notFound("app");
    const domain = await store.selectDefaultDomain(db, app_id);
    const link = composeLink(input, {
      id: ids.prefixed("lnk"),
      app_id,
      domain_id: domain?.id ?? null,
      now: source.now(),
    });
    const slug = await insertWithSlug(link, input.slug);
    const { id, domain_id } = link;
    return { id, app_id, domain_id, slug, slugUrl: `${linkOrigin(domain?.hostname ?? null, publicUrl())}/${slug}` };
  }

  async function insertWithSlug(link: LinkRow, given: string | undefined): Promise<string> {
    for (let left = given === undefined ? SLUG_TRIES : 1; left > 0; left--) {
      const slug = given ?? randomSlug(source);
      if (!isFreeText(slug) || !(await store.insertLink(db, { ...link, slug }))) continue;
      forget({ ...link, slug });
      return slug;
    }
    // The app was found when it was remembered; it may have been deleted since, by another process.
    if (!(await store.hasApp(db, link.app_id))) throw notFound("app");
    throw refuse("slug_taken", `The slug ${given ?? ""} is taken. Choose another one.`, [
      { path: "slug", message: "a slug that no other link has" },
    ]);
  }

  /** Newest first. LinkMe's list has no pages, so it ends after LIST_MAX links. */
  async function list(app_id: string): Promise<ListedLink[]> {
    if ((await accounts.findApp(app_id)) === null) throw notFound("app");
    const found = await store.selectListedLinks(db, app_id, LIST_MAX);
    return found.map(({ hostname, ...row }) => presentListedLink(row, hostname, publicUrl()));
  }

  /** @param app_scope null for the operator; a link of another app does not exist */
  async function get(id_or_slug: string, app_scope: string | null): Promise<Link> {
    return presentLink(await findRow(id_or_slug, app_scope));
  }

  async function patch(id_or_slug: string, app_scope: string | null, changes: LinkPatch): Promise<Link> {
    const { id } = await findRow(id_or_slug, app_scope);
    const changed = await store.updateLink(db, id, { ...changes, updated_at: source.now() });
    if (changed === null) throw notFound("link");
    changed_at.set(id, changed.updated_at);
    forget(changed);
    return presentLink(changed);
  }

  async function remove(id_or_slug: string, app_scope: string | null): Promise<void> {
    const row = await findRow(id_or_slug, app_scope);
    await store.deleteLink(db, row, source.now());
    forget(row);
  }

  async function findRow(id_or_slug: string, app_scope: string | null): Promise<LinkRow> {
    const row = SLUG_PATTERN.test(id_or_slug) ? (await store.selectLinks(db, [id_or_slug])).get(id_or_slug) : undefined;
    if (row === undefined || (app_scope !== null && row.app_id !== app_scope)) throw notFound("link");
    return row;
  }

  function forget(link: LinkRow): void {
    links.forget(link.id);
    links.forget(link.slug);
  }

  /** True for the hosts on which the links of every app answer. */
  function isOwnHost(hostname: string): boolean {
    return hostname === "localhost" || isBareIp(hostname) || hostname === ownHostname();
  }

  let own = { url: "", hostname: "" };
  function ownHostname(): string {
    const url = publicUrl();
    if (own.url !== url) own = { url, hostname: URL.parse(url)?.hostname ?? "" };
    return own.hostname;
  }

  /**
   * The link that answers at `origin`/`slug`; null when there is none, or it is switched off.
   * @param slug a slug or a link id
   * @throws DatabaseError "unavailable" when it is not remembered and cannot be read
   */
  function resolve(origin: string, slug: string): PreparedLink | null | Promise<PreparedLink | null> {
    if (!SLUG_PATTERN.test(slug)) return null;
    const key = `${origin}/${slug}`;
    const known = prepared.get(key) ?? null;
    if (known !== null && isCurrent(known, slug)) return enabled(known);
    if (known === null) return read(origin, slug);
    const is_old = known.row.updated_at < (changed_at.get(known.row.id) ?? 0);
    return readInTime(known, read(origin, slug), is_old ? null : STALE_WAIT_MS);
  }

  /** True when nothing that the prepared link was made of has been read anew, changed or forgotten since. */
  function isCurrent({ row, app, hostname, scope }: PreparedLink, slug: string): boolean {
    if (links.peek(slug) !== row || accounts.peekApp(row.app_id) !== app) return false;
    return scope === "every_app" || accounts.peekDomain(hostname)?.app_id === row.app_id;
  }

  async function read(origin: string, slug: string): Promise<PreparedLink | null> {
    const link = await find(origin, slug);
    const key = `${origin}/${slug}`;
    if (link !== null || prepared.get(key) !== undefined) prepared.set(key, link);
    return enabled(link);
  }

  async function find(origin: string, slug: string): Promise<PreparedLink | null> {
    const hostname = hostWithoutPort(origin.slice(origin.indexOf("://") + 3));
    if (hostname === null) return null;
    const scope = isOwnHost(hostname) ? "every_app" : "one_app";
    const domain = scope === "one_app" ? await accounts.findDomain(hostname) : null;
    if (scope === "one_app" && domain === null) return null;
    const row = await links.find(slug);
    if (row === null || (domain !== null && domain.app_id !== row.app_id)) return null;
    const app = await accounts.findApp(row.app_id);
    if (app === null) return null;
    const targets = prepareTargets(row, app);
    const own_hosts = await ownHosts(webHosts(targets), row.app_id);
    return prepareLink({ row, app, targets }, { origin, hostname, scope }, own_hosts);
  }

  /** What `/?path=…` leads to on an app's host: the app's own addresses. Null where the host belongs to no app. */
  async function resolveRoot(origin: string): Promise<PreparedLink | null> {
    const hostname = hostWithoutPort(origin.slice(origin.indexOf("://") + 3));
    if (hostname === null || isOwnHost(hostname)) return null;
    const domain = await accounts.findDomain(hostname);
    const app = domain === null ? null : await accounts.findApp(domain.app_id);
    if (app === null) return null;
    const row = rootRow(app.id);
    const targets = prepareTargets(row, app);
    const own_hosts = await ownHosts(webHosts(targets), app.id);
    return prepareLink({ row, app, targets }, { origin, hostname, scope: "one_app" }, own_hosts);
  }

  async function ownHosts(hosts: readonly string[], app_id: string): Promise<string[]> {
    const domains = await Promise.all(hosts.map((host) => accounts.findDomain(host)));
    return hosts.filter((_, index) => domains[index]?.app_id === app_id);
  }

  /** The canonical address of a link: on its domain, else on the server's own host. */
  async function addressOf(link: LinkRow): Promise<string> {
    const hostname = link.domain_id === null ? null : await store.selectHostname(db, link.domain_id);
    return `${linkOrigin(hostname, publicUrl())}/${link.slug}`;
  }

  return { create, list, get, patch, remove, resolve, resolveRoot, addressOf, isOwnHost, findLink: links.find };
}

/** The fresh read, unless it fails or takes longer than a visitor should wait, if at all: then what was known before. */
async function readInTime(
  known: PreparedLink,
  fresh: Promise<PreparedLink | null>,
  wait_max_ms: number | null,
): Promise<PreparedLink | null> {
  const before = enabled(known);
  const current = fresh.catch((error: unknown) => {
    if (isDatabaseError(error, "unavailable")) return before;
    throw error;
  });
  if (wait_max_ms === null) return current;
  const late = Promise.withResolvers<PreparedLink | null>();
  const timer = setTimeout(late.resolve, wait_max_ms, before);
  try {
    return await Promise.race([current, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function enabled(link: PreparedLink | null): PreparedLink | null {
  return link?.row.enabled === 1 ? link : null;
}

/** Neither an address of the server nor the text of a link id, which would shadow that link. */
function isFreeText(slug: string): boolean {
  return !LINK_ID_PATTERN.test(slug) && !(RESERVED_SLUGS as readonly string[]).includes(slug);
}

function randomSlug(source: IdSource): string {
  const bytes = new Uint8Array(SLUG_CHARS);
  source.random(bytes);
  return Array.from(bytes, (byte) => SLUG_ALPHABET[byte % SLUG_ALPHABET.length]).join("");
}
