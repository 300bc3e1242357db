// Where a visit goes, and what its click carries. Pure; called by redirect.ts.
// The order of targets, the UTM merge and the places of the token are LinkMe's documented redirect rules.
import type { Platform } from "#contract/events.ts";
import { type LinkEnd, type Plan, type PreparedLink, ROOT_LINK_ID } from "./link.ts";
import type { Ways } from "./pages.ts";
import { EMPTY, isEmpty, mergeParams, mergeUtm, readQuery, type StringMap } from "./query.ts";
import { isOnHost, prepareTarget, queryText, type Target, withParameters, withReferrer } from "./target.ts";
import type { Visitor } from "./visitor.ts";

/** Stands where the token will be. Hexadecimal, so that no encoding changes it. */
const CID_PLACE = "c1d0c1d0c1d0c1d0c1d0c1d0c1d0c1d0";
const PLAY_SOURCE_DEFAULT = "linkme";

interface Rule {
  readonly name: string;
  target(link: PreparedLink): Target | null;
}

const FORCE: Rule = { name: "force_redirect_web", target: ({ force_web, web }) => (force_web ? web : null) };
const DEEP_LINK: Rule = { name: "deep_link_path", target: (link) => link.deepLink() };
const WEB: Rule = { name: "web_fallback_url", target: ({ web }) => web };
/** The first rule with a target decides; without any the link's own page does. An app's link without an app target still leads somewhere. */
const RULES: Readonly<Record<Platform, readonly Rule[]>> = {
  ios: [
    FORCE,
    { name: "ios_custom_url", target: ({ custom }) => custom.ios },
    { name: "ios_store_url", target: ({ store }) => store.ios },
    DEEP_LINK,
    WEB,
  ],
  android: [
    FORCE,
    { name: "android_custom_url", target: ({ custom }) => custom.android },
    { name: "android_store_url", target: ({ store }) => store.android },
    DEEP_LINK,
    WEB,
  ],
  web: [FORCE, WEB],
};

/** How a recorded visit is answered. */
export type Way =
  | "redirect"
  /** A page that copies the token for the app to find, and goes on to the App Store. */
  | "pasteboard"
  /** A page with a button that opens the app, in a browser that does so only when somebody taps. */
  | "open_page";

/** What an opened link is answered with: for the answer itself, and for its explanation. */
export type Decision =
  /** The link leads nowhere any more: on to another address, or null for the page that says so. */
  | { readonly kind: "ended"; readonly address: string | null }
  /** A crawler gets the page with the link's title. */
  | { readonly kind: "preview" }
  | { readonly kind: "target"; readonly chosen: Plan; readonly way: Way };

export type Opener = Pick<Visitor, "platform" | "in_app" | "crawler" | "recordable">;

/** @param end why the link leads nowhere any more */
export function decide(link: PreparedLink, visitor: Opener, query: string, end: LinkEnd | null): Decision {
  if (end !== null) return decideEnded(link);
  if (visitor.crawler) return { kind: "preview" };
  const chosen = chooseTarget(link, visitor.platform, query);
  // The pages are there for a token; without a click there is none.
  return { kind: "target", chosen, way: visitor.recordable ? chooseWay(link, visitor, chosen.kind) : "redirect" };
}

export function decideEnded(link: PreparedLink): Extract<Decision, { kind: "ended" }> {
  return { kind: "ended", address: prepareTarget(link.row.expired_url)?.text ?? null };
}

/** @param query of the request, without its question mark */
export function chooseTarget(link: PreparedLink, platform: Platform, query: string): Plan {
  if (query !== "") return plan(link, pick(link, platform), query);
  let shared = link.plans[platform];
  if (shared === undefined) {
    shared = plan(link, pick(link, platform), "");
    link.plans[platform] = shared;
  }
  return shared;
}

/** The store of a platform, for who asked for it by name on the link's page; null when the link leads to none. */
export function chooseStore(link: PreparedLink, store: "ios" | "android", query: string): Plan | null {
  const target = link.store[store];
  return target === null ? null : plan(link, target, query);
}

export function chooseWay(
  link: PreparedLink,
  { platform, in_app }: Pick<Visitor, "platform" | "in_app">,
  kind: Plan["kind"],
): Way {
  if (kind === "app_store" && platform === "ios" && link.app.ios_enable_pasteboard) return "pasteboard";
  const needs_tap = in_app !== null && platform !== "web" && (kind === "custom" || kind === "deep_link");
  return needs_tap ? "open_page" : "redirect";
}

export interface ExplainedRule {
  readonly rule: string;
  readonly outcome: "not_set" | "taken" | "not_reached";
}

/** What the rules said, in order: those behind the one that decides are not asked, and not told. */
export function explainRules(link: PreparedLink, platform: Platform): ExplainedRule[] {
  const at = RULES[platform].findIndex((rule) => rule.target(link) !== null);
  return RULES[platform].map(({ name }, index) => ({
    rule: name,
    outcome: index === at ? "taken" : at < 0 || index < at ? "not_set" : "not_reached",
  }));
}

/** Of a visit that is answered before the rules are asked. */
export function unaskedRules(platform: Platform): ExplainedRule[] {
  return RULES[platform].map(({ name }) => ({ rule: name, outcome: "not_reached" }));
}

/** Where else the page of an in-app browser leads, beside the app. */
export interface Beside {
  readonly store: string | null;
  readonly web: string | null;
}

export function chooseBeside(link: PreparedLink, platform: Platform, query: string, cid: string | null): Beside {
  const addressOf = addressesWith(link, query, cid);
  return { store: platform === "web" ? null : addressOf(link.store[platform]), web: addressOf(link.web) };
}

/** Where the link's page leads: to the stores by links of its own, which are visits; that without a slug has none. */
export function chooseWays(link: PreparedLink, query: string, cid: string | null): Ways {
  const addressOf = addressesWith(link, query, cid);
  const storeOf = (store: "ios" | "android") => {
    const target = link.store[store];
    if (link.row.id === ROOT_LINK_ID) return forBrowser(target, addressOf);
    return target === null ? null : `/d/${link.row.slug}/${store}${passedQuery(link, query)}`;
  };
  return { ios: storeOf("ios"), android: storeOf("android"), web: forBrowser(link.web, addressOf) };
}

/** A desktop browser opens http and https only. */
function forBrowser(target: Target | null, addressOf: (target: Target) => string | null): string | null {
  return target === null || target.host === null ? null : addressOf(target);
}

function addressesWith(link: PreparedLink, query: string, cid: string | null) {
  const incoming = readQuery(query);
  const utm = mergeUtm(link.utm, incoming.utm, link);
  const additions = { utm, passed: link.passthrough ? incoming.params : EMPTY, cid };
  return (target: Target | null) => (target === null ? null : address(link, target, additions));
}

/** The address of a visit whose click has this token. */
export function withCid(chosen: Plan, cid: string): string {
  return chosen.takes_cid ? chosen.before + cid + chosen.after : chosen.before;
}

function plan(link: PreparedLink, target: Target | null, query: string): Plan {
  const incoming = readQuery(query);
  const utm = mergeUtm(link.utm, incoming.utm, link);
  const passed = link.passthrough ? incoming.params : EMPTY;
  const params = mergeParams(link.params, incoming.params, link.passthrough);
  const addressOf = (cid: string | null) =>
    target === null ? link.landing + passedQuery(link, query) : address(link, target, { utm, passed, cid });
  const takes_cid = target !== null && takesCid(link, target);
  const { before, after } = takes_cid ? around(addressOf) : { before: addressOf(null), after: "" };
  let without_cid = takes_cid ? undefined : before;
  return {
    before,
    after,
    takes_cid,
    // Made when it is asked for, which is seldom.
    withoutCid() {
      without_cid ??= addressOf(null);
      return without_cid;
    },
    kind: kindOf(link, target),
    force_web: link.force_web,
    utm,
    params,
    utm_text: isEmpty(utm) ? null : JSON.stringify(utm),
    params_text: isEmpty(params) ? null : JSON.stringify(params),
  };
}

/**
 * What the link passes on of a visit's query, as a query of its own: for the link's page, whose store links are visits again.
 * @example passedQuery(link, "ref=7&cid=…") // "?ref=7"
 */
export function passedQuery(link: PreparedLink, query: string): string {
  if (!link.passthrough || query === "") return "";
  const { utm, params } = readQuery(query);
  return queryText({ ...utm, ...params });
}

function kindOf(link: PreparedLink, target: Target | null): Plan["kind"] {
  if (target === null) return "landing";
  // In this order, for the deep link is taken apart when it is asked for.
  return target.kind === "web" && target !== link.web && target === link.deepLink() ? "deep_link" : target.kind;
}

/** What stands before and behind the token in an address that has a place for it. */
function around(addressOf: (cid: string | null) => string): { before: string; after: string } {
  let place = CID_PLACE;
  let text = addressOf(place);
  if (text.indexOf(place) !== text.lastIndexOf(place)) {
    place = unusedPlace(addressOf(null));
    text = addressOf(place);
  }
  const at = text.indexOf(place);
  return { before: text.slice(0, at), after: text.slice(at + place.length) };
}

/** A visitor who puts the place into the query must not choose where the token goes. */
function unusedPlace(text: string): string {
  let place = CID_PLACE;
  for (let count = 1; text.includes(place); count++) place = count.toString(16).padStart(CID_PLACE.length, "c1d0");
  return place;
}

/** Null for the link's own page. */
function pick(link: PreparedLink, platform: Platform): Target | null {
  for (const rule of RULES[platform]) {
    const target = rule.target(link);
    if (target !== null) return target;
  }
  return null;
}

interface Additions {
  readonly utm: StringMap;
  readonly passed: StringMap;
  readonly cid: string | null;
}

/**
 * A token in an address of somebody else's site would be theirs to claim, unless the app says that its web address may have it.
 * Apple hands nothing on to the app.
 */
function takesCid(link: PreparedLink, target: Target): boolean {
  if (target.kind !== "web") return target.kind !== "app_store";
  return isOnHost(target, link.own_hosts) || (link.app.cid_on_web_fallback && target === link.web);
}

function address(link: PreparedLink, target: Target, { utm, passed, cid }: Additions): string {
  switch (target.kind) {
    case "app_store":
      return target.text;
    case "play":
      return withReferrer(target, referrerValues(target, utm, cid));
    case "custom":
      return withParameters(target, passed, cid === null ? EMPTY : { cid });
    case "web":
      return withParameters(target, passed, cid !== null && takesCid(link, target) ? { ...utm, cid } : utm);
  }
}

/** With a source where neither the visit's UTM values nor the address itself say one. */
function referrerValues({ referrer }: Target, utm: StringMap, cid: string | null): StringMap {
  const has_source = referrer.some(([key, value]) => key === "utm_source" && value !== "");
  const source = has_source ? EMPTY : { utm_source: PLAY_SOURCE_DEFAULT };
  return cid === null ? { ...source, ...utm } : { cid, ...source, ...utm };
}
