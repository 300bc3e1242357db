// A bounded load of everything that a server must not lose once it has answered: ingest, clicks, claims and app opens,
// and a record of what was promised. Called by the tests of server/test/flows/, which end the server while it runs.
// A request that is cut off promises nothing; any answer that the contract does not foresee fails the run.
import { Pool } from "undici";
import type { Random } from "./random.ts";
import { cidOf, PHONE, type Site } from "./site.ts";

const SENDERS = 8;
const BATCH_MAX_EVENTS = 20;
/** Answers that ask to come again; they promise nothing. */
const UNAVAILABLE = 503;

export interface Promises {
  /** Ids of events that ingest has accepted. */
  events: Set<string>;
  /** Tokens that visitors were given. */
  clicks: Set<string>;
  /** Tokens whose claim was answered. */
  claims: Set<string>;
  /** Users whose app open was answered. */
  opens: Set<string>;
  /** Ids of batches that were cut off: stored as a whole or not at all. */
  cut_batches: string[][];
}

export interface Traffic {
  promises: Promises;
  /** Requests that were answered so far, refused ones included. */
  counts: { answered: number; unavailable: number; without_token: number };
  /** Sends until the server is gone or `stop` is called. @rejects for an answer that nothing explains */
  run(url: string): Promise<void>;
  stop(): void;
}

interface Reply {
  status: number;
  location: unknown;
  /** Parsed JSON; null for an empty body. */
  body: { accepted?: string[]; duplicates?: string[]; cid?: string } | null;
}

type Send = (method: "GET" | "POST", path: string, body?: object) => Promise<Reply>;

export function createTraffic(site: Site, random: Random): Traffic {
  const promises: Promises = {
    events: new Set(),
    clicks: new Set(),
    claims: new Set(),
    opens: new Set(),
    cut_batches: [],
  };
  const counts = { answered: 0, unavailable: 0, without_token: 0 };
  const unclaimed: string[] = [];
  let stopped = false;

  const newEvent = (id?: string) => ({
    event: "link.app_open",
    data: { platform: "ios", type: "open", text: 'é☃𝄞\u2028"\\'.repeat(random.below(20)), number: random.below(1e9) },
    ...(id !== undefined && { id }),
  });

  async function ingestOne(send: Send): Promise<void> {
    const id = random.below(2) === 0 ? random.uuid() : undefined;
    const { status, body } = await send("POST", `/api/apps/${site.app_id}/events`, newEvent(id));
    if (status !== 202) return expect("ingest", status, [UNAVAILABLE]);
    keep(body?.accepted, id === undefined ? undefined : [id]);
  }

  async function ingestBatch(send: Send): Promise<void> {
    const ids = Array.from({ length: 2 + random.below(BATCH_MAX_EVENTS - 1) }, () => random.uuid());
    promises.cut_batches.push(ids);
    const { status, body } = await send("POST", `/api/apps/${site.app_id}/events`, { events: ids.map(newEvent) });
    // What was refused may have been stored all the same: the database can go between commit and answer.
    if (status !== 202) return expect("ingest", status, [UNAVAILABLE]);
    promises.cut_batches.splice(promises.cut_batches.indexOf(ids), 1);
    keep(body?.accepted, ids);
  }

  function keep(accepted: string[] | undefined, sent?: string[]): void {
    if (accepted === undefined || (sent !== undefined && accepted.join() !== sent.join())) {
      throw new Error(`Ingest answered ${accepted} for ${sent}.`);
    }
    for (const id of accepted) promises.events.add(id);
  }

  async function click(send: Send): Promise<void> {
    const { status, location } = await send("GET", `/${site.slug}?utm_source=flow&n=${random.below(1_000)}`);
    if (status !== 302) return expect("a redirect", status, []);
    const cid = cidOf(location);
    if (cid === null) {
      counts.without_token++;
      return;
    }
    promises.clicks.add(cid);
    unclaimed.push(cid);
  }

  async function claim(send: Send): Promise<void> {
    const cid = unclaimed.splice(random.below(unclaimed.length), 1)[0];
    if (cid === undefined) return click(send);
    let is_done = false;
    try {
      const { status } = await send("GET", `/api/deeplink?cid=${cid}`);
      is_done = status === 200;
      // A click that waits in the spool cannot be claimed yet.
      if (!is_done) return expect("a claim", status, [404, UNAVAILABLE]);
      promises.claims.add(cid);
    } finally {
      // As an SDK does: what was cut off is asked again, and is then a duplicate or not.
      if (!is_done) unclaimed.push(cid);
    }
  }

  async function appOpen(send: Send): Promise<void> {
    const userId = random.uuid();
    const { status } = await send("POST", "/api/app-events", { type: "open", platform: "ios", userId });
    if (status !== 204) return expect("an app open", status, [UNAVAILABLE]);
    promises.opens.add(userId);
  }

  function expect(what: string, status: number, expected: number[]): void {
    if (!expected.includes(status)) throw new Error(`The answer to ${what} was ${status}.`);
    if (status === UNAVAILABLE) counts.unavailable++;
  }

  const operations = [ingestOne, ingestBatch, click, click, click, claim, appOpen];

  async function sendUntilCut(pool: Pool): Promise<void> {
    const send: Send = async (method, path, body) => {
      const reply = await request(pool, site, { method, path, body });
      counts.answered++;
      return reply;
    };
    while (!stopped) {
      try {
        await random.pick(operations)?.(send);
      } catch (error) {
        if (isCut(error)) return;
        throw error;
      }
    }
  }

  async function run(url: string): Promise<void> {
    stopped = false;
    const pool = new Pool(url, { connections: SENDERS });
    try {
      await Promise.all(Array.from({ length: SENDERS }, () => sendUntilCut(pool)));
    } finally {
      stopped = true;
      await pool.destroy();
    }
  }

  return {
    promises,
    counts,
    run,
    stop: () => {
      stopped = true;
    },
  };
}

async function request(
  pool: Pool,
  site: Site,
  { method, path, body }: { method: "GET" | "POST"; path: string; body: object | undefined },
): Promise<Reply> {
  const isManagement = path.startsWith("/api/apps/");
  const response = await pool.request({
    method,
    path,
    headers: {
      "user-agent": PHONE,
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(isManagement ? { authorization: `Bearer ${site.admin_token}` } : { "x-app-id": site.app_id }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.body.text();
  const isJson = String(response.headers["content-type"]).includes("json");
  if (response.statusCode === UNAVAILABLE && response.headers["retry-after"] === undefined) {
    throw new Error(`${method} ${path} answered 503 without Retry-After: ${text}`);
  }
  return {
    status: response.statusCode,
    location: response.headers["location"],
    body: isJson ? JSON.parse(text) : null,
  };
}

/** The connection ended or could not be made: the server is gone, as the test wanted. */
function isCut(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^(?:ECONNRESET|ECONNREFUSED|EPIPE|UND_ERR_SOCKET)$/.test(code);
}
