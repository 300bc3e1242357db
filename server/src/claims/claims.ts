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
import { type Database, isDatabaseError } from "../platform/database.ts";
import { timeText } from "../platform/time-text.ts";
import { type Device, platformOf } from "./device.ts";
import type { Identities, Learned } from "./identities.ts";
import { googleIdsOf } from "./identity.ts";
import {
  type Ambiguity,
  ambiguityOf,
  CANDIDATES_MAX,
  type Claimant,
  PAGES_MAX,
  platformsFor,
  rankCandidates,
} from "./matching.ts";
import { composePassThrough, composePayload, rootLinkOf } from "./payload.ts";
import { demandCid, findCid, noMatch } from "./referrer.ts";
import * as store from "./store.ts";
import type { Store } from "./storing.ts";

const RETRY_AFTER_SECONDS = 1;
/** A claim is composed anew while others tie the same device, or destinations change under it. */
const TRIES_MAX = 3;

/** Who asks, apart from the app that it belongs to. */
export interface Asking {
  readonly ip: string;
  readonly user_agent: string;
  readonly device: Device;
  /** The user, as the app names them; of use with the app's consent setting alone. */
  readonly user_id: string | null;
  /** As the body states it; not checked yet. */
  readonly platform?: unknown;
}

export interface ClaimsOptions {
  db: Database;
  store: Store;
  identities: Identities;
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

/** A click that is about to be claimed. */
interface Claim {
  readonly click: store.ClaimableClick;
  readonly link: LinkRow;
  readonly platform: Platform;
  readonly claim_type: ClaimType;
  readonly at: number;
}

/** A claim without a token, as it is told. */
interface Attempt {
  readonly app_id: string;
  readonly platform: Platform;
  readonly bundle_id: string | null;
  readonly at: number;
}

/** Who is to be matched. */
interface Match {
  readonly asking: Asking;
  readonly claimant: Claimant;
  readonly attempt: Attempt;
}

type Reason = (typeof ATTEMPT_REASONS)[number];

export type Claims = ReturnType<typeof createClaims>;

export function createClaims(options: ClaimsOptions) {
  const { db, identities, links, accounts, fingerprints, compose, now, note = () => {} } = options;
  /** Clicks that are being claimed without a token just now: one for each caller at the most. */
  const claiming = new Map<string, Promise<LinkPayload | null>>();

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
    const claim = { click, link, platform, claim_type, at };
    const is_first =
      click.claimed_at === null && (await claimOnce(app, asking, claim, (learned) => [claimEvent(claim, learned)]));
    // The claim before may have been of somebody who was not known yet.
    if (!is_first) await identities.note(app, asking, click);
    return payloadOf(app, link, click, !is_first);
  }

  /** `POST /api/deferred/claim`. @throws AppError no_match */
  async function claimDeferred(app: App, bundle_id: string | null, asking: Asking): Promise<LinkPayload> {
    const at = now();
    const platform = platformOf(asking.platform, asking.device, asking.user_agent);
    const attempt = { app_id: app.id, platform, bundle_id, at };
    const { window, prints } = matchWindow(app, asking, at);
    const claimant = { ...asking, platform, fingerprints: prints };
    const payload = window === null ? null : await claimAny(app, window, { asking, claimant, attempt });
    if (payload !== null) return payload;
    const reason = window === null ? "no_match" : explainMiss(await store.selectNearMiss(db, window), window.since);
    await append(attemptEvent(attempt, reason, null));
    throw noMatch();
  }

  /** The best click that can be claimed, of the newest ones; null when there is none. */
  async function claimAny(app: App, window: store.Window, match: Match): Promise<LinkPayload | null> {
    const platforms = platformsFor(match.claimant);
    let before: store.Edge | null = null;
    for (let left = PAGES_MAX; left > 0; left--) {
      const page: Awaited<ReturnType<typeof store.selectCandidates>> = await store.selectCandidates(
        ...[db, window, platforms, before],
      );
      const payload = await claimBest(app, rankCandidates(page, match.claimant), match);
      if (payload !== null || page.length < CANDIDATES_MAX) return payload;
      before = page.at(-1) ?? null;
    }
    return null;
  }

  /** Null when all of them are gone, or somebody else's meanwhile. */
  async function claimBest(
    app: App,
    candidates: readonly store.ClaimableClick[],
    match: Match,
  ): Promise<LinkPayload | null> {
    const ambiguity = ambiguityOf(candidates);
    if (ambiguity !== null) note({ event: "claim.ambiguous", app_id: app.id, ...ambiguity });
    for (const candidate of candidates) {
      const payload = await claimInTurn(candidate.cid, () => claimCandidate(app, candidate, match));
      if (payload !== null) return payload;
    }
    return null;
  }

  /** Many of one network who want the same click wait for the first of them, and spare the database what they would lose. */
  async function claimInTurn(cid: string, claim: () => Promise<LinkPayload | null>): Promise<LinkPayload | null> {
    const other = claiming.get(cid);
    // Nothing is awaited between the look and the entry when nobody is at it.
    if (other !== undefined && (await isEnded(other))) return null;
    const own = claim();
    claiming.set(cid, own);
    try {
      return await own;
    } finally {
      if (claiming.get(cid) === own) claiming.delete(cid);
    }
  }

  /** Null when its link is gone, or somebody else was faster: the next best one is tried then. */
  async function claimCandidate(
    app: App,
    candidate: store.ClaimableClick,
    { asking, claimant: { platform }, attempt }: Match,
  ): Promise<LinkPayload | null> {
    const opened = await openedBy(candidate);
    if (opened === null) return null;
    const { link, click } = opened;
    const claim = { click, link, platform, claim_type: "fingerprint", at: attempt.at } as const;
    const eventsOf = (learned: Learned) => [attemptEvent(attempt, "matched", click), claimEvent(claim, learned)];
    return (await claimOnce(app, asking, claim, eventsOf)) ? payloadOf(app, link, click, false) : null;
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
  async function claimOnce(
    app: App,
    asking: Asking,
    { click, claim_type, at }: Claim,
    eventsOf: (learned: Learned) => EventRow[],
  ): Promise<boolean> {
    for (let left = TRIES_MAX; left > 0; left--) {
      const learned = await identities.learn(app, asking, click);
      const statement = store.claimClick(click.cid, claim_type, at, learned.person);
      const clicks = [{ cid: click.cid, statement }];
      try {
        const installed_by = claim_type === "direct" ? undefined : click.link_id;
        const events = eventsOf(learned);
        await options.store({ app_id: app.id, events, clicks, identities: learned.identities, installed_by });
        return true;
      } catch (error) {
        if (!isDatabaseError(error, "unmet")) throw error;
        const now_is = await store.selectClick(db, click.cid);
        if (now_is === null || now_is.claimed_at !== null) return false;
      }
    }
    throw notNow();
  }

  async function append(event: EventRow): Promise<void> {
    await options.store({ app_id: event.app_id, events: [event] }).catch((error: unknown) => {
      throw isDatabaseError(error, "unmet") ? notNow() : error;
    });
  }

  function claimEvent({ click, link, platform, claim_type, at }: Claim, { person, told }: Learned): EventRow {
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
    if (told.user_id !== undefined) data.user_id = told.user_id;
    if (told.first_cid !== undefined) data.first_cid = told.first_cid;
    // Nothing is told without the consent of now, whatever was kept with that of then.
    if (told.first_cid !== undefined && click.ga !== null) data.ga = googleIdsOf(click.ga);
    const about = { cid: click.cid, user_id: told.user_id ?? null, device: person.device };
    return compose({ app_id: click.app_id, event: "link.claim", link_id: click.link_id, ts: at, data, about });
  }

  function attemptEvent(attempt: Attempt, reason: Reason, click: { link_id: string; cid: string } | null): EventRow {
    const { app_id, platform, bundle_id, at } = attempt;
    const matched = click !== null;
    const data: EventData["link.deferred_claim_attempt"] = { platform, matched, method: "fingerprint", reason };
    if (click !== null) Object.assign(data, { link_id: click.link_id, cid: click.cid });
    if (bundle_id) data.bundle_id = bundle_id;
    const about = { cid: click?.cid ?? null };
    const event = { app_id, event: "link.deferred_claim_attempt", ts: at, data, about } as const;
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
  async function resolveUrl(
    caller: App | null,
    text: string,
    asking: Asking,
    admit: (app: App) => void,
  ): Promise<Resolved> {
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
    await identities.note(link.app, asking, null);
    const { utm, params } = chooseTarget(link, "web", url.search.slice(1));
    const web_fallback_url = link.row.web_fallback_url ?? link.app.web_fallback_url;
    const asked = { link: link.row, url: url.href, web_fallback_url, utm, params, token: null };
    return { app: link.app, payload: composePayload(asked) };
  }

  return { claimToken, claimReferrer, claimDeferred, resolveUrl };
}

/** A claim says where it happens; a caller that does not is taken for where the click happened. */
function statedPlatform({ platform, device }: Asking): Platform | null {
  if (platform === "ios" || platform === "android" || platform === "web") return platform;
  return device.platform;
}

function clickPlatform(stored: string): Platform {
  return stored === "ios" || stored === "android" ? stored : "web";
}

/** One that failed has taken nothing: all who waited for it try at once. */
function isEnded(claim: Promise<unknown>): Promise<boolean> {
  return claim.then(
    () => true,
    () => false,
  );
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

function foreignHost(hostname: string) {
  return refuse("domain_not_found", `The host ${hostname} is not connected to this app.`);
}
