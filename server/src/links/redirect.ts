// Answers an opened link: finds it, describes the visitor, chooses the target, has the click recorded, redirects.
// Called by api/edge.ts for every request on a link; the decisions are made by the pure files beside it.
// An answer whose address carries a token was given after the click became durable, in the database or in the spool.
import { AppError } from "../errors.ts";
import type { EventRow, NewEvent } from "../events/event.ts";
import { isDatabaseError } from "../platform/database.ts";
import { createTimeText } from "../platform/time-text.ts";
import { intentAddress, openPage, pasteboardPage } from "./app-pages.ts";
import { type Click, newClick } from "./click.ts";
import { type Explanation, explainVisit } from "./explain.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { readGoogleIds } from "./google-ids.ts";
import { endOf, type LinkEnd, type LinkRow, type Plan, type PreparedLink, ROOT_LINK_ID } from "./link.ts";
import type { Page } from "./page.ts";
import { endedPage, landingPage, missingPage, previewPage, unavailablePage } from "./pages.ts";
import { type Drawing, drawQr, type QrImage } from "./qr.ts";
import type { Recorded } from "./recorder.ts";
import {
  chooseBeside,
  chooseStore,
  chooseTarget,
  chooseWay,
  chooseWays,
  decide,
  decideEnded,
  type Way,
  withCid,
} from "./routing.ts";
import { createAgentMemory, describeVisitor, type Headers, type Visitor } from "./visitor.ts";

const RETRY_AFTER_SECONDS = 2;

export interface Opening {
  readonly method: string;
  /** Scheme and host of the request, like `https://go.example.com`. */
  readonly origin: string;
  readonly slug: string;
  /** Without the question mark. */
  readonly query: string;
  readonly headers: Headers;
  readonly ip: string;
}

export type EdgeAnswer =
  | { readonly kind: "redirect"; readonly location: string }
  | { readonly kind: "image"; readonly image: QrImage }
  | { readonly kind: "page"; readonly status: number; readonly page: Page };

export interface RedirectOptions {
  resolve(origin: string, slug: string): PreparedLink | null | Promise<PreparedLink | null>;
  /** A link without a slug: what leads into the app that a host belongs to; null where that is none. */
  resolveRoot(origin: string): Promise<PreparedLink | null>;
  /** The address under which people know the link. */
  addressOf(link: LinkRow): Promise<string>;
  record(click: Click): Promise<Recorded>;
  compose(event: NewEvent): EventRow;
  fingerprints: Fingerprints;
  /** Further words of User-Agents that only crawlers send. */
  crawlers?: readonly string[];
  /** Two letters, or null where that is not known. */
  countryOf?(ip: string): string | null;
  /** A crawler got the page of a link. */
  countRobot?(link: PreparedLink["row"]): void;
  /** A new click token. */
  cid(): string;
  now(): number;
}

export type Redirect = ReturnType<typeof createRedirect>;

export function createRedirect(options: RedirectOptions) {
  const { resolve, record, compose, fingerprints, now } = options;
  const { countryOf = () => null, countRobot = () => {} } = options;
  const readAgent = createAgentMemory(options.crawlers);
  const expiryText = createTimeText();
  /** Clicks of links with a limit since their row was read: the row does not know of them. */
  const taken = new WeakMap<LinkRow, number>();

  async function open(opening: Opening): Promise<EdgeAnswer> {
    const found = find(opening);
    // Most links are in memory: those are not waited for.
    const link = found instanceof Promise ? await found : found;
    if (link === null) return missing();
    if (link === "unavailable") return unavailable();
    const visitor = describeVisitor(opening.method, opening.headers, readAgent);
    const decided = decide(link, visitor, opening.query, endNow(link));
    if (decided.kind === "ended") return sendOn(link, decided.address);
    if (decided.kind === "preview") return answerRobot(link, opening, visitor);
    const { chosen, way } = decided;
    return visit({ link, opening, visitor, chosen, way });
  }

  function answerRobot(link: PreparedLink, opening: Opening, visitor: Visitor): EdgeAnswer {
    if (visitor.recordable) countRobot(link.row);
    return preview(link, opening);
  }

  interface Visit {
    link: PreparedLink;
    opening: Opening;
    visitor: Visitor;
    chosen: Plan;
    way: Way;
  }

  async function visit({ link, opening, visitor, chosen, way }: Visit): Promise<EdgeAnswer> {
    if (!visitor.recordable) return { kind: "redirect", location: chosen.withoutCid() };
    const at = now();
    const fingerprint = fingerprints.of(opening.ip, visitor.user_agent, at);
    const cid = options.cid();
    const country = countryOf(opening.ip);
    const ga = link.app.analytics_consent ? readGoogleIds(opening.headers["cookie"]) : null;
    const click = newClick({ link, visitor, chosen, way, fingerprint, cid, now: at, country, ga, expiryText }, compose);
    if (link.row.click_limit !== null) taken.set(link.row, (taken.get(link.row) ?? 0) + 1);
    const durable_cid = (await record(click)) === "unrecorded" ? null : cid;
    const location = durable_cid === null ? chosen.withoutCid() : withCid(chosen, durable_cid);
    if (link.row.id === ROOT_LINK_ID && chosen.kind === "landing") return landAtRoot(link, opening, durable_cid);
    if (way === "open_page") return page(200, openInApp(link, opening, visitor, { location, cid: durable_cid }));
    // Without a token there is nothing to copy.
    if (way === "pasteboard" && durable_cid !== null) return page(200, pasteboardPage(link, location, durable_cid));
    return { kind: "redirect", location };
  }

  function openInApp(
    link: PreparedLink,
    { query }: Opening,
    { platform }: Visitor,
    { location, cid }: { location: string; cid: string | null },
  ): Page {
    const beside = chooseBeside(link, platform, query, cid);
    if (platform === "ios") return openPage(link, location, beside, { ios: true, cid });
    const app = { package_name: link.app.android_package, fallback: beside.store ?? beside.web };
    return openPage(link, intentAddress(location, app), beside, { ios: false, cid });
  }

  function endNow({ row }: PreparedLink): LinkEnd | null {
    if (row.expires_at === null && row.click_limit === null) return null;
    return endOf({ ...row, click_count: row.click_count + (taken.get(row) ?? 0) }, now());
  }

  function answerEnded(link: PreparedLink): EdgeAnswer | null {
    return endNow(link) === null ? null : sendOn(link, decideEnded(link).address);
  }

  /** A link that has ended sends on without a click, or says so. */
  function sendOn(link: PreparedLink, location: string | null): EdgeAnswer {
    return location === null ? page(410, endedPage(link)) : { kind: "redirect", location };
  }

  /** The page with the store links; looking at it is no click. */
  async function land(opening: Pick<Opening, "origin" | "slug" | "query">): Promise<EdgeAnswer> {
    const link = await find(opening);
    if (link === "unavailable") return unavailable();
    if (link === null) return missing();
    const ended = answerEnded(link);
    if (ended !== null) return ended;
    return page(200, landingPage(link, chooseWays(link, opening.query, null), await canonicalAddress(link)));
  }

  /** A store's link on that page: a click of its own, for the visitor said so by following it. */
  async function follow(opening: Opening, store: "ios" | "android"): Promise<EdgeAnswer> {
    const link = await find(opening);
    if (link === "unavailable") return unavailable();
    if (link === null) return missing();
    const ended = answerEnded(link);
    if (ended !== null) return ended;
    const chosen = chooseStore(link, store, opening.query);
    if (chosen === null) return missing();
    const visitor = describeVisitor(opening.method, opening.headers, readAgent);
    if (visitor.crawler) return answerRobot(link, opening, visitor);
    // An iPad that asks for desktop pages calls itself a Mac.
    const may_be_ipad = store === "ios" && visitor.os === "macOS";
    const asker = may_be_ipad ? { ...visitor, platform: "ios" as const } : visitor;
    return visit({ link, opening, visitor, chosen, way: chooseWay(link, asker, chosen.kind) });
  }

  /** `/?path=…` on an app's host: a link without a slug. Its click can be claimed, and the app reads the path from that. */
  async function openRoot(opening: Opening): Promise<EdgeAnswer> {
    const link = await options.resolveRoot(opening.origin).catch(explain);
    if (link === "unavailable") return unavailable();
    if (link === null) return missing();
    const visitor = describeVisitor(opening.method, opening.headers, readAgent);
    if (visitor.crawler) {
      if (visitor.recordable) countRobot(link.row);
      return page(200, previewPage(link, `${opening.origin}/?${opening.query}`));
    }
    const chosen = chooseTarget(link, visitor.platform, opening.query);
    if (chosen.kind === "landing" && !visitor.recordable) return landAtRoot(link, opening, null);
    return visit({ link, opening, visitor, chosen, way: chooseWay(link, visitor, chosen.kind) });
  }

  function landAtRoot(link: PreparedLink, { query }: Opening, cid: string | null): EdgeAnswer {
    return page(200, landingPage(link, chooseWays(link, query, cid), null));
  }

  /** A QR code of the link's address. */
  async function draw(opening: Pick<Opening, "origin" | "slug">, want: Drawing): Promise<EdgeAnswer> {
    const link = await find(opening);
    if (link === "unavailable") return unavailable();
    if (link === null) return missing();
    return { kind: "image", image: drawQr(await canonicalAddress(link), want) };
  }

  /** What a visit would do and why. */
  async function explainLink(opening: Opening): Promise<Explanation | EdgeAnswer> {
    const link = await find(opening);
    if (link === "unavailable") return unavailable();
    if (link === null) return missing();
    const visitor = describeVisitor(opening.method, opening.headers, readAgent);
    return explainVisit({ link, visitor, query: opening.query, end: endNow(link) });
  }

  /** While the database does not answer, the address at hand serves as well. */
  function canonicalAddress(link: PreparedLink): Promise<string> {
    return options.addressOf(link.row).catch((error: unknown) => {
      if (explain(error) === "unavailable") return `${link.origin}/${link.row.slug}`;
      throw error;
    });
  }

  type Found = PreparedLink | null | "unavailable";

  function find({ origin, slug }: Pick<Opening, "origin" | "slug">): Found | Promise<Found> {
    const link = resolve(origin, slug);
    return link instanceof Promise ? link.catch(explain) : link;
  }

  /** The visitor gets a page to read; the database's state is reported by those who watch it. */
  function explain(error: unknown): "unavailable" {
    if (isDatabaseError(error, "unavailable")) return "unavailable";
    if (error instanceof AppError && error.code === "temporarily_unavailable") return "unavailable";
    throw error;
  }

  return { open, openRoot, land, follow, draw, explain: explainLink };
}

function preview(link: PreparedLink, { origin }: Opening): EdgeAnswer {
  return page(200, previewPage(link, `${origin}/${link.row.slug}`));
}

function missing(): EdgeAnswer {
  return page(404, missingPage());
}

function unavailable(): EdgeAnswer {
  return page(503, unavailablePage(RETRY_AFTER_SECONDS));
}

function page(status: number, made: Page): EdgeAnswer {
  return { kind: "page", status, page: made };
}
