// What a visit of a link would do, and why: for `GET /:slug+`. Pure; called by redirect.ts. Every decision comes from the
// functions that decide for visitors. It tells nothing that a visitor could not find out by visiting: of the addresses of
// rules that are not reached it says not even whether there are any, and of a link that has ended nothing of where it led.
import type { Platform } from "#contract/events.ts";
import { UTM_KEYS } from "#contract/links.ts";
import { type LinkEnd, type PreparedLink, parseMap } from "./link.ts";
import { escapeHtml, type Page, page } from "./page.ts";
import { EMPTY, isOfVisit, readQuery, type StringMap } from "./query.ts";
import { decide, type ExplainedRule, explainRules, type Opener, unaskedRules, type Way, withCid } from "./routing.ts";
import type { Visitor } from "./visitor.ts";

/** Stands for the token in the addresses that are shown. */
const CID_SIGN = "{cid}";

export interface ExplainedVisit {
  readonly platform: Platform;
  readonly rules: readonly ExplainedRule[];
  /** The rule that decides; null for the link's own page, and where none is asked. */
  readonly rule: string | null;
  readonly answer: Way | "preview" | "ended_page";
  /** With {cid} where the token would be; null where the visitor is sent nowhere. */
  readonly address: string | null;
  readonly cid_in: "address" | "play_referrer" | "pasteboard" | "nowhere";
  readonly utm: StringMap;
  /** Where each value of `utm` comes from. */
  readonly utm_from: Readonly<Record<string, UtmOrigin>>;
  readonly params: StringMap;
}

/** What is told of a visit for which no target is chosen. */
const NO_TARGET = { rule: null, cid_in: "nowhere", utm: EMPTY, utm_from: {}, params: EMPTY } as const;

export type UtmOrigin = "link" | "preset" | "visit";

export interface Explanation {
  readonly kind: "explanation";
  readonly slug: string;
  readonly hostname: string;
  readonly state: "active" | LinkEnd;
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
  /** Null when the link has ended: crawlers get what everybody gets. */
  readonly preview: Preview | null;
}

interface Preview {
  readonly title: string;
  readonly description: string | null;
  readonly image: string | null;
}

export function explainVisit(asked: {
  link: PreparedLink;
  visitor: Visitor;
  query: string;
  end: LinkEnd | null;
}): Explanation {
  const { link, visitor, query, end } = asked;
  const { platform, os, browser, in_app, crawler } = visitor;
  const { slug, og_title, og_description, og_image_url } = link.row;
  const on = (opener: Opener) => explainOn(link, opener, query, end);
  const person = { in_app: null, crawler: false, recordable: true };
  return {
    kind: "explanation",
    slug,
    hostname: link.hostname,
    state: end ?? "active",
    passthrough: link.passthrough,
    visitor: { platform, os, browser, in_app, crawler, recorded: visitor.recordable && !crawler && end === null },
    visit: on(visitor),
    platforms: {
      ios: on({ ...person, platform: "ios" }),
      android: on({ ...person, platform: "android" }),
      web: on({ ...person, platform: "web" }),
    },
    preview:
      end === null ? { title: og_title ?? link.app.name, description: og_description, image: og_image_url } : null,
  };
}

function explainOn(link: PreparedLink, opener: Opener, query: string, end: LinkEnd | null): ExplainedVisit {
  const { platform, recordable } = opener;
  const decided = decide(link, opener, query, end);
  const unasked = { ...NO_TARGET, platform, rules: unaskedRules(platform) };
  if (decided.kind === "preview") return { ...unasked, answer: "preview", address: null };
  if (decided.kind === "ended") {
    const { address } = decided;
    return { ...unasked, answer: address === null ? "ended_page" : "redirect", address };
  }
  const { chosen, way: answer } = decided;
  const rules = explainRules(link, platform);
  const in_address = chosen.kind === "play" ? "play_referrer" : "address";
  return {
    platform,
    rules,
    rule: rules.find(({ outcome }) => outcome === "taken")?.rule ?? null,
    answer,
    address: recordable ? withCid(chosen, CID_SIGN) : chosen.withoutCid(),
    cid_in: answer === "pasteboard" ? "pasteboard" : chosen.takes_cid && recordable ? in_address : "nowhere",
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
  const parts = [
    `<h1>${escapeHtml(`${hostname}/${slug}`)}</h1>`,
    "<p>What a visit does, and why. Looking at this page is no click.</p>",
    list({
      State: state,
      "Parameters of the visit": passthrough ? "passed on" : "dropped",
      "You are": [visitor.platform, visitor.os, visitor.browser, visitor.in_app]
        .filter((part) => part !== null)
        .join(", "),
      "Your visit": visitor.crawler ? "a crawler's: no click" : visitor.recorded ? "a click" : "no click",
    }),
    section("You", visit),
    ...(["ios", "android", "web"] as const).map((name) => section(PLATFORM_NAMES[name], platforms[name])),
    preview === null ? "" : previewSection(preview),
  ];
  return page(`${slug}, explained`, [], parts.join("\n"));
}

const PLATFORM_NAMES = { ios: "iOS", android: "Android", web: "Desktop" };
const ANSWERS: Record<ExplainedVisit["answer"], string> = {
  redirect: "a redirect",
  pasteboard: "a page that copies the token, then the App Store",
  open_page: "a page with a button, for browsers inside of apps",
  preview: "the preview",
  ended_page: "a page that says that the link has ended (410)",
};

function section(name: string, visit: ExplainedVisit): string {
  const rules = visit.rules.map(({ rule, outcome }) => `${rule}: ${outcome.replaceAll("_", " ")}`).join("; ");
  const facts = list({
    "Rules, in order": rules,
    "Decided by": visit.rule ?? (isAsked(visit) ? "no rule: the link's own page" : "no rule: none is asked"),
    Answer: ANSWERS[visit.answer],
    Address: visit.address ?? "none",
    "Token in": visit.cid_in.replaceAll("_", " "),
    UTM: mapText(visit.utm, visit.utm_from),
    Parameters: mapText(visit.params),
  });
  return `<h2>${name}</h2>\n${facts}`;
}

function isAsked({ rules }: ExplainedVisit): boolean {
  return rules.some(({ outcome }) => outcome !== "not_reached");
}

function previewSection({ title, description, image }: Preview): string {
  const facts = list({ Title: title, Description: description ?? "none", Image: image ?? "none" });
  return `<h2>Preview for crawlers</h2>\n${facts}`;
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
