// An attempt with a real webhook and a gate that answers what the test says.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { type Destination, hideIn, isUnreadableText, prepareDestination } from "../destinations/destination.ts";
import { newWebhookRow } from "../destinations/webhook-row.ts";
import { type Exchange, keepHeaders, type OutboundRequest } from "../platform/exchange.ts";
import { uuidFloor } from "../platform/ids.ts";
import { createSealer, type Sealer } from "../platform/sealing.ts";
import { type AttemptContext, attempt, giveUp, type Ready, wasInterruptedTooOften } from "./attempt.ts";
import { DUE_FIRST } from "./due.ts";
import { INTERRUPTIONS_MAX, PARKED_AFTER_MS } from "./policy.ts";

const NOW = 1_700_000_000_000;
const READY: Ready = {
  ...{ destination_id: "dst_a", position: "019c1363-95eb-7000-8197-52ec64a7690b", app_id: "shop", event: "link.click" },
  ...{ attempt: 1, failures: 0, trigger: "auto", resume_state: null, resume_at: null, lease_until: NOW + 45_000 },
  ...{ event_id: "019c1363-95eb-7000-8197-52ec64a7690b", body: "{}", is_test: false, previous: null, next: null },
};
const sealer = createSealer(randomBytes(32));

function newRow(input: Record<string, unknown>, by: Sealer) {
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  const made = { id: "dst_a", app_id: "shop", secret, now: NOW, default_retry_schedule: [5] };
  return newWebhookRow(
    made,
    WebhookCreate.parse({ url: "https://example.com/", events: ["link.click"], ...input }),
    by,
  );
}

function webhook(input: Record<string, unknown> = {}): Destination {
  return prepareDestination(newRow(input, sealer), { sealer, version: "1.0.0" });
}

function answer(changes: Partial<Exchange & { kind: "response" }>): Exchange {
  return {
    ...{ kind: "response", status: 200, headers: {}, snippet: "", truncated: false, started_at: NOW, duration_ms: 7 },
    ...{ timings_ms: { dns: null, connect: null, tls: null, first_byte: 5, total: 7 } },
    ...changes,
  };
}

async function make(
  destination: Destination,
  exchange: Exchange,
  ready: Ready = READY,
  countTries: AttemptContext["store"]["countTries"] = () => assert.fail("nothing is given up for its tries"),
) {
  const sent: OutboundRequest[] = [];
  const egress = {
    async send(request: OutboundRequest) {
      sent.push(request);
      return exchange;
    },
  };
  const context = { egress, store: { countTries }, now: () => NOW, random: () => 0.5 };
  return { sent, made: await attempt(context, ready, destination) };
}

const ends: { title: string; exchange: Exchange; state: string; outcome: string; due_at: number | null }[] = [
  { title: "a 2xx", exchange: answer({ status: 204 }), state: "succeeded", outcome: "accepted", due_at: null },
  { title: "a 503", exchange: answer({ status: 503 }), state: "pending", outcome: "refused", due_at: NOW + 5_000 },
  { title: "a 400", exchange: answer({ status: 400 }), state: "failed", outcome: "refused", due_at: null },
  {
    title: "no answer",
    exchange: { ...answer({}), kind: "failure", code: "timeout", message: "late" } as Exchange,
    ...{ state: "pending", outcome: "unreachable", due_at: NOW + 5_000 },
  },
];
for (const { title, exchange, state, outcome, due_at } of ends) {
  test(`${title} is recorded as ${outcome} and leaves the delivery ${state}`, async () => {
    const { made, sent } = await make(webhook(), exchange);
    assert.equal(sent.length, 1);
    assert.deepEqual([made.decision.state, made.record.outcome, made.decision.due_at], [state, outcome, due_at]);
    assert.deepEqual([made.record.number, made.record.trigger, made.record.duration_ms], [1, "auto", 7]);
    assert.equal(made.settled_at, state === "pending" ? null : NOW);
  });
}

test("a probe that is refused behind the schedule parks what a link waits for, also what a replay sends again", async () => {
  const position = uuidFloor(NOW - PARKED_AFTER_MS);
  const head = { ...READY, position, attempt: 2, trigger: "probe", resume_state: "pending", resume_at: NOW } as const;
  const stateOf = async (changes: Partial<Ready>, countTries = async (_: unknown, after: number) => 1 - after) =>
    (await make(webhook(), answer({ status: 503 }), { ...head, ...changes }, countTries)).made.decision.state;
  assert.equal(await stateOf({ order_key: "lnk_1" }), "failed", "with this one both attempts of its schedule");
  const replayed = { order_key: "lnk_1", replay_id: "rpl_1", armed_at: NOW - PARKED_AFTER_MS, armed_attempt: 1 };
  assert.equal(await stateOf(replayed), "pending", "one of them was before");
  assert.equal(await stateOf(replayed, async () => 1), "failed");
  const failing = () => Promise.reject(new Error("no database"));
  assert.equal(await stateOf({ order_key: "lnk_1" }, failing), "pending", "nobody tells how often it was tried");
  assert.equal((await make(webhook(), answer({ status: 503 }), head)).made.decision.state, "pending", "no link waits");
  const { state, reason } = giveUp({ ...head, order_key: "lnk_1" }, "Its event was erased.", NOW).decision;
  assert.deepEqual([state, reason], ["failed", "Its event was erased."], "nothing was sent");
});

test("whether the receiver was silent, or was never asked, is said of the attempt", async () => {
  const failure = { ...answer({}), kind: "failure", message: "" };
  const silent = { ...failure, code: "timeout", is_silence: true } as Exchange;
  const refused = { ...failure, code: "refused_address", is_silence: false } as Exchange;
  const said = await Promise.all([silent, refused, answer({})].map((exchange) => make(webhook(), exchange)));
  assert.deepEqual(
    said.map(({ made }) => [made.record.outcome, made.is_silence]),
    [
      ["unreachable", true],
      ["unreachable", false],
      ["accepted", false],
    ],
  );
});

test("a destination that cannot be read sends nothing, and its attempts say why", async () => {
  const row = newRow({}, createSealer(randomBytes(32)));
  const broken = prepareDestination(row, { sealer, version: "1.0.0" });
  const { made, sent } = await make(broken, answer({}));
  assert.equal(sent.length, 0);
  assert.deepEqual([made.record.outcome, made.decision.state], ["misconfigured", "pending"]);
  assert.equal(made.record.error, broken.misconfigured);
  assert.deepEqual([made.decision.failures, made.counts], [0, false], "nobody at the other end has failed");
  const settings = { ...webhook(), build: () => assert.fail("no request can be made of these settings") };
  const unbuilt = (await make(settings, answer({}))).made;
  assert.deepEqual([unbuilt.record.outcome, unbuilt.decision.failures, unbuilt.counts], ["misconfigured", 1, true]);
});

test("whatever cannot be read is recognised by its text once it can be again, and no other error is", async () => {
  const row = newRow({}, sealer);
  const broken = [
    newRow({}, createSealer(randomBytes(32))),
    { ...row, secrets: row.secrets.replace("v1.", "v1.0") },
    { ...row, secrets: row.secrets.replace("v1.", "v2.") },
    { ...row, config: "{}" },
    { ...row, filter: '{"unknown":1}' },
    { ...row, type: "pigeon" },
  ];
  for (const one of broken) {
    const { misconfigured } = prepareDestination(one, { sealer, version: "1.0.0" });
    assert.ok(misconfigured !== null && isUnreadableText(misconfigured), String(misconfigured));
  }
  for (const text of ["The receiver answered 500", "no request can be made of these settings"])
    assert.equal(isUnreadableText(text), false);
});

test("what a receiver echoes of the sealed headers is not kept", async () => {
  const secret = "Bearer s3cr3t-value";
  const echo = answer({ snippet: `{"authorization":"${secret}","x":"s3cr3t-value"}`, headers: { "x-echo": secret } });
  const { made } = await make(webhook({ headers: { Authorization: secret } }), echo);
  assert.equal(made.record.response_snippet, '{"authorization":"••••••••","x":"••••••••"}');
  assert.equal(made.record.response_headers, '{"x-echo":"••••••••"}');
  const plain = (await make(webhook(), echo)).made;
  assert.match(plain.record.response_snippet, /s3cr3t/, "without sealed headers nothing is touched");
});

test("nor the beginning of one that a header had no room for, and what is left is JSON, whatever the secret", async () => {
  const jwt = `eyJ${"hbGciOi".repeat(200)}`;
  const kept = keepHeaders(
    new Map([
      ["x-echo", `got ${jwt}`],
      ["server", '":"BaseHTTP/0.6'],
    ]),
  );
  const settings = { headers: { Authorization: `Bearer ${jwt}`, "X-Key": '":"BaseHTTP/' } };
  const { made } = await make(webhook(settings), answer({ headers: kept }));
  assert.deepEqual(JSON.parse(made.record.response_headers), { "x-echo": "got ••••••••", server: "••••••••0.6" });
});

test("a receiver that leads to a host named like a sealed header has no reason told with its value", async () => {
  const secret = "S3cr3t-value-1";
  const redirect = answer({ status: 302, headers: { location: `https://${secret}.example/` } });
  const failure = { ...answer({}), kind: "failure", code: "tls", message: `it is ${secret}.example` } as Exchange;
  for (const exchange of [redirect, failure]) {
    for (const retry_on of ["retriable", "any_failure"]) {
      const { made } = await make(webhook({ headers: { "X-Key": secret }, retry_on }), exchange);
      assert.doesNotMatch(JSON.stringify(made), /s3cr3t-value/i);
      assert.match(made.record.error ?? "", /•{8}\.example/);
      assert.equal(made.decision.reason, made.record.error);
    }
  }
  const settings = { ...webhook({ headers: { "X-Key": secret } }), build: () => assert.fail(`no header ${secret}`) };
  assert.equal((await make(settings, redirect)).made.record.error, "no header ••••••••");
  const gone = { kind: "refused", retriable: false, message: secret, disable: secret } as const;
  const { hide } = webhook({ headers: { "X-Key": secret } });
  assert.deepEqual(hideIn(gone, hide), { ...gone, message: "••••••••", disable: "••••••••" });
});

test("tests say nothing about health, attempts by hand do", async () => {
  for (const [trigger, is_test, counts] of [
    ["auto", false, true],
    ["manual", false, true],
    ["test", true, false],
    ["manual", true, false],
  ] as const) {
    assert.equal((await make(webhook(), answer({}), { ...READY, trigger, is_test })).made.counts, counts, trigger);
  }
  assert.equal(giveUp(READY, "erased", NOW).counts, false);
  const failure = { ...answer({}), kind: "failure", message: "" };
  assert.equal((await make(webhook(), { ...failure, code: "timeout" } as Exchange)).made.counts, true);
});

test("an attempt that a stop of this server has cut off costs nothing, not even the only one", async () => {
  const ofStop = { ...answer({}), kind: "failure", code: "aborted", message: "stopping" } as Exchange;
  const only = prepareDestination(newRow({ retry_schedule: [] }, sealer), { sealer, version: "1.0.0" });
  const { made } = await make(only, ofStop);
  const { state, reason, failures, due_at } = made.decision;
  assert.deepEqual([state, reason, failures, due_at], ["pending", "stopping", 0, NOW]);
  assert.deepEqual([made.counts, made.settled_at, made.record.cause], [false, null, "aborted"]);
  const by_hand = { ...READY, trigger: "manual", resume_state: "failed", resume_at: null, failures: 3 } as const;
  const anew = (await make(only, ofStop, by_hand)).made.decision;
  assert.deepEqual([anew.state, anew.trigger, anew.restored, anew.due_at], ["pending", "manual", false, DUE_FIRST]);
  const probe = { ...READY, trigger: "probe", resume_state: "pending", resume_at: NOW + 9, failures: 3 } as const;
  const { restored, ...back } = (await make(only, ofStop, probe)).made.decision;
  assert.deepEqual([restored, back.state, back.trigger, back.due_at], [true, "pending", "auto", NOW + 9]);
});

const claims: { title: string; ready: Partial<Ready>; records: number; is_too_often: boolean }[] = [
  { title: "few claims", ready: { attempt: INTERRUPTIONS_MAX }, records: 0, is_too_often: false },
  { title: "too many without a result", ready: { attempt: INTERRUPTIONS_MAX + 1 }, records: 0, is_too_often: true },
  {
    title: "as many with a result",
    ready: { attempt: 2 * INTERRUPTIONS_MAX },
    records: INTERRUPTIONS_MAX,
    is_too_often: false,
  },
  { title: "failures that count", ready: { attempt: 900, failures: 899 }, records: 0, is_too_often: false },
  {
    title: "one that a person asks for then",
    ready: { attempt: 2 * INTERRUPTIONS_MAX, trigger: "manual" },
    ...{ records: 0, is_too_often: false },
  },
  {
    title: "one that a person asked for, as often again",
    ready: { attempt: 2 * INTERRUPTIONS_MAX + 1, trigger: "manual" },
    ...{ records: 0, is_too_often: true },
  },
];
for (const { title, ready, records, is_too_often } of claims) {
  test(`${title}: ${is_too_often ? "given up" : "tried"}`, async () => {
    assert.equal(await wasInterruptedTooOften({ ...READY, ...ready }, async () => records), is_too_often);
  });
}
