// A link as it is stored, as LinkMe's API shows it, and as the redirect uses it: prepared once, when it is loaded.
// Pure; called by links.ts, routing.ts and claims/.
import type { App } from "#contract/apps.ts";
import type { Platform } from "#contract/events.ts";
import type { LinkState } from "#contract/link-lists.ts";
import type { Link, ListedLink, UtmKey } from "#contract/links.ts";
import { timeText } from "../platform/time-text.ts";
import { EMPTY, type StringMap } from "./query.ts";
import { prepareTarget, type Target } from "./target.ts";

/** One row of `links`. */
export interface LinkRow {
  readonly id: string;
  readonly app_id: string;
  readonly slug: string;
  readonly domain_id: string | null;
  readonly deep_link_path: string | null;
  readonly deep_link_params: string | null;
  readonly ios_custom_url: string | null;
  readonly android_custom_url: string | null;
  readonly ios_store_url: string | null;
  readonly android_store_url: string | null;
  readonly web_fallback_url: string | null;
  readonly og_title: string | null;
  readonly og_description: string | null;
  readonly og_image_url: string | null;
  readonly utm: string | null;
  readonly utm_override: string | null;
  readonly utm_preset_id: string | null;
  readonly custom_data: string | null;
  readonly allow_param_passthrough: number;
  readonly force_redirect_web: number;
  readonly enabled: number;
  readonly internal: number;
  readonly click_count: number;
  /** Tokens that an app claimed which was installed after the click. */
  readonly install_count: number;
  readonly last_click_at: number | null;
  readonly created_at: number;
  readonly updated_at: number;
  /** JSON text of a list; null when there are none. */
  readonly tags: string | null;
  /** When the link ends, in milliseconds; null for never. */
  readonly expires_at: number | null;
  /** How many clicks it takes; null for any number. */
  readonly click_limit: number | null;
  /** Where visitors of an ended link go; null for a page that says so. */
  readonly expired_url: string | null;
}

/** With what it takes from its UTM preset: both are null where it has none. */
export interface KnownLink extends LinkRow {
  /** JSON text of an object. */
  readonly preset_utm: string | null;
  readonly preset_updated_at: number | null;
}

/** How much text it has. */
export function charsOf(row: LinkRow): number {
  let chars = 0;
  for (const value of Object.values(row)) if (typeof value === "string") chars += value.length;
  return chars;
}

export type LinkEnd = "expired" | "limit_reached";

/** Why a link leads nowhere any more; null while it does lead somewhere. */
export function endOf(row: Pick<LinkRow, "expires_at" | "click_limit" | "click_count">, now: number): LinkEnd | null {
  if (row.expires_at !== null && now >= row.expires_at) return "expired";
  return row.click_limit !== null && row.click_count >= row.click_limit ? "limit_reached" : null;
}

/** What a list says of a link: whether it leads on, and why not. */
export function stateOf(
  row: Pick<LinkRow, "enabled" | "expires_at" | "click_limit" | "click_count">,
  now: number,
): LinkState {
  return row.enabled === 1 ? (endOf(row, now) ?? "active") : "disabled";
}

/** A link ready for the hot path on one host: every address checked and taken apart. */
export interface PreparedLink extends Targets {
  readonly row: KnownLink;
  readonly app: App;
  /** Scheme and host under which it was opened, like `https://go.example.com`. */
  readonly origin: string;
  /** The host alone, without port. */
  readonly hostname: string;
  /** Whether the links of every app answer on this host, or of one alone. */
  readonly scope: "every_app" | "one_app";
  /** `https://<host>/<deep_link_path>`; opens the app where the system knows the host as the app's. */
  deepLink(): Target | null;
  /** The page with the app's store links, for a desktop without a web address; without a slug the visit is answered with it. */
  readonly landing: string;
  readonly force_web: boolean;
  readonly passthrough: boolean;
  readonly utm: StringMap;
  readonly override: Readonly<Partial<Record<UtmKey, boolean>>>;
  readonly params: StringMap;
  /** Hosts that may be given a token in an address: the app's own. */
  readonly own_hosts: readonly string[];
  /** What visits without a query of their own share; filled by routing.ts. */
  readonly plans: Partial<Record<Platform, Plan>>;
}

/** A choice of target with the token left out: the address is `before + cid + after`. */
export interface Plan {
  readonly before: string;
  readonly after: string;
  /** True when the address has a place for the token. */
  readonly takes_cid: boolean;
  /** The address for a visit that is not recorded. */
  withoutCid(): string;
  /** `deep_link` is an https address that the system opens in the app. */
  readonly kind: Target["kind"] | "deep_link" | "landing";
  readonly force_web: boolean;
  readonly utm: StringMap;
  readonly params: StringMap;
  /** Both as JSON text, made once; null when empty. */
  readonly utm_text: string | null;
  readonly params_text: string | null;
}

/** In place of the id of a stored link: visits of `/?path=…` belong to none. No slug and no id can read so. */
export const ROOT_LINK_ID = "/";

/** A link without a slug: nothing of its own, and what is asked for is passed through to the app's addresses. */
export function rootRow(app_id: string): KnownLink {
  const nothing = {
    ...{
      domain_id: null,
      deep_link_path: null,
      deep_link_params: null,
      ios_custom_url: null,
      android_custom_url: null,
    },
    ...{ ios_store_url: null, android_store_url: null, web_fallback_url: null },
    ...{ og_title: null, og_description: null, og_image_url: null, utm: null, utm_override: null, custom_data: null },
    ...{ utm_preset_id: null, preset_utm: null, preset_updated_at: null },
    ...{ tags: null, expires_at: null, click_limit: null, expired_url: null, last_click_at: null },
  };
  const flags = { allow_param_passthrough: 1, force_redirect_web: 0, enabled: 1, internal: 1 };
  return {
    ...nothing,
    ...flags,
    id: ROOT_LINK_ID,
    app_id,
    slug: "",
    click_count: 0,
    install_count: 0,
    created_at: 0,
    updated_at: 0,
  };
}

/** The addresses of a link that visitors can be sent to. */
export interface Targets {
  readonly custom: { readonly ios: Target | null; readonly android: Target | null };
  readonly store: { readonly ios: Target | null; readonly android: Target | null };
  readonly web: Target | null;
}

export function prepareTargets(row: LinkRow, app: App): Targets {
  const of_app = targetsOf(app);
  return {
    custom: { ios: prepareTarget(row.ios_custom_url), android: prepareTarget(row.android_custom_url) },
    store: {
      ios: prepareTarget(row.ios_store_url) ?? of_app.ios,
      android: prepareTarget(row.android_store_url) ?? of_app.android,
    },
    web: prepareTarget(row.web_fallback_url) ?? of_app.web,
  };
}

interface AppTargets {
  readonly ios: Target | null;
  readonly android: Target | null;
  readonly web: Target | null;
}

/** All links of an app share them. An app that is changed is another value. */
const TARGETS_OF_APPS = new WeakMap<App, AppTargets>();

function targetsOf(app: App): AppTargets {
  const known = TARGETS_OF_APPS.get(app);
  if (known !== undefined) return known;
  const { ios_store_url, android_store_url, web_fallback_url } = app;
  const targets = {
    ios: prepareTarget(ios_store_url),
    android: prepareTarget(android_store_url),
    web: prepareTarget(web_fallback_url),
  };
  TARGETS_OF_APPS.set(app, targets);
  return targets;
}

/** Hosts of a link's web addresses: of these it has to be known which are the app's own. */
export function webHosts({ custom, store, web }: Targets): string[] {
  const hosts: string[] = [];
  for (const target of [custom.ios, custom.android, store.ios, store.android, web]) {
    if (target === null || target.kind !== "web" || target.host === null) continue;
    if (!hosts.includes(target.host)) hosts.push(target.host);
  }
  return hosts;
}

/** Where a link was opened. */
export type Place = Pick<PreparedLink, "origin" | "hostname" | "scope">;

/**
 * @param own_hosts those of `webHosts` that are registered for the app
 */
export function prepareLink(
  stored: { row: KnownLink; app: App; targets: Targets },
  place: Place,
  own_hosts: readonly string[],
): PreparedLink {
  const { row, app, targets } = stored;
  const host = place.origin.slice(place.origin.indexOf("://") + 3);
  let deep_link: Target | null | undefined;
  return {
    ...targets,
    ...place,
    row,
    app,
    // Taken apart when it is asked for: most visits are decided by another address. No getter, for V8 gives each object
    // that has one a shape of its own, which outlives it: measured, half of what each redirect of another link left behind.
    deepLink() {
      deep_link ??= prepareTarget(deepLinkAddress(row, host));
      return deep_link;
    },
    landing: row.id === ROOT_LINK_ID ? `${place.origin}/` : `${place.origin}/d/${row.slug}`,
    force_web: row.force_redirect_web === 1 && targets.web !== null,
    passthrough: row.allow_param_passthrough === 1,
    utm: withPreset(parseMap(row.utm), row.preset_utm),
    override: parseFlags(row.utm_override),
    params: parseMap(row.deep_link_params),
    own_hosts: own_hosts.includes(place.hostname) ? own_hosts : [...own_hosts, place.hostname],
    plans: {},
  };
}

/** The link's own values win. */
function withPreset(own: StringMap, preset_utm: string | null): StringMap {
  return preset_utm === null ? own : { ...parseMap(preset_utm), ...own };
}

/** Null also where the path is the link itself: that would send the visitor in a circle. */
function deepLinkAddress(row: LinkRow, host: string): string | null {
  const path = row.deep_link_path?.replace(/^\/+/, "") ?? "";
  const segment = /^[^/?#]*/.exec(path)?.[0] ?? "";
  if (path === "" || segment === row.slug || segment === row.id) return null;
  // Always https: Universal Links and App Links exist on nothing else.
  return `https://${host}/${path}`;
}

/** JSON text of an object as a map of strings; null values, and what is no object, are left out. */
export function parseMap(json: string | null): StringMap {
  const parsed = parseObject(json);
  if (parsed === null) return EMPTY;
  const map: Record<string, string> = {};
  for (const [key, value] of Object.entries(parsed)) {
    if (value === null || value === "" || key === "__proto__") continue;
    map[key.toWellFormed()] = (typeof value === "string" ? value : JSON.stringify(value)).toWellFormed();
  }
  return map;
}

function parseFlags(json: string | null): Partial<Record<UtmKey, boolean>> {
  const flags: Record<string, boolean> = {};
  for (const [key, value] of Object.entries(parseObject(json) ?? {})) flags[key] = value === true || value === 1;
  return flags;
}

function parseObject(json: string | null): Record<string, unknown> | null {
  if (json === null || json === "") return null;
  try {
    const value: unknown = JSON.parse(json);
    // An object that is not null has string keys.
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    // Nothing writes such a row; should there be one, it counts as none rather than stopping a redirect.
    return null;
  }
}

/** The link as `GET /api/links/{id}` answers it. */
export function presentLink(row: LinkRow): Link {
  return {
    id: row.id,
    app_id: row.app_id,
    slug: row.slug,
    domain_id: row.domain_id,
    deep_link_path: row.deep_link_path,
    deep_link_params: row.deep_link_params,
    ios_custom_url: row.ios_custom_url,
    android_custom_url: row.android_custom_url,
    ios_store_url: row.ios_store_url,
    android_store_url: row.android_store_url,
    web_fallback_url: row.web_fallback_url,
    og_title: row.og_title,
    og_description: row.og_description,
    og_image_url: row.og_image_url,
    utm: row.utm,
    utm_override: row.utm_override,
    utm_preset_id: row.utm_preset_id,
    custom_data: row.custom_data,
    allow_param_passthrough: flag(row.allow_param_passthrough),
    force_redirect_web: flag(row.force_redirect_web),
    enabled: flag(row.enabled),
    tags: readTags(row.tags),
    expires_at: timeText(row.expires_at),
    click_limit: row.click_limit,
    expired_url: row.expired_url,
    internal: flag(row.internal),
    click_count: row.click_count,
    install_count: row.install_count,
    last_click_at: timeText(row.last_click_at),
    created_at: timeText(row.created_at),
  };
}

/** The link as the list answers it. @param hostname of the link's domain, null for the server's own host */
export function presentListedLink(row: LinkRow, hostname: string | null, public_url: string): ListedLink {
  const origin = linkOrigin(hostname, public_url);
  return {
    ...presentLink(row),
    hostname,
    idUrl: `${origin}/${row.id}`,
    slugUrl: `${origin}/${row.slug}`,
    clicks: row.click_count,
    installs: row.install_count,
  };
}

/** Where a link is printed to live: its domain, else the server's own address. */
export function linkOrigin(hostname: string | null, public_url: string): string {
  return hostname === null ? public_url.replace(/\/+$/, "") : `https://${hostname}`;
}

export function readTags(tags: string | null): string[] {
  // Written by input.ts from a list of this type.
  return tags === null ? [] : (JSON.parse(tags) as string[]);
}

function flag(value: number): 0 | 1 {
  return value === 1 ? 1 : 0;
}
