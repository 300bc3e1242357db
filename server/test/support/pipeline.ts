// The pipeline without HTTP in front: an app `shop`, its destinations, a dispatcher and the event log, in this process.
// Used by the tests beside server/src/events.
import { randomBytes } from "node:crypto";
import { after } from "node:test";
import { createDeliveries } from "../../src/deliveries/deliveries.ts";
import { createDispatcher } from "../../src/deliveries/dispatcher.ts";
import { ALONE } from "../../src/deliveries/presence.ts";
import type { LookUpHolds } from "../../src/deliveries/present-limits.ts";
import { createDeliveryStore } from "../../src/deliveries/store.ts";
import { createDestinations } from "../../src/destinations/destinations.ts";
import type { Verdict } from "../../src/destinations/failing.ts";
import { createEventLog } from "../../src/events/append.ts";
import { createEvents } from "../../src/events/events.ts";
import { createEventStore } from "../../src/events/store.ts";
import { createCommitter } from "../../src/platform/committer.ts";
import { createEgress } from "../../src/platform/egress.ts";
import { createIds } from "../../src/platform/ids.ts";
import { createSealer } from "../../src/platform/sealing.ts";
import { sql } from "../../src/platform/sql.ts";
import type { Engine } from "./engines.ts";
import { FAILURE_RULES } from "./failing.ts";

const clock = {
  now: Date.now,
  after(delay_ms: number, callback: () => void) {
    const timer = setTimeout(callback, delay_ms);
    return () => clearTimeout(timer);
  },
};

/** @param told what keeps deliveries waiting; absent: what the dispatcher itself says */
export async function openPipeline(engine: Engine, exclusive = true, told?: LookUpHolds) {
  const db = await engine.open();
  await db.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
    match_window_seconds, destinations_version, created_at, updated_at) values ('shop', 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`);
  const ids = createIds();
  const egress = createEgress({ allow: ["127.0.0.0/8"] });
  const committer = createCommitter(db);
  const destinations = createDestinations({
    ...{ db, ids, egress, version: "0.0.0", now: Date.now, default_retry_schedule: [0, 0] },
    failure_rules: FAILURE_RULES,
    sealer: createSealer(randomBytes(32)),
  });
  const store = createDeliveryStore(db);
  const logged: Record<string, unknown>[] = [];
  /** What the reviews and refusals of attempts came to, in order. */
  const verdicts: (Verdict["state"] | null)[] = [];
  const watched = {
    ...destinations,
    async review(...of: Parameters<typeof destinations.review>) {
      const verdict = await destinations.review(...of);
      verdicts.push(verdict?.state ?? null);
      return verdict;
    },
    async disable(...of: Parameters<typeof destinations.disable>) {
      const is_new = await destinations.disable(...of);
      verdicts.push(is_new ? "disabled" : null);
      return is_new;
    },
  };
  const dispatcher = createDispatcher({
    ...{ store, committer, destinations: watched, egress, clock, exclusive, presence: ALONE },
    random: Math.random,
    log: (event, fields) => void logged.push({ event, ...fields }),
  });
  const event_log = createEventLog({ committer, destinations, dispatcher, now: Date.now });
  const lookUpHolds: LookUpHolds = told ?? (async () => (webhook) => dispatcher.limitsOf(webhook.id));
  const events = createEvents({
    ...{ lookUpHolds, event_log, destinations, ids, store: createEventStore(db), deliveries: store, now: Date.now },
  });
  const deliveries = createDeliveries({
    store,
    destinations,
    dispatcher,
    positionOf: events.positionOf,
    lookUpHolds,
    keepingOf: async () => ({ event_retention_days: null, delivery_retention_days: null }),
    now: Date.now,
  });
  after(async () => {
    await dispatcher.stop(2_000);
    await egress.close();
  });
  return { db, destinations, dispatcher, events, deliveries, logged, verdicts };
}
