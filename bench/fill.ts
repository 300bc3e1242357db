// Fills the database of a server with links and open click tokens, many more than calls could make in time: the same rows
// as calls and visits leave, through the product's own statements. Called by the scenarios redirect, claim and analytics.

import { createFingerprints } from "../server/src/links/fingerprint.ts";
import { composeLink } from "../server/src/links/input.ts";
import type { LinkRow } from "../server/src/links/link.ts";
import { insertClicks } from "../server/src/links/store.ts";
import { insertLinks } from "../server/src/links/writing-store.ts";
import type { Database } from "../server/src/platform/database.ts";
import type { Statement } from "../server/src/platform/sql.ts";
import { LINK_HOST } from "./api.ts";
import { addressOf, IPHONE, slugOf } from "./workload.ts";

/** Rows of one statement. */
const CHUNK_ROWS = 1_000;
/** Statements of one transaction: the index of networks has no order, and a page of it is written once for all of them. */
const CHUNKS = 25;
const TOKEN_LIFETIME_MS = 30 * 24 * 3_600_000;
/** Tokens lie in the table in another order than the one in which they are claimed; no number of tokens is a multiple of it. */
const STRIDE = 1_000_000_007;

/** Links `slugOf(0)` to `slugOf(count - 1)` of an app, like the one that `createLink` makes. */
export async function fillLinks(
  db: Database,
  { app_id, domain_id }: { app_id: string; domain_id: string },
  count: number,
): Promise<void> {
  for (let from = 0; from < count; from += CHUNK_ROWS) {
    const length = Math.min(CHUNK_ROWS, count - from);
    const links = Array.from({ length }, (_, index) => linkOf(from + index, app_id, domain_id));
    await insertLinks(db, links, Number.MAX_SAFE_INTEGER);
  }
}

function linkOf(number: number, app_id: string, domain_id: string): LinkRow {
  const slug = slugOf(number);
  const redirects = { ios: `benchmark://open/${slug}`, web: `https://${LINK_HOST}/landing/${slug}` };
  const input = { deepLink: `/${slug}`, redirects, utm: { utm_source: "newsletter" } };
  return { ...composeLink(input, { id: linkIdOf(number), app_id, domain_id, now: Date.now() }, 0), slug };
}

/** Spread over all ids, as far as their order in the index goes. */
export function linkIdOf(number: number): string {
  return `lnk_${((number * STRIDE) % 2 ** 48).toString(16).padStart(32, "0")}`;
}

export interface Tokens {
  app_id: string;
  /** How many links the tokens belong to, of those that `fillLinks` made. */
  links: number;
  seal_key: Buffer;
  /** The clicks happened evenly between these times. */
  since: number;
  until: number;
}

/** Clicks of iPhones that nobody has claimed: the n-th token is that of `addressOf(n)`. */
export async function fillTokens(db: Database, tokens: Tokens, count: number): Promise<void> {
  const { app_id, links, seal_key, since, until } = tokens;
  const fingerprints = createFingerprints(seal_key);
  const rowOf = (place: number) => {
    const created_at = since + Math.floor((place * (until - since)) / count);
    const number = Number((BigInt(place) * BigInt(STRIDE)) % BigInt(count));
    const link = number % links;
    return {
      ...{ app_id, link_id: linkIdOf(link), platform: "ios", os_version: "17.4", locale: "en-gb", params: null },
      cid: created_at.toString(16).padStart(12, "0") + place.toString(16).padStart(20, "0"),
      dest_url: "https://apps.apple.com/app/id000000001",
      utm: '{"utm_source":"newsletter"}',
      ...fingerprints.of(addressOf(number), IPHONE, created_at),
      ...{ created_at, expires_at: created_at + TOKEN_LIFETIME_MS },
    };
  };
  for (let from = 0; from < count; from += CHUNK_ROWS * CHUNKS) {
    const statements: Statement[] = [];
    for (let at = from; at < Math.min(count, from + CHUNK_ROWS * CHUNKS); at += CHUNK_ROWS) {
      const length = Math.min(CHUNK_ROWS, count - at);
      statements.push(insertClicks(Array.from({ length }, (_, index) => rowOf(at + index))));
    }
    await db.batch(statements);
  }
}
