// Looks at a request of Google Analytics' Measurement Protocol without sending it, for Google answers 204 to anything and drops
// what it does not like without a word. Runs before each request is sent, in previews, and wherever the SDK for Node does.
// It knows what Google documents, and nothing of the property: whether stream and secret belong together only Google knows.
import type { Finding } from "./finding.ts";
import { createReport, type Ga4Mode, isMembers, type Members, type Report, typeOf } from "./ga4-findings.ts";
import { GA4_BODY_MAX_BYTES } from "./ga4-limits.ts";
import { checkBody } from "./ga4-validate-body.ts";
import { checkEvents } from "./ga4-validate-events.ts";
import { checkUrl } from "./ga4-validate-url.ts";
import { parseUrl } from "./source.ts";

export interface Ga4Request {
  /** Whole, with its query. */
  readonly url: string;
  /** The JSON text as it is sent. */
  readonly body: string;
}

export interface Ga4ValidateOptions {
  /** When the request is sent, in ms since 1970. */
  readonly now_ms: number;
  readonly mode: Ga4Mode;
  /** Params that are custom dimensions of the property, where that is known; default: those that LinkMe's set-up registers. */
  readonly dimensions?: readonly string[];
}

/** Each has few values. Ids of apps and links may look like those of events and be few all the same, so they are not among these. */
export const GA4_DIMENSIONS = ["linkme_event", "linkme_platform", "linkme_match_type", "linkme_matched"] as const;

/**
 * What is wrong with a request, in the order of address, body, events; at most 100 findings, and none of them holds the secret.
 * `error`: Google drops the request, the event or the param. `warning`: it is taken, but not as one would think.
 * @example validateGa4({ url, body }, { now_ms: now, mode: "relaxed" }).filter(({ level }) => level === "error")
 */
export function validateGa4({ url, body }: Ga4Request, { now_ms, mode, dimensions }: Ga4ValidateOptions): Finding[] {
  const report = createReport(mode, now_ms, parseUrl(url)?.searchParams.get("api_secret") ?? "");
  const stream = checkUrl(url, report);
  const bytes = new TextEncoder().encode(body).length;
  if (bytes > GA4_BODY_MAX_BYTES) {
    const message = `The body has ${bytes} bytes; Google takes ${GA4_BODY_MAX_BYTES}`;
    report.tell({
      level: "error",
      rule: "BODY_TOO_LARGE",
      path: "body",
      message,
      fix: "Send less, or several requests",
    });
  }
  const members = readBody(body, report);
  if (members === null) return [...report.findings];
  checkBody(members, stream, report);
  const events = members["events"];
  if (Array.isArray(events) || events === undefined) {
    checkEvents(events ?? [], { stream, dimensions: new Set(dimensions ?? GA4_DIMENSIONS) }, report);
  }
  return [...report.findings];
}

function readBody(text: string, report: Report): Members | null {
  const value = parse(text);
  if (isMembers(value)) return value;
  const what = value === undefined ? "no JSON" : `JSON of type ${typeOf(value)}`;
  const message = `The body is ${what}; Google takes a JSON object`;
  const fix = 'Send {"client_id": …, "events": […]}';
  report.tell({ level: "error", rule: "BODY_INVALID", path: "body", message, fix });
  return null;
}

/** Undefined for what is no JSON, which no JSON is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The finding says so; the parser's words would repeat a part of the body.
    return undefined;
  }
}
