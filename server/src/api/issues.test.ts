import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { WebhookCreate, WebhookPatch } from "#contract/destinations.ts";
import { IngestBody } from "#contract/events.ts";
import { LinkPatch } from "#contract/links.ts";
import { ReplayCreate } from "#contract/replays.ts";
import { PromoteBody } from "#contract/secrets.ts";
import { refuseIssues } from "./issues.ts";

const Count = z.strictObject({ n: z.number().int().min(1).max(9) });
const Text = z.strictObject({ t: z.string().min(2).max(3) });
const Items = z.strictObject({ a: z.array(z.boolean()).min(1).max(1) });

const RANGE = { since: "2026-01-31T00:00:00Z", until: "2026-02-01T00:00:00Z" };
const TYPES = "link.click, link.token_created, link.claim, link.app_open, link.deferred_claim_attempt";

const cases: [schema: z.ZodType, value: unknown, message: string][] = [
  [Count, {}, "n: required: a whole number from 1 to 9"],
  [Count, { n: null }, "n: a whole number from 1 to 9, not null"],
  [Count, { n: "1" }, "n: a whole number from 1 to 9"],
  [Count, { n: 1.5 }, "n: a whole number from 1 to 9"],
  [Count, { n: 0 }, "n: a whole number from 1 to 9"],
  [Count, { n: 10 }, "n: a whole number from 1 to 9"],
  [Count, { n: 1, m: 1 }, "m: unknown field: accepted is n"],
  [WebhookPatch, { rate_per_secnd: 1 }, 'rate_per_secnd: unknown field: did you mean "rate_per_second"?'],
  [WebhookPatch, { retrySchedule: [] }, 'retrySchedule: unknown field: did you mean "retry_schedule"?'],
  [ReplayCreate, { ...RANGE, state: ["failed"] }, 'state: unknown field: did you mean "states"?'],
  [
    ReplayCreate,
    { ...RANGE, x: 1 },
    `x: unknown field: accepted are ${Object.keys(ReplayCreate.def.shape).join(", ")}`,
  ],
  [IngestBody, { event: "link.click", data: {}, tss: 1 }, 'tss: unknown field: did you mean "ts"?'],
  [
    IngestBody,
    { events: [{ event: "link.click", data: {}, surprise: 1 }] },
    "events.0.surprise: unknown field: accepted are event, data, id, ts",
  ],
  [IngestBody, [], 'body: an object: one event, or several of them as {"events":[…]}'],
  [IngestBody, "x", "body: an object"],
  [z.strictObject({}), { a: 1 }, "a: unknown field: none is taken here"],
  [
    z.strictObject({ utm: z.partialRecord(z.enum(["utm_id", "utm_term", "tags"]), z.string()).nullish() }),
    { utm: { source: "x" } },
    "utm.source: unknown field: accepted are utm_id, utm_term, tags",
  ],
  [
    WebhookCreate,
    { url: "ftp://a.example/", events: [] },
    "url: ftp:// URLs are not accepted. Use a public https URL, such as https://example.com/webhooks. (and 1 more, see details)",
  ],
  [WebhookPatch, { url: "" }, "url: at least 1 character"],
  [WebhookPatch, { url: "x".repeat(2_049) }, "url: at most 2048 characters"],
  [Count, [], "body: an object"],
  [Text, { t: "a" }, "t: at least 2 characters"],
  [Text, { t: "abcd" }, "t: at most 3 characters"],
  [Items, { a: [] }, "a: at least 1 item"],
  [Items, { a: [true, false] }, "a: at most 1 item"],
  [Items, { a: [1] }, "a.0: true or false"],
  [z.strictObject({ k: z.enum(["x", "y"]) }), { k: "z" }, "k: one of x, y"],
  [LinkPatch, { enabled: 2 }, "enabled: 0 or 1 (true or false are taken too)"],
  [z.strictObject({ n: z.number() }), { n: "1" }, "n: a number"],
  [z.strictObject({ n: z.number().int() }), { n: 0.5 }, "n: a whole number"],
  [z.strictObject({ n: z.number().min(2) }), { n: 1 }, "n: a number of at least 2"],
  [z.strictObject({ n: z.number().max(2).optional() }), { n: 3 }, "n: a number of at most 2"],
  [z.union([Count, Text]), { n: 0 }, "n: a whole number from 1 to 9"],
  [WebhookPatch, { timeout_ms: 999 }, "timeout_ms: a whole number from 1000 to 60000"],
  [WebhookPatch, { max_in_flight: 1_001 }, "max_in_flight: a whole number from 1 to 1000"],
  [WebhookPatch, { retry_schedule: [604_801] }, "retry_schedule.0: a whole number from 0 to 604800"],
  [WebhookPatch, { rate_per_second: 0 }, "rate_per_second: a number from 0.01 to 100000, or null"],
  [WebhookPatch, { rate_per_second: "x" }, "rate_per_second: a number from 0.01 to 100000, or null"],
  [PromoteBody, { grace_seconds: -1 }, "grace_seconds: a whole number from 0 to 604800"],
  [WebhookCreate, { url: "https://a.example" }, `events: a non-empty array of event types, each one of ${TYPES}`],
  [WebhookPatch, { events: [] }, `events: at least one event type: ${TYPES}`],
  [IngestBody, { event: "link.click" }, "data: required: a JSON object"],
  [IngestBody, { event: "link.click", data: [] }, "data: a JSON object"],
  [
    IngestBody,
    { event: "link.click", data: JSON.parse('{"__proto__":{}}') },
    "data: a JSON object without a member called __proto__",
  ],
  [WebhookPatch, { filter: { path: "event" } }, "filter: no operator: one of equals, in, exists, prefix beside path"],
  [
    WebhookPatch,
    { filter: { path: "link_id", equals: "a", prefix: "a" } },
    "filter: two operators given: equals, prefix; one of them beside path",
  ],
  [
    WebhookPatch,
    { filter: { path: "link_id", exists: true, in: ["a"], prefix: "a" } },
    "filter: three operators given: in, exists, prefix; one of them beside path",
  ],
  [LinkPatch, { utm: 5 }, "utm: an object, or its JSON text"],
];
for (const [schema, value, message] of cases) {
  test(`${JSON.stringify(value)} is answered with "${message}"`, () => {
    const { error } = schema.safeParse(value);
    assert.equal(refuseIssues(error?.issues ?? [], { schema, part: "body" }).message, message);
  });
}

test("of very many mistakes the first are described and told, and the others are not even looked at", () => {
  const strange = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`x${n}`, 1]));
  const values = Array.from({ length: 1_000 }, () => 1);
  for (const [schema, value] of [
    [Count, { n: 1, ...strange }],
    [z.strictObject({ a: z.array(z.boolean()) }), { a: values }],
  ] as const) {
    const { error } = schema.safeParse(value);
    assert.ok(error !== undefined);
    const looked = { count: 0 };
    const issues = error.issues.map((issue) =>
      issue.code === "unrecognized_keys" ? { ...issue, keys: watched(issue.keys, looked) } : issue,
    );
    const is_one = issues.length === 1;
    const refusal = refuseIssues(is_one ? issues : watched(issues, looked), { schema, part: "body" });
    assert.equal(refusal.details?.length, 20);
    assert.equal(looked.count, 20);
  }
});

/** Counts how many of its elements are looked at. */
function watched<Element>(list: Element[], looked: { count: number }): Element[] {
  return new Proxy(list, {
    get(target, name, receiver) {
      if (typeof name === "string" && /^\d+$/.test(name)) looked.count++;
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
}
