// The check behind the typed events says the same as the contract's schemas, member by member.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { EVENT_DATA, EVENT_TYPES, type EventType } from "../../../contract/src/events.ts";
import {
  isLinkMeEvent,
  type LinkMeEvent,
  type LinkMeWebhookEnvelope,
  parseLinkMeWebhookEnvelope,
} from "../src/index.ts";

const SAMPLES_URL = new URL("../../../spec/events/", import.meta.url);
const WRONG_VALUES = [
  undefined,
  null,
  "",
  "text",
  0,
  1,
  1.5,
  true,
  false,
  [],
  ["direct"],
  ["x"],
  {},
  { a: "b" },
  { a: 1 },
];
/** Texts with a form of their own, which the SDK leaves to the server: here only their type is compared. */
const TIMES = ["expires_at", "claimed_at", "clicked_at"];

function readSample(name: string): LinkMeWebhookEnvelope {
  return parseLinkMeWebhookEnvelope(JSON.parse(readFileSync(new URL(name, SAMPLES_URL), "utf8")));
}

for (const name of readdirSync(SAMPLES_URL)) {
  test(`the sample ${name} is one of the known events`, () => {
    assert.equal(isLinkMeEvent(readSample(name)), true);
  });
}

for (const type of EVENT_TYPES) {
  test(`${type}: with any member missing or of another type, the SDK and the contract agree`, () => {
    const envelope = readSample(`${type}.json`);
    let refused = 0;
    for (const member of Object.keys(EVENT_DATA[type].shape)) {
      for (const value of WRONG_VALUES) {
        if (TIMES.includes(member) && typeof value === "string") continue;
        const data = { ...envelope.data, [member]: value };
        const known = EVENT_DATA[type].safeParse(data).success;
        assert.equal(isLinkMeEvent({ ...envelope, data }), known, `${member}: ${JSON.stringify(value)}`);
        if (!known) refused += 1;
      }
    }
    assert.ok(refused > 0);
  });
}

test("a member that this version does not know is no obstacle", () => {
  const envelope = readSample("link.click.json");
  assert.equal(isLinkMeEvent({ ...envelope, data: { ...envelope.data, country: "DE" } }), true);
});

const unknown: [why: string, changes: Partial<LinkMeWebhookEnvelope>][] = [
  ["a type of a newer server", { event: "link.shared" }],
  ["the name of an object's method as type", { event: "toString" }],
  ["__proto__ as type", { event: "__proto__" }],
  ["the data of another type", { event: "link.claim" }],
  ["no ts", { ts: undefined }],
  ["no app_id", { app_id: undefined }],
  ["no data", { data: undefined }],
  ["data that a backend made up", { data: { order: 17 } }],
  ["a platform of a newer server", { data: { ...readSample("link.click.json").data, platform: "tv" } }],
];
for (const [why, changes] of unknown) {
  test(`${why} parses, but is none of the known events`, () => {
    assert.equal(isLinkMeEvent({ ...readSample("link.click.json"), ...changes }), false);
  });
}

test("the event type tells the compiler what data holds", () => {
  const seen = new Set<EventType>();
  for (const type of EVENT_TYPES) {
    const envelope = readSample(`${type}.json`);
    assert.ok(isLinkMeEvent(envelope));
    assert.ok(describe(envelope).length > 0);
    seen.add(envelope.event);
  }
  assert.equal(seen.size, EVENT_TYPES.length);
});

/** No default branch: it would not compile if an event type were missing. */
function describe(event: LinkMeEvent): string {
  switch (event.event) {
    case "link.click":
      return event.data.dest_url;
    case "link.token_created":
      return event.data.methods.join();
    case "link.claim":
      return event.data.claim_type;
    case "link.app_open":
      return event.data.type;
    case "link.deferred_claim_attempt":
      return event.data.reason;
  }
}
