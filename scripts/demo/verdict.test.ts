import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import type { DeliveryDetail } from "#contract/deliveries.ts";
import type { EventWithFates } from "#contract/events.ts";
import { countByType, type DemoLink, expectEvents, type Visit } from "./expectation.ts";
import { createReception, type Receipt } from "./reception.ts";
import { judge, type Observation, type Promised } from "./verdict.ts";

const SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdmVyZGljdCdzIHRlc3Q=";
const START = Date.parse("2026-01-31T09:30:00.000Z");
const CID = "4b7cc5694dd3a265bac326eaba31266e";
const PROMISED: Promised = { app_id: "demo", webhook_id: "dst_1", retry_after_ms: 800 };
const LINK: DemoLink = { id: "lnk_1", slug: "sale", path: "/products/42", utm: { utm_source: "newsletter" } };
const IPHONE: Visit = {
  platform: "ios",
  dest_url: "https://apps.apple.com/app/id1",
  cid: CID,
  claim: { type: "fingerprint", bundle_id: "com.example.shop" },
  app_opened_at: 1_769_852_062,
};
const ANDROID: Visit = { ...IPHONE, platform: "android", claim: { type: "install_referrer", bundle_id: null } };
const DESKTOP: Visit = {
  platform: "web",
  dest_url: "https://shop.example/",
  cid: null,
  claim: null,
  app_opened_at: null,
};
const EXPECTED = expectEvents([IPHONE], LINK);
/** Members that are promised for every event of a type, but not told by the journey. */
const REST: Record<string, object> = {
  "link.token_created": { expires_at: "2026-03-02T09:30:00.000Z", methods: ["fingerprint"] },
  "link.claim": { claimed_at: "2026-01-31T09:30:00.000Z" },
};

/** The facts of an iPhone's visit, in which everything went as promised. The third event was refused first. */
function goodObservation(): { receipts: Receipt[]; deliveries: DeliveryDetail[]; events: EventWithFates[] } {
  const reception = createReception(SECRET);
  const seen: ReturnType<typeof goodObservation> = { receipts: [], deliveries: [], events: [] };
  EXPECTED.forEach(({ event, data }, index) => {
    const id = `019c1363-4b5c-71f1-84b7-80734420000${index}`;
    const delivery_id = `dlv_${index}`;
    const ts = new Date(START).toISOString();
    const body = JSON.stringify({ id, event, ts, app_id: "demo", data: { ...data, ...REST[event] } });
    const own: Receipt[] = [];
    do {
      const headers = headersOf(body, { id, delivery_id, attempt: own.length + 1 });
      own.push(reception(headers, Buffer.from(body), START + 10 + index + own.length * 1_000));
    } while (own.at(-1)?.status !== 200);
    seen.receipts.push(...own);
    seen.deliveries.push(deliveryOf(own, { id: delivery_id, event_id: id, event, body }));
    seen.events.push({ ...JSON.parse(body), fates: [fate(delivery_id)] });
  });
  seen.receipts.sort((a, b) => a.received_at - b.received_at);
  return seen;
}

function headersOf(body: string, { id, delivery_id, attempt }: { id: string; delivery_id: string; attempt: number }) {
  const signature = `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`;
  const own = {
    "x-linkme-signature": signature,
    "x-linkme-delivery": delivery_id,
    "x-linkme-attempt": String(attempt),
  };
  return { ...own, "webhook-id": id };
}

function deliveryOf(
  receipts: Receipt[],
  { id, event_id, event, body }: Pick<DeliveryDetail, "id" | "event_id" | "event"> & { body: string },
): DeliveryDetail {
  const at = new Date(START).toISOString();
  const attempts: DeliveryDetail["attempts"] = receipts.map(({ status }, index) => ({
    id: `att_${id}_${index + 1}`,
    number: index + 1,
    trigger: "auto",
    started_at: at,
    duration_ms: 2,
    outcome: status === 200 ? "accepted" : "refused",
    status_code: status,
    error: null,
    cause: null,
    next_step: null,
    response_headers: {},
    response_snippet: "",
    response_truncated: false,
  }));
  return {
    ...{ id, event_id, event, app_id: "demo", destination_id: "dst_1", state: "succeeded", reason: null },
    ...{ attempt_count: attempts.length, next_attempt_at: null, created_at: at, settled_at: at },
    request: { url: "http://127.0.0.1:1/", headers: {}, body },
    attempts,
    expired: null,
  };
}

function fate(delivery_id: string): EventWithFates["fates"][number] {
  return { destination_id: "dst_1", state: "succeeded", reason: null, next_step: null, delivery_id };
}

/** A copy with one receipt changed; the one at `index` in the order of arrival. */
function withReceipt(seen: Observation, index: number, change: Partial<Receipt>): Observation {
  return { ...seen, receipts: seen.receipts.map((one, at) => (at === index ? { ...one, ...change } : one)) };
}

function withDelivery(seen: Observation, change: Partial<DeliveryDetail>): Observation {
  return { ...seen, deliveries: seen.deliveries.map((one, at) => (at === 0 ? { ...one, ...change } : one)) };
}

test("What was done says which events must arrive", () => {
  const expected = expectEvents([IPHONE, ANDROID, DESKTOP], LINK);
  assert.equal(
    countByType(expected),
    "3 link.click, 3 link.token_created, 1 link.deferred_claim_attempt, 2 link.claim, 2 link.app_open",
  );
  assert.equal(countByType(expectEvents([], LINK)), "");
  assert.equal(countByType(expectEvents([DESKTOP], LINK)), "1 link.click, 1 link.token_created");
});

test("A journey as promised has a row for each event and no broken promise", () => {
  const { rows, broken } = judge(EXPECTED, goodObservation(), PROMISED);
  assert.deepEqual(broken, []);
  assert.deepEqual(
    rows.map(({ event, statuses, is_kept }) => [event, statuses, is_kept]),
    [
      ["link.click", [200], true],
      ["link.token_created", [200], true],
      ["link.deferred_claim_attempt", [503, 200], true],
      ["link.claim", [200], true],
      ["link.app_open", [200], true],
    ],
  );
  assert.equal(rows[2]?.delivered_ms, 1_012);
});

type Breaking = (seen: ReturnType<typeof goodObservation>) => Observation;
// The receipts by their index: 0 and 1 are click and token, 2 is the refused attempt, 5 its repetition.
const BREAKINGS: [string, Breaking, RegExp][] = [
  [
    "is missing altogether",
    ({ receipts, deliveries, events }) => ({
      receipts: receipts.filter(({ event_id }) => event_id !== events[4]?.id),
      deliveries: deliveries.slice(0, 4),
      events: events.slice(0, 4),
    }),
    /^link\.app_open \(ios\) is missing/,
  ],
  [
    "was stored and never delivered",
    (seen) => ({ ...seen, receipts: seen.receipts.filter(({ event_id }) => event_id !== seen.events[4]?.id) }),
    /never saw it/,
  ],
  [
    "exists a second time under another id",
    (seen) => ({ ...seen, events: [...seen.events, { ...(seen.events[0] as EventWithFates), id: "another" }] }),
    /^link\.click \(ios, …another\) is one too many/,
  ],
  [
    "was delivered again after its 2xx",
    ({ receipts, ...rest }) => {
      const again = { ...(receipts[0] as Receipt), attempt: 2, received_at: START + 5_000 };
      return { ...rest, receipts: [...receipts, again] };
    },
    /attempted with 200 → 200, promised was 200/,
  ],
  [
    "has other bytes in its second attempt",
    (seen) => withReceipt(seen, 5, { body: "e30=" }),
    /other bytes in attempt 2/,
  ],
  [
    "has a bad signature in its first attempt",
    (seen) => withReceipt(seen, 0, { signature_is_valid: false, envelope: null }),
    /signature in attempt 1 that the SDK does not accept/,
  ],
  [
    "has a bad signature in its second attempt",
    (seen) => withReceipt(seen, 5, { signature_is_valid: false, envelope: null }),
    /signature in attempt 2 that the SDK does not accept/,
  ],
  [
    "never succeeded after its refusal",
    ({ receipts, ...rest }) => ({ ...rest, receipts: receipts.slice(0, 5) }),
    /attempted with 503, promised was 503 → 200/,
  ],
  ["was refused in the second attempt too", (seen) => withReceipt(seen, 5, { status: 503 }), /503 → 503, promised was/],
  [
    "was not refused when it should have been",
    (seen) => withReceipt(seen, 2, { status: 200 }),
    /200 → 200, promised was/,
  ],
  ["counts its attempts wrongly", (seen) => withReceipt(seen, 5, { attempt: 3 }), /attempt 2 number 3/],
  ["came again too early", (seen) => withReceipt(seen, 5, { received_at: START + 500 }), /came again after 488 ms/],
  ["is no envelope", (seen) => withReceipt(seen, 0, { envelope: null }), /body that is no envelope in attempt 1/],
  ["lacks promised members", (seen) => withReceipt(seen, 0, { is_known_event: false }), /lacks a member/],
  [
    "has another id in its body",
    (seen) => withReceipt(seen, 0, { envelope: { id: "x", event: "link.click", app_id: "demo", data: {} } }),
    /the id x in its body/,
  ],
  [
    "belongs to another app",
    (seen) => {
      const envelope = { ...(seen.receipts[0]?.envelope as NonNullable<Receipt["envelope"]>), app_id: "other" };
      return withReceipt(seen, 0, { envelope });
    },
    /the app other instead of demo/,
  ],
  [
    "says something else than was done",
    (seen) => {
      const envelope = seen.receipts[0]?.envelope as NonNullable<Receipt["envelope"]>;
      return withReceipt(seen, 0, { envelope: { ...envelope, data: { ...envelope.data, link_id: "lnk_2" } } });
    },
    /data\.link_id = "lnk_2", promised was "lnk_1"/,
  ],
  ["is not listed by the API", (seen) => ({ ...seen, events: seen.events.slice(1) }), /the API does not list it/],
  ["has no delivery in the API", (seen) => ({ ...seen, deliveries: seen.deliveries.slice(1) }), /has 0 deliveries/],
  [
    "has two deliveries in the API",
    (seen) => ({ ...seen, deliveries: [...seen.deliveries, seen.deliveries[0] as DeliveryDetail] }),
    /has 2 deliveries/,
  ],
  ["is called failed by the API", (seen) => withDelivery(seen, { state: "failed" }), /called failed by the API/],
  ["is still pending in the API", (seen) => withDelivery(seen, { state: "pending" }), /called pending by the API/],
  ["has another number of attempts in the API", (seen) => withDelivery(seen, { attempt_count: 2 }), /attempt_count 2/],
  ["has other statuses in the API", (seen) => withDelivery(seen, { attempts: [] }), /nothing recorded in the API/],
  [
    "has another body in the API",
    (seen) => withDelivery(seen, { request: { url: "", headers: {}, body: "{}" } }),
    /another body in the API/,
  ],
  ["carried another delivery's id", (seen) => withReceipt(seen, 0, { delivery_id: "dlv_9" }), /carried dlv_9/],
  [
    "has another fate in the API",
    (seen) => ({ ...seen, events: seen.events.map((event) => ({ ...event, fates: [] })) }),
    /its one fate/,
  ],
];

for (const [what, breaking, sentence] of BREAKINGS) {
  test(`The verdict fails when an event ${what}`, () => {
    const { rows, broken } = judge(EXPECTED, breaking(goodObservation()), PROMISED);
    assert.ok(
      broken.some((text) => sentence.test(text)),
      `none of these: ${broken.join("\n")}`,
    );
    assert.ok(broken.every((text) => /^link\.[a-z_]+ .*\.$/.test(text)));
    assert.ok(rows.some(({ is_kept }) => !is_kept));
  });
}
