// Where a visit goes, and what its click carries. Pure; called by redirect.ts.
// The order of targets, the UTM merge and the places of the token are LinkMe's documented redirect rules.
import type { Platform } from "#contract/events.ts";
import type { Plan, PreparedLink } from "./link.ts";
import { EMPTY, isEmpty, mergeParams, mergeUtm, readQuery, type StringMap } from "./query.ts";
import { isOnHost, type Target, withParameters, withReferrer } from "./target.ts";

/** Stands where the token will be. Hexadecimal, so that no encoding changes it. */
const CID_PLACE = "c1d0c1d0c1d0c1d0c1d0c1d0c1d0c1d0";
const PLAY_SOURCE_DEFAULT = "linkme";

/** @param query of the request, without its question mark */
export function chooseTarget(link: PreparedLink, platform: Platform, query: string): Plan {
  if (query !== "") return plan(link, platform, query);
  let shared = link.plans[platform];
  if (shared === undefined) {
    shared = plan(link, platform, "");
    link.plans[platform] = shared;
  }
  return shared;
}

/** The address of a visit whose click has this token. */
export function withCid(chosen: Plan, cid: string): string {
  return chosen.takes_cid ? chosen.before + cid + chosen.after : chosen.before;
}

function plan(link: PreparedLink, platform: Platform, query: string): Plan {
  const incoming = readQuery(query);
  const utm = mergeUtm(link.utm, incoming.utm, link);
  const passed = link.passthrough ? incoming.params : EMPTY;
  const params = mergeParams(link.params, incoming.params, link.passthrough);
  const target = pick(link, platform);
  const without_cid = target === null ? link.landing : address(link, target, { utm, passed, cid: null });
  const place = unusedPlace(without_cid);
  const text = target === null ? link.landing : address(link, target, { utm, passed, cid: place });
  const at = text.indexOf(place);
  return {
    before: at < 0 ? text : text.slice(0, at),
    after: at < 0 ? "" : text.slice(at + place.length),
    takes_cid: at >= 0,
    without_cid,
    kind: target === null ? "landing" : target.kind,
    force_web: link.force_web,
    utm,
    params,
    utm_text: isEmpty(utm) ? null : JSON.stringify(utm),
    params_text: isEmpty(params) ? null : JSON.stringify(params),
  };
}

/** A visitor who puts the place into the query must not choose where the token goes. */
function unusedPlace(text: string): string {
  let place = CID_PLACE;
  for (let count = 1; text.includes(place); count++) place = count.toString(16).padStart(CID_PLACE.length, "c1d0");
  return place;
}

/** Null for the link's own page. */
function pick(link: PreparedLink, platform: Platform): Target | null {
  if (link.force_web && link.web !== null) return link.web;
  if (platform === "web") return link.web;
  const app = link.custom[platform] ?? link.store[platform] ?? link.deep_link;
  // A link without any app target still leads somewhere.
  return app ?? link.web;
}

interface Additions {
  readonly utm: StringMap;
  readonly passed: StringMap;
  readonly cid: string | null;
}

function address(link: PreparedLink, target: Target, { utm, passed, cid }: Additions): string {
  switch (target.kind) {
    case "app_store":
      // Apple hands nothing on to the app.
      return target.text;
    case "play":
      return withReferrer(target, referrerValues(utm, cid));
    case "custom":
      return withParameters(target, passed, cid === null ? EMPTY : { cid });
    case "web": {
      // A token in an address of somebody else's site would be theirs to claim.
      const is_own = cid !== null && isOnHost(target, link.own_hosts);
      return withParameters(target, passed, is_own ? { ...utm, cid } : utm);
    }
  }
}

function referrerValues(utm: StringMap, cid: string | null): StringMap {
  const utm_source = utm["utm_source"] ?? PLAY_SOURCE_DEFAULT;
  return cid === null ? { utm_source, ...utm } : { cid, utm_source, ...utm };
}
