// What holds for every definition of a vendor, as tests: golden requests, the same bytes each time, limits, no secret in sight,
// settings that explain themselves. Called by the tests of each definition.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { MASK } from "#contract/destinations.ts";
import {
  type BuiltRequest,
  type Definition,
  type Exchange,
  isUnsent,
  mapSecrets,
  type Outgoing,
  type PrepareContext,
  type Unsent,
} from "#destination-types/definition.ts";
import type { SourceEvent } from "#destination-types/mapping/source.ts";
import { createHider } from "../../../src/destinations/hiding.ts";
import { createEgress } from "../../../src/platform/egress.ts";

const EVENTS = join(import.meta.dirname, "..", "..", "..", "..", "spec", "events");
const GOLDEN = join(import.meta.dirname, "..", "..", "..", "..", "destination-types", "golden");
/** Two hours after the samples happened. */
export const SENT_AT = Date.UTC(2026, 0, 31, 12);

export const pseudonym = (text: string): Uint8Array => createHmac("sha256", "of the tests").update(text).digest();
export const CONTEXT: PrepareContext = { version: "1.2.3", secrets: { current: "" }, pseudonym };

/** The sample events of the contract by name, like `link.click.minimal`. */
export const SAMPLES: ReadonlyMap<string, SourceEvent> = new Map(
  readdirSync(EVENTS)
    .sort()
    // Our own sample files.
    .map((file) => [file.replace(/\.json$/, ""), JSON.parse(readFileSync(join(EVENTS, file), "utf8")) as SourceEvent]),
);

/** A sample with other data. */
export function sample(
  name: string,
  data: Record<string, unknown> = {},
  changes: Partial<SourceEvent> = {},
): SourceEvent {
  const event = SAMPLES.get(name);
  assert.ok(event, `there is a sample ${name}`);
  return { ...event, ...changes, data: { ...event.data, ...data } };
}

export function outgoing(event: SourceEvent, changes: Partial<Outgoing> = {}): Outgoing {
  return { event_id: event.id, delivery_id: "dlv_1", body: JSON.stringify(event), attempt: 1, at: SENT_AT, ...changes };
}

export function sent(built: BuiltRequest | Unsent): BuiltRequest {
  assert.ok(!isUnsent(built), JSON.stringify(built));
  return built;
}

export function unsent(built: BuiltRequest | Unsent): Unsent["outcome"] {
  assert.ok(isUnsent(built), "nothing is sent");
  return built.outcome;
}

export function response(status: number, body: unknown = "", headers: Record<string, string> = {}): Exchange {
  const snippet = typeof body === "string" ? body : JSON.stringify(body);
  return { kind: "response", status, headers, snippet, started_at: SENT_AT, duration_ms: 5 };
}

/** Through the product's own egress gate. */
export async function exchangeWith(request: BuiltRequest, timeout_ms = 5_000): Promise<Exchange> {
  const egress = createEgress({ allow: ["127.0.0.0/8"] });
  try {
    return await egress.send({ ...request, timeout_ms });
  } finally {
    await egress.close();
  }
}

interface Conforming<Config extends object, Prepared> {
  definition: Definition<Config, Prepared>;
  /** Each with a golden file of that name. */
  configs: Readonly<Record<string, Config>>;
  /** Makes what is sent longer by as many bytes as it has characters; absent where its mapper cuts every text. */
  growing?: string;
}

export function testConformance<Config extends object, Prepared>(conforming: Conforming<Config, Prepared>): void {
  const { definition, configs, growing } = conforming;
  for (const [name, config] of Object.entries(configs)) {
    const prepared = definition.prepare(config, CONTEXT);
    const secrets: string[] = [];
    mapSecrets(definition.config, config, (text) => {
      secrets.push(text);
      return text;
    });

    test(`${name}: each sample event makes the request of the golden file`, (t) => {
      const requests = [...SAMPLES].map(([of, event]) => {
        const built = definition.buildRequest(outgoing(event), prepared);
        return [of, isUnsent(built) ? built.outcome : readable(built)];
      });
      const written = { serializers: [(value: unknown) => `${JSON.stringify(value, null, 2)}\n`] };
      t.assert.fileSnapshot(Object.fromEntries(requests), join(GOLDEN, `${name}.json`), written);
    });

    test(`${name}: the same event makes the same bytes, and the body is the same on each attempt`, () => {
      for (const event of SAMPLES.values()) {
        const first = definition.buildRequest(outgoing(event), prepared);
        assert.deepEqual(definition.buildRequest(outgoing(event), definition.prepare(config, CONTEXT)), first);
        if (isUnsent(first)) continue;
        assert.ok(!first.body.includes(":null"), "what an event does not say is left out");
        const later = outgoing(event, { attempt: 4, at: SENT_AT + 3_600_000 });
        assert.equal(sent(definition.buildRequest(later, prepared)).body, first.body);
      }
    });

    test(`${name}: no secret is seen in what is shown or found`, () => {
      assert.ok(secrets.length > 0);
      for (const event of SAMPLES.values()) {
        const delivery = outgoing(event);
        const built = definition.buildRequest(delivery, prepared);
        const findings = definition.inspect?.(delivery, prepared) ?? [];
        const shown = isUnsent(built) ? built : definition.show(built, prepared);
        for (const secret of secrets) assertHidden(JSON.stringify([shown, findings]), secret);
      }
    });

    test(`${name}: no secret is seen in what is made of an answer that repeats it`, () => {
      const hide = createHider(secrets);
      for (const status of [200, 302, 400, 401, 404, 413, 429, 500]) {
        // Shorter texts are taken for no secrets there.
        for (const secret of secrets.filter(({ length }) => length >= 8)) {
          const words = `invalid: ${secret}`;
          const bodies = [words, { error: words }, { results: { id: { result: "drop", details: words } } }];
          for (const body of bodies) {
            const outcome = definition.judge(response(status, body), { retry_on: "retriable" });
            assertHidden("message" in outcome ? hide(outcome.message) : "", secret);
          }
        }
      }
    });

    test(`${name}: what its schema reads is the config, with masks and with sealed secrets, too`, () => {
      assert.deepEqual(definition.config.parse(config), config);
      for (const text of [MASK, `v1.0123abcd.${"A".repeat(400)}`]) {
        const changed = mapSecrets(definition.config, config, () => text);
        assert.deepEqual(definition.config.parse(changed), changed);
      }
      assert.equal(definition.config.safeParse({ ...config, unheard_of: 1 }).success, false);
    });
  }

  test("every setting is described, and secrets are marked", () => {
    const schema = z.toJSONSchema(definition.config, { io: "input" });
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      assert.ok(typeof property === "object" && property.description, `${name} is described`);
    }
    assert.ok(JSON.stringify(schema).includes('"secret":true'));
  });

  if (growing === undefined) return;
  test("an event of as many bytes as the vendor takes is sent, and one of a byte more is refused for good", () => {
    const [config] = Object.values(configs);
    assert.ok(config);
    const prepared = definition.prepare(config, CONTEXT);
    const build = (chars: number) => {
      const event = outgoing(sample("link.click.minimal", { [growing]: "x".repeat(chars) }));
      return { built: definition.buildRequest(event, prepared), findings: definition.inspect?.(event, prepared) ?? [] };
    };
    const room = definition.limits.max_bytes - Buffer.byteLength(sent(build(1).built).body) + 1;
    const largest = build(room);
    assert.equal(Buffer.byteLength(sent(largest.built).body), definition.limits.max_bytes);
    assert.deepEqual(largest.findings, []);
    const larger = build(room + 1);
    const outcome = unsent(larger.built);
    assert.equal(outcome.kind, "refused");
    assert.equal(outcome.kind === "refused" && outcome.retriable, false);
    assert.deepEqual(
      larger.findings.map(({ level, rule }) => [level, rule]),
      [["error", "EVENT_TOO_LARGE"]],
    );
  });
}

function assertHidden(text: string, secret: string): void {
  const forms = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  for (const form of forms) assert.ok(!text.includes(form), "a secret is seen");
  const shown = Buffer.from(secret).toString("base64").replace(/=+$/, "").slice(0, -2);
  assert.ok(!text.includes(shown), "a secret is seen in base64");
}

/** The body as what it says, where that loses nothing. */
function readable({ method, url, headers, body }: BuiltRequest): object {
  const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1] ?? ""]] : []));
  const shown = { method, url, headers: Object.fromEntries(pairs) };
  try {
    const value: unknown = JSON.parse(body);
    if (JSON.stringify(value) === body) return { ...shown, json: value };
  } catch {
    // Then it is shown as the text that it is.
  }
  return { ...shown, body };
}
