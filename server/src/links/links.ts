// Links: making, reading and changing them, and finding the one that a visitor opened. Called by the API and by the edge.
// A link that was read is remembered for LINK_TTL_MS; a change made by this process holds at once. When the database does
// not answer, a link that is remembered goes on being served: a slow database never stops a redirect.
import type { App, Domain } from "#contract/apps.ts";
import { SLUG_PATTERN } from "#contract/links.ts";
import { createLookup } from "../accounts/lookup.ts";
import { createBoundedMap } from "../platform/bounded-map.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { IdSource, Ids } from "../platform/ids.ts";
import {
  charsOf,
  type KnownLink,
  type LinkRow,
  linkOrigin,
  type PreparedLink,
  prepareLink,
  prepareTargets,
  rootRow,
  webHosts,
} from "./link.ts";
import { createListing } from "./listing.ts";
import { createPresets } from "./presets.ts";
import * as store from "./store.ts";
import { hostWithoutPort, isBareIp } from "./target.ts";
import { createWriting } from "./writing.ts";

/** How long a change made by another process may stay unseen. */
const LINK_TTL_MS = 1_000;
const LINKS_MAX = 10_000;
/** A link of ordinary size has a tenth of this text; of the largest, LINKS_MAX would be half a gigabyte. */
const KEPT_MAX_CHARS = 5_000;
const HOSTNAMES_MAX = 1_000;
/** How long a visitor waits for a fresh read when an older one is at hand. */
const STALE_WAIT_MS = 20;

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
  /** How many links an app may have. */
  links_max: number;
}

export type Links = ReturnType<typeof createLinks>;

export function createLinks({ db, ids, source, accounts, publicUrl, links_max }: LinksOptions) {
  const links = createLookup<KnownLink>({
    load: (keys) => store.selectLinks(db, keys),
    now: source.now,
    ttl_ms: LINK_TTL_MS,
    max_entries: LINKS_MAX,
    is_swept: true,
    isKept: (link) => charsOf(link) <= KEPT_MAX_CHARS,
  });
  /** By the id of the domain; every claim tells its link's address. */
  const hostnames = createLookup<string>({
    load: (domain_ids) => store.selectHostnames(db, domain_ids),
    now: source.now,
    ttl_ms: LINK_TTL_MS,
    max_entries: HOSTNAMES_MAX,
  });
  /** By origin and slug; older than LINK_TTL_MS they serve while the database does not answer. */
  const prepared = createBoundedMap<PreparedLink | null>(LINKS_MAX);
  /** When this process last changed a link or a preset, by its id: what was known before is not served while the database is slow. */
  const changed_at = createBoundedMap<number>(LINKS_MAX);

  const writing = createWriting({
    ...{ db, ids, source, links_max, publicUrl },
    changed(link, updated_at) {
      links.forget(link.id);
      links.forget(link.slug);
      if (updated_at !== null) changed_at.set(link.id, updated_at);
    },
  });

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
    return readInTime(known, read(origin, slug), isOld(known.row) ? null : STALE_WAIT_MS);
  }

  function isOld(row: KnownLink): boolean {
    if (row.updated_at < (changed_at.get(row.id) ?? 0)) return true;
    return (row.preset_updated_at ?? 0) < (changed_at.get(row.utm_preset_id ?? "") ?? 0);
  }

  /** True when nothing that the prepared link was made of has been read anew, changed or forgotten since. */
  function isCurrent({ row, app, hostname, scope }: PreparedLink, slug: string): boolean {
    if (links.peek(slug) !== row || accounts.peekApp(row.app_id) !== app) return false;
    return scope === "every_app" || accounts.peekDomain(hostname)?.app_id === row.app_id;
  }

  async function read(origin: string, slug: string): Promise<PreparedLink | null> {
    const link = await find(origin, slug);
    const key = `${origin}/${slug}`;
    // One whose row is not remembered would never be current.
    const is_remembered = link !== null && links.peek(slug) === link.row;
    if (is_remembered || prepared.get(key) !== undefined) prepared.set(key, link);
    return enabled(link);
  }

  async function find(origin: string, slug: string): Promise<PreparedLink | null> {
    const hostname = hostWithoutPort(origin.slice(origin.indexOf("://") + 3));
    if (hostname === null) return null;
    const scope = isOwnHost(hostname) ? "every_app" : "one_app";
    const domain =
      scope === "one_app" ? (accounts.peekDomain(hostname) ?? (await accounts.findDomain(hostname))) : null;
    if (scope === "one_app" && domain === null) return null;
    const row = await links.find(slug);
    if (row === null || (domain !== null && domain.app_id !== row.app_id)) return null;
    // Most links are of few apps: of these nothing is waited for.
    const app = accounts.peekApp(row.app_id) ?? (await accounts.findApp(row.app_id));
    if (app === null) return null;
    const targets = prepareTargets(row, app);
    const hosts = webHosts(targets);
    const own_hosts = peekOwnHosts(hosts, row.app_id) ?? (await ownHosts(hosts, row.app_id));
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

  /** Undefined where one of the hosts has to be looked up. */
  function peekOwnHosts(hosts: readonly string[], app_id: string): string[] | undefined {
    const own: string[] = [];
    for (const host of hosts) {
      const domain = accounts.peekDomain(host);
      if (domain === undefined) return undefined;
      if (domain?.app_id === app_id) own.push(host);
    }
    return own;
  }

  async function ownHosts(hosts: readonly string[], app_id: string): Promise<string[]> {
    const domains = await Promise.all(hosts.map((host) => accounts.findDomain(host)));
    return hosts.filter((_, index) => domains[index]?.app_id === app_id);
  }

  /** The canonical address of a link: on its domain, else on the server's own host. */
  async function addressOf(link: LinkRow): Promise<string> {
    const hostname = link.domain_id === null ? null : await hostnames.find(link.domain_id);
    return `${linkOrigin(hostname, publicUrl())}/${link.slug}`;
  }

  const presets = createPresets({
    ...{ db, ids, source },
    changed(preset_id, updated_at) {
      // Which links use it is not known here.
      links.clear();
      changed_at.set(preset_id, updated_at);
    },
  });
  const listing = createListing({ db, accounts, now: source.now, publicUrl });
  return { ...writing, ...listing, ...presets, resolve, resolveRoot, addressOf, isOwnHost, findLink: links.find };
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
