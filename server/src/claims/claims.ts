// Claims: an installed app asks which click brought it, by token, by the Play Install Referrer or by its network. Called
// by the API with the app already known. A token is claimed once, with its event, in one transaction
// before the answer; asked for again it is answered as a duplicate, and matching without a token never gives it out again.
import type { App, Domain } from "#contract/apps.ts";
import type { ATTEMPT_REASONS, ClaimType, EventData, Platform } from "#contract/events.ts";
import type { LinkPayload } from "#contract/links.ts";
import { AppError, invalid, notFound, refuse, unavailable } from "../errors.ts";
import type { EventRow, NewEvent } from "../events/event.ts";
import type { Fingerprint, Fingerprints } from "../links/fingerprint.ts";
import { type LinkRow, type PreparedLink, parseMap, ROOT_LINK_ID } from "../links/link.ts";
import { isEmpty } from "../links/query.ts";
import { chooseTarget } from "../links/routing.ts";
import { hostWithoutPort } from "../links/target.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { Statement } from "../platform/sql.ts";
import { timeText } from "../platform/time-text.ts";
import type { AppEventBody } from "./app-event.ts";
import { type Device, platformOf } from "./device.ts";
import { type Ambiguity, ambiguityOf, rankCandidates } from "./matching.ts";
import { composePassThrough, composePayload, rootLinkOf } from "./payload.ts";
import { findCid, readCid } from "./referrer.ts";
import * as store from "./store.ts";

const RETRY_AFTER_SECONDS = 1;

/** Who asks, apart from the app that it belongs to. */
export interface Asking {
  readonly ip: string;
  readonly user_agent: string;
  readonly device: Device;
  /** As the body states it; not checked yet. */
  readonly platform?: unknown;
}

/** The part of the event log that claims use: the guard and the events of an item, all or nothing. */
export interface ClaimLog {
  channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose: (items: readonly Item[]) => { statements: Statement[] },
  ): (item: Item) => Promise<unknown>;
}

export interface ClaimsOptions {
  db: Database;
  log: ClaimLog;
  links: {
    findLink(id: string): Promise<LinkRow | null>;
    addressOf(link: LinkRow): Promise<string>;
    isOwnHost(hostname: string): boolean;
    resolve(origin: string, slug: string): PreparedLink | null | Promise<PreparedLink | null>;
  };
  accounts: {
    findApp(id: string): Promise<App | null>;
    findDomain(hostname: string): Promise<Domain | null>;
  };
  fingerprints: Fingerprints;
  compose(event: NewEvent): EventRow;
  now(): number;
  /** Told what an operator may want to know; ids and numbers alone. */
  note?(note: ClaimNote): void;
}

/** Clicks of several links fitted a claim without a token, and the best of them was tried first. */
export interface ClaimNote extends Ambiguity {
  readonly event: "claim.ambiguous";
  readonly app_id: string;
}

/** What an address leads to; no app on the server's own host, where any might be meant. */
export interface Resolved {
  readonly app: App | null;
  readonly payload: LinkPayload;
}

interface Item {
  readonly guard: Statement | null;
  readonly events: readonly EventRow[];
}

type Reason = (typeof ATTEMPT_REASONS)[number];

export type Claims = ReturnType<typeof createClaims>;

export function createClaims(options: ClaimsOptions) {
  const { db, log, links, accounts, fingerprints, compose, now, note = () => {} } = options;
  const submit = log.channel<Item>(
    ({ events }) => events,
    (items) => ({ statements: items.flatMap(({ guard }) => (guard === null ? [] : [guard])) }),
  );

  /**
   * The app of a caller that does not name it: by bundle id or package name, else by host, else the only one there is.
   * @throws AppError invalid_request
   */
  async function findCallerApp(bundle_id: string | null, host: string): Promise<App> {
    const app = await guessApp(bundle_id, host);
    if (app === null) throw invalid("x-app-id", "the id of your app in this header: nothing else says which app calls");
    return app;
  }

  async function guessApp(bundle_id: string | null, host: string): Promise<App | null> {
    const by_bundle = bundle_id ? await store.selectAppsByBundle(db, bundle_id) : [];
    const hostname = hostWithoutPort(host);
    const by_host = by_bundle.length === 1 || hostname === null ? null : await accounts.findDomain(hostname);
    const first = by_bundle.length === 1 || by_host !== null ? by_bundle : await store.selectFirstApps(db);
    const id = by_host?.app_id ?? (first.length === 1 ? first[0]?.id : undefined);
    return id === undefined ? null : accounts.findApp(id);
  }

  /** The app of a token, for a caller that names no other. @throws AppError invalid_request, not_found */
  async function findTokenApp(cid: string | undefined): Promise<App> {
    const app = await appOfClick(demandCid(cid));
    if (app === null) throw notFound("click token");
    return app;
  }

  /** The app of the token in a referrer, likewise, else one that matches without. @throws AppError no_match, not_found */
  async function findReferrerApp(referrer: string, host: string): Promise<App> {
    const token = findCid(referrer);
    const app = token === null ? null : await appOfClick(token);
    if (app !== null) return app;
    const guessed = await guessApp(null, host);
    if (guessed?.match_install_referrer) return guessed;
    throw token === null ? noMatch() : notFound("click token");
  }

  async function appOfClick(cid: string): Promise<App | null> {
    const click = await store.selectClick(db, cid);
    return click === null ? null : accounts.findApp(click.app_id);
  }

  /** The app whose click, else whose link, an app event names; null when it names none that is known. */
  async function findEventApp(body: AppEventBody): Promise<App | null> {
    const cid = readCid(body.cid);
    const click = cid === null ? null : await store.selectClick(db, cid);
    const named = click ?? (body.linkId ? await links.findLink(body.linkId) : null);
    return named === null ? null : accounts.findApp(named.app_id);
  }

  /** `GET /api/deeplink`. @throws AppError invalid_request, not_found, expired */
  async function claimToken(app: App, cid: string | undefined, asking: Asking): Promise<LinkPayload> {
    return claimByCid(app, demandCid(cid), "direct", asking);
  }

  /** `POST /api/install-referrer`. @throws AppError no_match, not_found, expired */
  async function claimReferrer(app: App, referrer: string, asking: Asking): Promise<LinkPayload> {
    const token = findCid(referrer);
    const on_android = { ...asking, platform: "android" };
    try {
      if (token === null) throw noMatch();
      return await claimByCid(app, token, "install_referrer", on_android);
    } catch (error) {
      if (!app.match_install_referrer || !isMiss(error)) throw error;
      return claimDeferred(app, null, on_android);
    }
  }

  async function claimByCid(app: App, cid: string, claim_type: ClaimType, asking: Asking): Promise<LinkPayload> {
    const stored = await store.selectClick(db, cid);
    if (stored === null || stored.app_id !== app.id) throw notFound("click token");
    const at = now();
    if (at >= stored.expires_at) throw refuse("expired", "This click token is too old to be claimed.");
    const opened = await openedBy(stored);
    if (opened === null) throw notFound("link");
    const { link, click } = opened;
    const platform = statedPlatform(asking) ?? clickPlatform(click.platform);
    const event = claimEvent({ click, link, platform, claim_type, at });
    const is_first = click.claimed_at === null && (await claimOnce(click.cid, claim_type, at, [event]));
    return payloadOf(app, link, click, !is_first);
  }

  /** `POST /api/deferred/claim`. @throws AppError no_match */
  async function claimDeferred(app: App, bundle_id: string | null, asking: Asking): Promise<LinkPayload> {
    const at = now();
    const platform = platformOf(asking.platform, asking.device, asking.user_agent);
    const attempt = { app_id: app.id, platform, bundle_id, at };
    const { window, prints } = matchWindow(app, asking, at);
    if (window !== null) {
      const claimant = { ...asking, platform, fingerprints: prints };
      const candidates = rankCandidates(await store.selectCandidates(db, window), claimant);
      const ambiguity = ambiguityOf(candidates);
      if (ambiguity !== null) note({ event: "claim.ambiguous", app_id: app.id, ...ambiguity });
      for (const candidate of candidates) {
        const opened = await openedBy(candidate);
        if (opened === null) continue;
        const { link, click } = opened;
        const events = [
          attemptEvent(attempt, "matched", click),
          claimEvent({ click, link, platform, claim_type: "fingerprint", at }),
        ];
        // When somebody else was faster, the next best click is tried.
        if (await claimOnce(click.cid, "fingerprint", at, events)) return payloadOf(app, link, click, false);
      }
    }
    const reason = window === null ? "no_match" : explainMiss(await store.selectNearMiss(db, window), window.since);
    await append(attemptEvent(attempt, reason, null));
    throw noMatch();
  }

  /** Null when the link is gone. */
  async function openedBy(click: store.ClaimableClick): Promise<{ link: LinkRow; click: store.ClaimableClick } | null> {
    if (click.link_id === ROOT_LINK_ID) return rootLinkOf(click);
    const link = await links.findLink(click.link_id);
    return link === null ? null : { link, click };
  }

  /** Null when the caller's address is not known: nothing can match then. */
  function matchWindow(app: App, asking: Asking, at: number): { window: store.Window | null; prints: Fingerprint[] } {
    const since = at - app.match_window_seconds * 1_000;
    const prints = fingerprints.between(asking.ip, asking.device.user_agent ?? asking.user_agent, since, at);
    const ip_hashes = prints.flatMap(({ ip_hash }) => (ip_hash === null ? [] : [ip_hash]));
    return { window: ip_hashes.length === 0 ? null : { app_id: app.id, ip_hashes, since, now: at }, prints };
  }

  /** False when the token has been claimed meanwhile. */
  async function claimOnce(cid: string, claim_type: ClaimType, at: number, events: EventRow[]): Promise<boolean> {
    try {
      await submit({ guard: store.claimClick(cid, claim_type, at), events });
      return true;
    } catch (error) {
      if (!isDatabaseError(error, "unmet")) throw error;
      const click = await store.selectClick(db, cid);
      if (click === null || click.claimed_at !== null) return false;
      throw notNow();
    }
  }

  async function append(event: EventRow): Promise<void> {
    await submit({ guard: null, events: [event] }).catch((error: unknown) => {
      throw isDatabaseError(error, "unmet") ? notNow() : error;
    });
  }

  function claimEvent(claim: {
    click: store.ClaimableClick;
    link: LinkRow;
    platform: Platform;
    claim_type: ClaimType;
    at: number;
  }): EventRow {
    const { click, link, platform, claim_type, at } = claim;
    const data: EventData["link.claim"] = {
      link_id: click.link_id,
      platform,
      cid: click.cid,
      claim_type,
      duplicate: false,
      claimed_at: timeText(at),
      clicked_at: timeText(click.created_at),
    };
    if (link.deep_link_path) data.path = link.deep_link_path;
    const params = parseMap(click.params);
    const utm = parseMap(click.utm);
    if (!isEmpty(params)) data.params = params;
    if (!isEmpty(utm)) data.utm = utm;
    return compose({ app_id: click.app_id, event: "link.claim", link_id: click.link_id, ts: at, data });
  }

  function attemptEvent(
    attempt: { app_id: string; platform: Platform; bundle_id: string | null; at: number },
    reason: Reason,
    click: { link_id: string; cid: string } | null,
  ): EventRow {
    const { app_id, platform, bundle_id, at } = attempt;
    const matched = click !== null;
    const data: EventData["link.deferred_claim_attempt"] = { platform, matched, method: "fingerprint", reason };
    if (click !== null) Object.assign(data, { link_id: click.link_id, cid: click.cid });
    if (bundle_id) data.bundle_id = bundle_id;
    const event = { app_id, event: "link.deferred_claim_attempt", ts: at, data } as const;
    return compose(click === null ? event : { ...event, link_id: click.link_id });
  }

  async function payloadOf(
    app: App,
    link: LinkRow,
    click: store.ClaimableClick,
    duplicate: boolean,
  ): Promise<LinkPayload> {
    return composePayload({
      link,
      url: link.id === ROOT_LINK_ID ? null : await links.addressOf(link),
      web_fallback_url: link.web_fallback_url ?? app.web_fallback_url,
      utm: parseMap(click.utm),
      params: parseMap(click.params),
      token: { cid: click.cid, duplicate },
    });
  }

  /**
   * `POST /api/deeplink/resolve-url`. It is no click, and claims nothing. Answers whose app was opened, too.
   * @param admit throws for an app that this caller may not ask about
   */
  async function resolveUrl(caller: App | null, text: string, admit: (app: App) => void): Promise<Resolved> {
    const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
    if (url === null) throw invalid("url", "an absolute http or https URL");
    const domain = links.isOwnHost(url.hostname) ? null : await accounts.findDomain(url.hostname);
    if (domain === null && !links.isOwnHost(url.hostname)) throw foreignHost(url.hostname);
    if (domain !== null && caller !== null && domain.app_id !== caller.id) throw foreignHost(url.hostname);
    const link = await links.resolve(url.origin, url.pathname.slice(1));
    if (link === null || (caller !== null && link.row.app_id !== caller.id)) {
      const app = domain === null ? null : await accounts.findApp(domain.app_id);
      if (app !== null) admit(app);
      return { app, payload: composePassThrough(url) };
    }
    admit(link.app);
    const { utm, params } = chooseTarget(link, "web", url.search.slice(1));
    const web_fallback_url = link.row.web_fallback_url ?? link.app.web_fallback_url;
    const asked = { link: link.row, url: url.href, web_fallback_url, utm, params, token: null };
    return { app: link.app, payload: composePayload(asked) };
  }

  return {
    ...{ findCallerApp, findTokenApp, findReferrerApp, findEventApp },
    ...{ claimToken, claimReferrer, claimDeferred, resolveUrl },
  };
}

function demandCid(text: string | undefined): string {
  const cid = readCid(text);
  if (cid === null) throw invalid("cid", "a click token: 8 to 64 hexadecimal digits");
  return cid;
}

/** A claim says where it happens; a caller that does not is taken for where the click happened. */
function statedPlatform({ platform, device }: Asking): Platform | null {
  if (platform === "ios" || platform === "android" || platform === "web") return platform;
  return device.platform;
}

function clickPlatform(stored: string): Platform {
  return stored === "ios" || stored === "android" ? stored : "web";
}

function explainMiss(near: { created_at: number; claimed_at: number | null } | null, since: number): Reason {
  if (near === null) return "no_match";
  if (near.claimed_at !== null) return "already_claimed";
  return near.created_at < since ? "expired" : "no_match";
}

/** What else the transaction demands, the version of the app's destinations, kept changing under it. */
function notNow() {
  return unavailable("The event could not be stored. Send the same request again.", RETRY_AFTER_SECONDS);
}

/** The token of a referrer is of no use. */
function isMiss(error: unknown): boolean {
  return error instanceof AppError && ["no_match", "not_found", "expired"].includes(error.code);
}

function noMatch() {
  return refuse("no_match", "No click matches this device. Nothing has to be done.");
}

function foreignHost(hostname: string) {
  return refuse("domain_not_found", `The host ${hostname} is not connected to this app.`);
}
