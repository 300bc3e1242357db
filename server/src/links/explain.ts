// What a visit of a link would do, and why: for `GET /:slug+`. Pure; called by redirect.ts. Every decision comes from the
// functions that decide for visitors. It tells nothing that a visitor could not find out by visiting: of the addresses of
// rules that are not reached it says not even whether there are any.
import type { Platform } from "#contract/events.ts";
import { UTM_KEYS } from "#contract/links.ts";
import { type PreparedLink, parseMap } from "./link.ts";
import { escapeHtml, type Page, page } from "./page.ts";
import { isOfVisit, readQuery, type StringMap } from "./query.ts";
import { chooseTarget, chooseWay, explainRules, type Way, withCid } from "./routing.ts";
import type { Visitor } from "./visitor.ts";

/** Stands for the token in the addresses that are shown. */
const CID_SIGN = "{cid}";

export interface ExplainedVisit {
  readonly platform: Platform;
  readonly rules: ReturnType<typeof explainRules>;
  /** The rule that decides; null for the link's own page. */
  readonly rule: string | null;
  readonly answer: Way;
  /** With {cid} where the token would be. */
  readonly address: string;
  readonly cid_in: "address" | "play_referrer" | "pasteboard" | "nowhere";
  readonly utm: StringMap;
  /** Where each value of `utm` comes from. */
  readonly utm_from: Readonly<Record<string, UtmOrigin>>;
  readonly params: StringMap;
}

export type UtmOrigin = "link" | "preset" | "visit";

export interface Explanation {
  readonly kind: "explanation";
  readonly slug: string;
  readonly hostname: string;
  readonly state: "active" | "expired" | "limit_reached";
  readonly passthrough: boolean;
  readonly visitor: {
    readonly platform: Platform;
    readonly os: string | null;
    readonly browser: string | null;
    readonly in_app: string | null;
    /** A crawler gets the preview. */
    readonly crawler: boolean;
    /** Whether this visitor's visit of the link would be a click. */
    readonly recorded: boolean;
  };
  readonly visit: ExplainedVisit;
  readonly platforms: Readonly<Record<Platform, ExplainedVisit>>;
  readonly preview: { readonly title: string; readonly description: string | null; readonly image: string | null };
}

export function explainVisit(asked: {
  link: PreparedLink;
  visitor: Visitor;
  query: string;
  end: "expired" | "limit_reached" | null;
}): Explanation {
  const { link, visitor, query, end } = asked;
  const { platform, os, browser, in_app, crawler } = visitor;
  const { slug, og_title, og_description, og_image_url } = link.row;
  const on = (other: Platform) => explainOn(link, { platform: other, in_app: null }, query);
  return {
    kind: "explanation",
    slug,
    hostname: link.hostname,
    state: end ?? "active",
    passthrough: link.passthrough,
    visitor: { platform, os, browser, in_app, crawler, recorded: visitor.recordable && !crawler && end === null },
    visit: explainOn(link, { platform, in_app }, query),
    platforms: { ios: on("ios"), android: on("android"), web: on("web") },
    preview: { title: og_title ?? link.app.name, description: og_description, image: og_image_url },
  };
}

function explainOn(link: PreparedLink, agent: Pick<Visitor, "platform" | "in_app">, query: string): ExplainedVisit {
  const { platform } = agent;
  const chosen = chooseTarget(link, platform, query);
  const answer = chooseWay(link, agent, chosen.kind);
  const rules = explainRules(link, platform);
  const in_address = chosen.kind === "play" ? "play_referrer" : "address";
  return {
    platform,
    rules,
    rule: rules.find(({ outcome }) => outcome === "taken")?.rule ?? null,
    answer,
    address: withCid(chosen, CID_SIGN),
    cid_in: answer === "pasteboard" ? "pasteboard" : chosen.takes_cid ? in_address : "nowhere",
    utm: chosen.utm,
    utm_from: originsOf(chosen.utm, link, query),
    params: chosen.params,
  };
}

function originsOf(utm: StringMap, link: PreparedLink, query: string): Record<string, UtmOrigin> {
  const incoming = readQuery(query).utm;
  const own = parseMap(link.row.utm);
  const from: Record<string, UtmOrigin> = {};
  for (const key of UTM_KEYS) {
    if (utm[key] === undefined) continue;
    const is_of_visit = isOfVisit(key, link.utm, incoming, link);
    from[key] = is_of_visit ? "visit" : own[key] === undefined ? "preset" : "link";
  }
  return from;
}

export function explanationPage({
  slug,
  hostname,
  state,
  passthrough,
  visitor,
  visit,
  platforms,
  preview,
}: Explanation): Page {
  const { title, description, image } = preview;
  const parts = [
    `<h1>${escapeHtml(`${hostname}/${slug}`)}</h1>`,
    "<p>What a visit does, and why. Looking at this page is no click.</p>",
    list({
      State: state,
      "Parameters of the visit": passthrough ? "passed on" : "dropped",
      "You are": [visitor.platform, visitor.os, visitor.browser, visitor.in_app]
        .filter((part) => part !== null)
        .join(", "),
      "Your visit": visitor.crawler
        ? "a crawler's: gets the preview, no click"
        : visitor.recorded
          ? "a click"
          : "no click",
    }),
    section("You", visit),
    ...(["ios", "android", "web"] as const).map((name) => section(PLATFORM_NAMES[name], platforms[name])),
    "<h2>Preview for crawlers</h2>",
    list({ Title: title, Description: description ?? "none", Image: image ?? "none" }),
  ];
  return page(`${slug}, explained`, [], parts.join("\n"));
}

const PLATFORM_NAMES = { ios: "iOS", android: "Android", web: "Desktop" };
const ANSWERS: Record<Way, string> = {
  redirect: "a redirect",
  pasteboard: "a page that copies the token, then the App Store",
  open_page: "a page with a button, for browsers inside of apps",
};

function section(name: string, visit: ExplainedVisit): string {
  const rules = visit.rules.map(({ rule, outcome }) => `${rule}: ${outcome.replaceAll("_", " ")}`).join("; ");
  const facts = list({
    "Rules, in order": rules,
    "Decided by": visit.rule ?? "no rule: the link's own page",
    Answer: ANSWERS[visit.answer],
    Address: visit.address,
    "Token in": visit.cid_in.replaceAll("_", " "),
    UTM: mapText(visit.utm, visit.utm_from),
    Parameters: mapText(visit.params),
  });
  return `<h2>${name}</h2>\n${facts}`;
}

function list(facts: Readonly<Record<string, string>>): string {
  const items = Object.entries(facts).map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`);
  return `<dl>${items.join("")}</dl>`;
}

function mapText(map: StringMap, from: Readonly<Record<string, UtmOrigin>> = {}): string {
  const pairs = Object.entries(map).map(([key, value]) => {
    return `${key}=${value}${from[key] === undefined ? "" : ` (of the ${from[key]})`}`;
  });
  return pairs.length === 0 ? "none" : pairs.join(", ");
}
