// What a receiver got, read as deliveries and held against what was promised and what the server has recorded. Called by
// the tests of server/test/flows/ when everything is drained. Every check names the first ids that break it.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { deliveryId } from "../../src/deliveries/delivery.ts";
import type { Database } from "../../src/platform/database.ts";
import { sql } from "../../src/platform/sql.ts";
import type { ReceivedRequest } from "./receiver.ts";
import type { Hook, Site } from "./site.ts";
import type { Promises } from "./traffic.ts";

const SHOWN_MAX = 5;

export interface Sent {
  hook: Hook;
  delivery_id: string;
  attempt: number;
  event_id: string;
  event: string;
  data: { cid?: string; user_id?: string };
  body: Buffer;
  at: Date;
}

export interface Ledger {
  sent: Sent[];
  by_delivery: Map<string, Sent[]>;
  /** Ids of the events of one type at one webhook, by the value that the test knows them by. */
  idsBy(hook: Hook, event: string, key: (sent: Sent) => string | undefined): Map<string, Set<string>>;
}

/**
 * Reads and verifies every request: both signatures, the id in header and body, one body for one id.
 * @param verify another way to check the Standard Webhooks signature, where the sender's clock was set
 */
export function readLedger(
  received: readonly ReceivedRequest[],
  hooks: readonly Hook[],
  verify: (hook: Hook) => Verify = verifyNow,
): Ledger {
  const readers = new Map(hooks.map((hook) => [hook.path, { hook, verify: verify(hook) }]));
  const sent = received.map((request) => {
    const reader = readers.get(request.path);
    assert.ok(reader !== undefined, `a request to ${request.path}`);
    return readSent(request, reader.hook, reader.verify);
  });
  const bodies = new Map<string, Buffer>();
  for (const { event_id, body } of sent) {
    const first = bodies.get(event_id) ?? body;
    bodies.set(event_id, first);
    assert.ok(first.equals(body), `the bodies of ${event_id} differ:\n${first}\n${body}`);
  }
  return {
    sent,
    by_delivery: Map.groupBy(sent, ({ delivery_id }) => delivery_id),
    idsBy(hook, event, key) {
      const ids = new Map<string, Set<string>>();
      for (const one of sent) {
        const value = one.hook === hook && one.event === event ? key(one) : undefined;
        if (value !== undefined) ids.set(value, (ids.get(value) ?? new Set()).add(one.event_id));
      }
      return ids;
    },
  };
}

/** Throws when the signature does not fit the body, the id and the time. */
type Verify = (text: string, headers: Record<string, string>) => void;

function verifyNow({ secret }: Hook): Verify {
  const standard = new Webhook(secret);
  return (text, headers) => void standard.verify(text, headers);
}

/** Whatever the time was where it was sent. */
export function verifyAnyTime({ secret }: Hook): Verify {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return (text, headers) => {
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${text}`;
    assert.equal(headers["webhook-signature"], `v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
  };
}

function readSent({ headers, body, at }: ReceivedRequest, hook: Hook, verify: Verify): Sent {
  const text = body.toString("utf8");
  verify(text, headers as Record<string, string>);
  const own = `sha256=${createHmac("sha256", hook.secret).update(body).digest("hex")}`;
  assert.equal(headers["x-linkme-signature"], own);
  const envelope: Pick<Sent, "event" | "data"> & { id: string } = JSON.parse(text);
  assert.equal(headers["webhook-id"], envelope.id);
  return {
    hook,
    delivery_id: String(headers["x-linkme-delivery"]),
    attempt: Number(headers["x-linkme-attempt"]),
    event_id: envelope.id,
    event: envelope.event,
    data: envelope.data,
    body,
    at,
  };
}

/** Every promise was kept at every webhook that wants it, and no click, claim or app open became two events. */
export function assertPromisesKept(ledger: Ledger, site: Site, promises: Promises): void {
  const known_by: [string, ReadonlySet<string>, (sent: Sent) => string | undefined][] = [
    ["link.click", promises.clicks, ({ data }) => data.cid],
    ["link.token_created", promises.clicks, ({ data }) => data.cid],
    ["link.claim", promises.claims, ({ data }) => data.cid],
    ["link.app_open", promises.opens, ({ data }) => data.user_id],
    ["link.app_open", promises.events, ({ event_id }) => event_id],
  ];
  for (const hook of site.hooks) {
    for (const [event, promised, key] of known_by) {
      if (hook.events !== null && !hook.events.includes(event)) continue;
      const ids = ledger.idsBy(hook, event, key);
      assertNone(
        [...promised].filter((value) => !ids.has(value)),
        `${event} promised and not delivered`,
      );
      assertNone(
        [...ids].filter(([, of]) => of.size > 1).map(([value]) => value),
        `more than one ${event}`,
      );
    }
  }
}

/**
 * A request is sent again only when the earlier one could not be recorded or was refused, and only under a new number.
 * Answers the requests that were never recorded: what the dead processes had in flight.
 */
export async function assertRepeatsExplained(ledger: Ledger, db: Database): Promise<Sent[]> {
  const recorded = await readRecorded(db);
  const interrupted: Sent[] = [];
  const wrong: string[] = [];
  for (const [id, sent] of ledger.by_delivery) {
    const numbers = sent.map(({ attempt }) => attempt);
    const outcomes = recorded.get(id) ?? new Map<number, string>();
    const accepted = [...outcomes].filter(([, outcome]) => outcome === "accepted").map(([number]) => number);
    const is_right =
      new Set(numbers).size === numbers.length && accepted.length === 1 && accepted[0] === Math.max(...numbers);
    if (!is_right) wrong.push(`${id}: sent ${numbers}, recorded ${JSON.stringify([...outcomes])}`);
    interrupted.push(...sent.filter(({ attempt }) => !outcomes.has(attempt)));
  }
  assertNone(wrong, "sent again without a reason");
  return interrupted;
}

/** The outcomes of recorded attempts, by their number, of each delivery. */
export async function readRecorded(db: Database): Promise<Map<string, Map<number, string>>> {
  const recorded = new Map<string, Map<number, string>>();
  const attempts = await db.query<{ destination_id: string; position: string; number: number; outcome: string }>(
    sql`select destination_id, position, number, outcome from attempt_history`,
  );
  for (const row of attempts) {
    const id = deliveryId(row);
    recorded.set(id, (recorded.get(id) ?? new Map()).set(row.number, row.outcome));
  }
  return recorded;
}

/** Clicks that are not counted at their links yet. */
async function countWaiting(db: Database): Promise<number> {
  const waiting = await db.query<{ tallies: string }>(sql`select tallies from link_tallies`);
  const of_links = waiting.flatMap(({ tallies }) => JSON.parse(tallies) as [link_id: string, clicks: number][]);
  return of_links.reduce((sum, [, clicks]) => sum + clicks, 0);
}

/** What is stored belongs together: whatever is written in one transaction is there as a whole. */
export async function assertWhole(ledger: Ledger, db: Database, site: Site): Promise<void> {
  const facts = await db.query<{ what: string; n: number }>(sql`
    select 'events' as what, count(*) as n from events
    union all select 'clicks', count(*) from clicks
    union all select 'click events', count(*) from events where event = 'link.click'
    union all select 'token events', count(*) from events where event = 'link.token_created'
    union all select 'counted clicks', coalesce(sum(click_count), 0) from links
    union all select 'claimed clicks', count(*) from clicks where claimed_at is not null
    union all select 'claim events', count(*) from events where event = 'link.claim'
    union all select 'deliveries without their event', count(*) from deliveries as d where not exists
      (select 1 from events as e where e.app_id = d.app_id and e.position = d.position)
    union all select 'deliveries not succeeded', count(*) from deliveries where state <> 'succeeded'`);
  // Sums are numerics in PostgreSQL, which the driver hands over as text.
  const stored = Object.fromEntries(facts.map(({ what, n }) => [what, Number(n)]));
  stored["counted clicks"] = (stored["counted clicks"] ?? 0) + (await countWaiting(db));
  assert.equal(stored["deliveries not succeeded"], 0);
  assert.equal(stored["deliveries without their event"], 0);
  for (const same of ["click events", "token events", "counted clicks"]) {
    assert.equal(stored[same], stored["clicks"], same);
  }
  assert.equal(stored["claim events"], stored["claimed clicks"]);
  for (const hook of site.hooks.filter(({ events }) => events === null)) {
    const delivered = new Set(ledger.sent.filter((one) => one.hook === hook).map(({ event_id }) => event_id));
    assert.equal(delivered.size, stored["events"], "events delivered and stored");
  }
}

/** Batches that were cut off left all of their events or none. */
export function assertBatchesWhole(ledger: Ledger, batches: readonly string[][]): void {
  const delivered = new Set(ledger.sent.map(({ event_id }) => event_id));
  const torn = batches.filter((ids) => {
    const there = ids.filter((id) => delivered.has(id)).length;
    return there > 0 && there < ids.length;
  });
  assertNone(torn.map(String), "batches stored in part");
}

export function assertNone(found: readonly string[], what: string): void {
  assert.equal(found.length, 0, `${found.length} × ${what}, such as:\n${found.slice(0, SHOWN_MAX).join("\n")}`);
}
