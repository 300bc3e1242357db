// A click: its row, which is its token too, and its two events. Pure; called by redirect.ts for every recorded visit.
// Members of an event's `data` that are not known are absent, never null.
import type { ClaimType, EventData, GoogleIds } from "#contract/events.ts";
import type { Visit as CountedVisit } from "../analytics/visit.ts";
import type { EventRow, NewEvent } from "../events/event.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { Plan, PreparedLink } from "./link.ts";
import { type Way, withCid } from "./routing.ts";
import type { Visitor } from "./visitor.ts";

/** How long a token can be claimed with certainty, by its cid. */
const TOKEN_LIFETIME_MS = 30 * 24 * 3600 * 1000;

/** One row of `clicks`, as it is inserted. */
export interface ClickRow {
  readonly cid: string;
  readonly app_id: string;
  readonly link_id: string;
  readonly platform: string;
  readonly dest_url: string;
  readonly utm: string | null;
  readonly params: string | null;
  readonly os_version: string | null;
  readonly locale: string | null;
  readonly ip_hash: string | null;
  readonly ua_hash: string | null;
  /** GoogleIds as JSON text; absent from clicks that an older version has spooled. */
  readonly ga?: string | null;
  readonly created_at: number;
  readonly expires_at: number;
}

/** What is stored of one visit, all or nothing. Plain data: the spool keeps it as JSON. */
export interface Click {
  readonly row: ClickRow;
  /** What it is counted by beside its platform; absent from clicks that an older version has spooled. */
  readonly values?: CountedVisit["values"];
  /** Its link has a click limit; absent where it has none, and from clicks that an older version has spooled. */
  readonly is_limited?: true;
  readonly events: readonly EventRow[];
}

export interface Visit {
  readonly link: PreparedLink;
  readonly visitor: Visitor;
  readonly chosen: Plan;
  readonly way: Way;
  readonly fingerprint: Fingerprint;
  readonly cid: string;
  readonly now: number;
  readonly country: string | null;
  /** Null without the app's consent setting. */
  readonly ga: GoogleIds | null;
  /** Writes when the token expires. */
  expiryText(at_ms: number): string;
}

export function newClick(visit: Visit, compose: (event: NewEvent) => EventRow): Click {
  const { link, visitor, chosen, fingerprint, cid, now } = visit;
  const { app_id, id: link_id } = link.row;
  const dest_url = withCid(chosen, cid);
  const expires_at = now + TOKEN_LIFETIME_MS;
  const row: ClickRow = {
    cid,
    app_id,
    link_id,
    platform: visitor.platform,
    dest_url,
    utm: chosen.utm_text,
    params: chosen.params_text,
    os_version: visitor.os_version,
    locale: visitor.locale,
    ip_hash: fingerprint.ip_hash,
    ua_hash: fingerprint.ua_hash,
    ga: visit.ga === null ? null : JSON.stringify(visit.ga),
    created_at: now,
    expires_at,
  };
  const click = compose({ app_id, event: "link.click", link_id, ts: now, data: clickData(visit, dest_url) });
  const token = compose({
    app_id,
    event: "link.token_created",
    link_id,
    ts: now,
    data: tokenData(visit, dest_url, expires_at),
  });
  const limited = link.row.click_limit === null ? {} : { is_limited: true as const };
  return { row, values: valuesOf(visit), ...limited, events: [click, token] };
}

function valuesOf({ visitor, chosen: { utm }, country }: Visit): CountedVisit["values"] {
  const { os, browser, referrer } = visitor;
  const { utm_source, utm_medium, utm_campaign } = utm;
  return { os, browser, country, referrer, utm_source, utm_medium, utm_campaign };
}

/** How it is counted. */
export function countedVisit({ row, values = {} }: Click): CountedVisit {
  const { app_id, link_id, created_at, platform } = row;
  return { app_id, link_id, at: created_at, values: { ...values, platform } };
}

type Surroundings = Pick<EventData["link.click"], "os" | "os_version" | "language" | "device_category" | "country">;

function clickData({ link, visitor, chosen, cid, ga, country }: Visit, dest_url: string): Record<string, unknown> {
  const data: EventData["link.click"] = {
    link_id: link.row.id,
    platform: visitor.platform,
    dest_url,
    ...slugOf(link),
    hostname: link.hostname,
    cid,
  };
  if (chosen.utm_text !== null) data.utm = chosen.utm;
  if (chosen.params_text !== null) data.params = chosen.params;
  if (visitor.referrer !== null) data.referrer = visitor.referrer;
  if (chosen.force_web) data.force_web = true;
  if (ga !== null) data.ga = ga;
  if (link.app.analytics_consent) Object.assign(data, surroundings(visitor, country));
  return data;
}

/** What tells nothing of who it is, but of whom there are: with consent alone. */
function surroundings({ os, os_version, locale, platform, user_agent }: Visitor, country: string | null): Surroundings {
  const is_tablet = /\biPad\b/.test(user_agent) || (platform === "android" && !/\bMobile\b/.test(user_agent));
  const device_category = is_tablet ? "tablet" : platform === "web" ? "desktop" : "mobile";
  return {
    ...(os !== null && { os }),
    ...(os_version !== null && { os_version }),
    ...(locale !== null && { language: locale }),
    device_category,
    ...(country !== null && { country }),
  };
}

function tokenData(visit: Visit, dest_url: string, expires_at: number): Record<string, unknown> {
  const { link, visitor, cid, ga, country } = visit;
  const data: EventData["link.token_created"] = {
    link_id: link.row.id,
    platform: visitor.platform,
    cid,
    dest_url,
    ...slugOf(link),
    expires_at: visit.expiryText(expires_at),
    methods: claimMethods(visit),
  };
  if (ga !== null) data.ga = ga;
  if (link.app.analytics_consent) Object.assign(data, surroundings(visitor, country));
  return data;
}

/** Absent where a visit needs none. */
function slugOf({ row }: PreparedLink): { slug?: string } {
  return row.slug === "" ? {} : { slug: row.slug };
}

/** The ways in which this token can come back. */
function claimMethods({ link, visitor, chosen, way, fingerprint }: Visit): ClaimType[] {
  const methods: ClaimType[] = [];
  const beside = way === "open_page" && visitor.platform !== "web" ? link.store[visitor.platform]?.kind : null;
  if (chosen.kind !== "play" && chosen.takes_cid) methods.push("direct");
  if (chosen.kind === "play" || beside === "play") methods.push("install_referrer");
  if (way === "pasteboard" || (beside === "app_store" && link.app.ios_enable_pasteboard)) methods.push("pasteboard");
  if (fingerprint.ip_hash !== null) methods.push("fingerprint");
  return methods;
}
