// What holds for every type of destination, whichever vendor it is of. Driven by the registry, so that a type that is added is
// tested too, or fails here until vendor-configs.ts has a config of it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Envelope } from "#contract/events.ts";
import { type BuiltRequest, isUnsent, type Outgoing } from "#destination-types/definition.ts";
import { findType, MaskError, NO_SECRETS, type TypeEntry, typeInfos } from "../../src/destinations/types.ts";
import { createSealer } from "../../src/platform/sealing.ts";
import { configOf, SECRET } from "../support/vendor-configs.ts";

const sealer = createSealer(randomBytes(32));
const SAMPLES = new URL("../../../spec/events/", import.meta.url);
const EVENTS = readdirSync(SAMPLES).map((name) => {
  const event = Envelope.parse(JSON.parse(readFileSync(new URL(name, SAMPLES), "utf8")));
  return { name, event, body: JSON.stringify(event) };
});

function outgoing({ id, ts }: { id: string; ts: string }, body: string): Outgoing {
  return { event_id: id, delivery_id: "dlv_1", body, attempt: 1, at: Date.parse(ts) + 1_000 };
}

function prepare(entry: TypeEntry, config: unknown, app_id = "shop") {
  const stored = entry.seal(config, null, sealer);
  const secrets = entry.info.type === "webhook" ? { current: `whsec_${SECRET}` } : NO_SECRETS;
  return entry.prepare(stored, { version: "1.0.0", secrets, app_id, sealer });
}

for (const { type, label, docs, config_schema, limits } of typeInfos()) {
  const entry = findType(type);
  assert.ok(entry !== undefined);

  test(`${type}: says what it is, and what its config may be`, () => {
    assert.match(type, /^[a-z0-9_]+$/);
    assert.ok(label !== "" && docs.endsWith("."));
    assert.equal(config_schema["type"], "object");
    assert.equal(config_schema["additionalProperties"], false, "a setting that it does not know is refused");
    assert.ok(limits.max_events >= 1 && limits.max_bytes > 0);
  });

  test(`${type}: a config is refused with the path of what is wrong`, () => {
    assert.deepEqual(entry.problemsOf(configOf(type)), []);
    const unknown = entry.problemsOf({ ...configOf(type), nonsense: 1 });
    assert.deepEqual(
      unknown.map(({ path }) => path),
      ["nonsense"],
    );
    for (const [name, value] of Object.entries(configOf(type))) {
      const wrong = typeof value === "object" ? 7 : { wrong: true };
      const problems = entry.problemsOf({ ...configOf(type), [name]: wrong });
      assert.ok(
        problems.some(({ path, message }) => path.split(".")[0] === name && message !== ""),
        JSON.stringify([name, problems]),
      );
    }
    for (const nothing of [null, [], "x", 7]) assert.notDeepEqual(entry.problemsOf(nothing), []);
  });

  test(`${type}: secrets are sealed at rest, masked when shown, and kept by their mask`, () => {
    const stored = entry.seal(configOf(type), null, sealer);
    assert.ok(!JSON.stringify(stored).includes(SECRET));
    const masked = entry.mask(stored);
    assert.ok(!JSON.stringify(masked).includes(SECRET));
    assert.notDeepEqual(masked, configOf(type), "a type without a secret needs no test of it: say one in its config");
    assert.deepEqual(entry.seal(masked, stored, sealer), stored);
    assert.deepEqual(entry.seal(configOf(type), stored, sealer), stored, "the same settings again change nothing");
    assert.throws(() => entry.seal(masked, null, sealer), MaskError);
  });

  for (const { name, event, body } of EVENTS) {
    test(`${type}: ${name} makes the same request each time, within its limits, and shows no secret`, () => {
      const [one, same] = [prepare(entry, configOf(type)), prepare(entry, configOf(type))];
      const delivery = outgoing(event, body);
      const built = one.build(delivery);
      assert.deepEqual(same.build(delivery), built, "same input, same bytes");
      const found = one.inspect(delivery);
      if (isUnsent(built)) {
        assert.equal(built.outcome.kind, "skipped", `a sample is skipped at most: ${built.outcome.message}`);
        assert.match(built.outcome.message, /\w/);
        return;
      }
      assert.ok(Buffer.byteLength(built.body) <= limits.max_bytes);
      assert.deepEqual(
        found.filter(({ level }) => level === "error"),
        [],
      );
      assertWellFormed(built);
      const shown = one.show(built);
      assert.ok(!JSON.stringify([shown, found]).includes(SECRET), JSON.stringify(shown));
      assert.equal(new URL(shown.url).host, new URL(built.url).host);
    });
  }

  test(`${type}: what it says of any answer holds no secret, and a 2xx is never a failure`, () => {
    const ready = prepare(entry, configOf(type));
    const rules = { retry_on: "retriable" } as const;
    const at = { started_at: 0, duration_ms: 1 };
    for (const status of [200, 202, 204, 301, 400, 401, 403, 404, 408, 410, 413, 422, 429, 500, 503]) {
      const snippet = ready.hide(`{"error":"key ${SECRET} is wrong"}`);
      const outcome = ready.judge({ kind: "response", status, headers: {}, snippet, ...at }, rules);
      assert.ok(!JSON.stringify(outcome).includes(SECRET));
      if (status >= 300) assert.ok("message" in outcome && outcome.message !== "", `${status}`);
    }
    for (const code of ["dns", "connect", "tls", "timeout", "reset", "protocol"]) {
      const outcome = ready.judge({ kind: "failure", code, message: `it failed: ${code}`, ...at }, rules);
      assert.ok("retriable" in outcome && outcome.retriable, `${code} is tried again`);
    }
  });

  test(`${type}: what names a person leaves as itself at no vendor, and as another name for each app`, () => {
    if (type === "webhook") return;
    const { event, body } = EVENTS.find(({ event }) => "cid" in event.data) ?? assert.fail("a sample has a token");
    const delivery = outgoing(event, body);
    const [mine, others] = ["shop", "blog"].map((app) => prepare(entry, configOf(type), app).build(delivery));
    assert.ok(mine !== undefined && others !== undefined && !isUnsent(mine) && !isUnsent(others));
    assert.ok(!`${mine.url}${mine.body}`.includes(String(event.data["cid"])));
  });
}

/** Header values as HTTP has them, and an address that nothing was smuggled into. */
function assertWellFormed({ url, headers }: BuiltRequest): void {
  assert.match(url, /^https?:\/\/[^\s]+$/);
  assert.equal(new URL(url).href.length > 0, true);
  assert.equal(headers.length % 2, 0);
  for (const text of headers) assert.match(text, /^[\t\u0020-\u007e]*$/);
}
