// Answers an opened link: finds it, describes the visitor, chooses the target, has the click recorded, redirects.
// Called by api/edge.ts for every request on a link; the decisions are made by the pure files beside it.
// An answer whose address carries a token was given after the click became durable, in the database or in the spool.
import { AppError } from "../errors.ts";
import type { EventRow, NewEvent } from "../events/event.ts";
import { isDatabaseError } from "../platform/database.ts";
import { createTimeText } from "../platform/time-text.ts";
import { type Click, newClick } from "./click.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { endOf, type LinkRow, type PreparedLink } from "./link.ts";
import { endedPage, landingPage, missingPage, type Page, previewPage, unavailablePage } from "./pages.ts";
import type { Recorded } from "./recorder.ts";
import { chooseTarget, withCid } from "./routing.ts";
import { prepareTarget } from "./target.ts";
import { createAgentMemory, describeVisitor, type Headers } from "./visitor.ts";

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
  | { readonly kind: "page"; readonly status: number; readonly page: Page };

export interface RedirectOptions {
  resolve(origin: string, slug: string): PreparedLink | null | Promise<PreparedLink | null>;
  record(click: Click): Promise<Recorded>;
  compose(event: NewEvent): EventRow;
  fingerprints: Fingerprints;
  /** A new click token. */
  cid(): string;
  now(): number;
}

export function createRedirect({ resolve, record, compose, fingerprints, cid: newCid, now }: RedirectOptions) {
  const readAgent = createAgentMemory();
  const expiryText = createTimeText();
  /** Clicks that were recorded since a row with a limit was read. */
  const taken = new WeakMap<LinkRow, number>();

  async function open(opening: Opening): Promise<EdgeAnswer> {
    const found = find(opening);
    // Most links are in memory: those are not waited for.
    const link = found instanceof Promise ? await found : found;
    if (link === null) return { kind: "page", status: 404, page: missingPage() };
    if (link === "unavailable") return unavailable();
    if (hasEnded(link.row)) return ended(link.row);
    const visitor = describeVisitor(opening.method, opening.headers, readAgent);
    if (visitor.crawler) {
      return { kind: "page", status: 200, page: previewPage(link, `${opening.origin}/${link.row.slug}`) };
    }
    const chosen = chooseTarget(link, visitor.platform, opening.query);
    if (!visitor.recordable) return { kind: "redirect", location: chosen.without_cid };
    const at = now();
    if (link.row.click_limit !== null) taken.set(link.row, (taken.get(link.row) ?? 0) + 1);
    const fingerprint = fingerprints.of(opening.ip, visitor.user_agent, at);
    const cid = newCid();
    const recorded = await record(newClick({ link, visitor, chosen, fingerprint, cid, now: at, expiryText }, compose));
    return { kind: "redirect", location: recorded === "unrecorded" ? chosen.without_cid : withCid(chosen, cid) };
  }

  /** Several processes may each take what comes within the second for which they remember a link. */
  function hasEnded(row: LinkRow): boolean {
    const { expires_at, click_limit } = row;
    // Most links have no end: those pay nothing.
    if (expires_at === null && click_limit === null) return false;
    return endOf({ expires_at, click_limit, click_count: row.click_count + (taken.get(row) ?? 0) }, now()) !== null;
  }

  /** The page with the store links; looking at it is no click. */
  async function land(opening: Pick<Opening, "origin" | "slug">): Promise<EdgeAnswer> {
    const link = await find(opening);
    if (link === "unavailable") return unavailable();
    if (link === null) return { kind: "page", status: 404, page: missingPage() };
    if (hasEnded(link.row)) return ended(link.row);
    return { kind: "page", status: 200, page: landingPage(link) };
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

  return { open, land };
}

/** No click: nobody was led to what the link is for. */
function ended({ expired_url }: LinkRow): EdgeAnswer {
  const target = prepareTarget(expired_url);
  if (target !== null) return { kind: "redirect", location: target.text };
  return { kind: "page", status: 410, page: endedPage() };
}

function unavailable(): EdgeAnswer {
  return { kind: "page", status: 503, page: unavailablePage(RETRY_AFTER_SECONDS) };
}
