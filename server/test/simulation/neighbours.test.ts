// Many noisy neighbours, in simulated time: receivers that ask to be left alone for a minute, and receivers that hang with
// the largest bodies, beside a healthy one. What they leave waiting or under way must not take the room of all.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import type { Exchange } from "../../src/platform/egress.ts";
import { createLedger } from "./ledger.ts";
import { createProcess } from "./process.ts";
import type { Receivers } from "./receivers.ts";
import { createWorld, type World } from "./world.ts";

const TIMEOUT_MS = 60_000;
const NOISY_ANSWER_MS = 50;
const ANSWER_MS = 20;
const EVERY_MS = 100;
const SPAN_MS = 30_000;
const BATCH = 20;
const HEALTHY = "https://healthy.example/";
const LARGE_CHARS = 250_000;
/** What may be under way to receivers that are fast and that are slow, and one body more of each. */
const SENT_MAX_CHARS = 48 * 1024 * 1024 + 2 * 256 * 1024;

const CASES = [
  { what: "that answer 429 for a minute", noisy: 12, each: 600, chars: 10, exchange: { status: 429 } },
  { what: "that answer 429 to large bodies", noisy: 60, each: 20, chars: LARGE_CHARS, exchange: { status: 429 } },
  { what: "that hang with large bodies", noisy: 120, each: 20, chars: LARGE_CHARS, exchange: "hang" },
] as const;

function createReceivers(world: World, noisy: (typeof CASES)[number]["exchange"]) {
  const healthy = new Map<string, number>();
  const sent = { now: 0, most: 0 };
  const receivers: Receivers = {
    setMood: () => {},
    gateOf: (life, ledger) => async (request) => {
      const send = ledger.sent(life, request);
      const started_at = life.clock.now();
      const text = String(request.body);
      const is_noisy = request.url !== HEALTHY;
      const is_hanging = is_noisy && noisy === "hang";
      const duration_ms = is_hanging ? request.timeout_ms : is_noisy ? NOISY_ANSWER_MS : ANSWER_MS;
      if (!is_noisy) healthy.set(JSON.parse(text).id, world.time.elapsed());
      sent.now += text.length;
      sent.most = Math.max(sent.most, sent.now);
      await new Promise<void>((resolve) => void life.clock.after(duration_ms, resolve));
      sent.now -= text.length;
      const status = is_noisy ? 429 : 200;
      if (send !== undefined) ledger.answered(send, is_hanging ? "timeout" : status);
      const timings_ms = { dns: null, connect: null, tls: null, first_byte: null, total: duration_ms };
      const took = { started_at, duration_ms, timings_ms };
      const headers: Record<string, string> = is_noisy ? { "retry-after": "60" } : {};
      const exchange: Exchange = is_hanging
        ? { kind: "failure", code: "timeout", message: "No answer.", is_silence: true, ...took }
        : { kind: "response", status, headers, snippet: "", truncated: false, ...took };
      return exchange;
    },
  };
  return { receivers, healthy, sent };
}

for (const { what, noisy, each, chars, exchange } of CASES) {
  test(`${noisy} receivers ${what} do not hold up a healthy one`, async (t) => {
    const world = createWorld(1);
    after(() => world.disk.close());
    const { time, disk, weather } = world;
    weather.slow_calls = 0;
    const ledger = createLedger(world, false);
    const { receivers, healthy, sent } = createReceivers(world, exchange);
    const server = createProcess({ world, ledger, receivers }, "p1", { exclusive: true, skewed: false, tell() {} });
    disk.ask(`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key, match_window_seconds,
      destinations_version, created_at, updated_at) values ('shop', 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`);
    const run = async (until: number) => {
      while (await time.step(until)) world.check();
    };
    const settle = async (calls: Promise<unknown>[]) => {
      let is_done = false;
      void Promise.all(calls).then(() => (is_done = true));
      while (!is_done) await run(time.elapsed() + 50);
    };
    void server.dispatcher.start();
    const create = (url: string, event: "link.click" | "link.claim") =>
      server.destinations.createWebhook("shop", WebhookCreate.parse({ url, events: [event], timeout_ms: TIMEOUT_MS }));
    const urls = Array.from({ length: noisy }, (_, index) => `https://noisy${index}.example/`);
    await settle([...urls.map((url) => create(url, "link.click")), create(HEALTHY, "link.claim")]);

    const asked = new Map<string, number>();
    const data = { text: "x".repeat(chars) };
    const noise = Array.from({ length: Math.ceil(each / BATCH) }, () =>
      server.events.ingest(
        "shop",
        Array.from({ length: BATCH }, () => ({ event: "link.click" as const, data })),
      ),
    );
    await settle(noise);
    const end = time.elapsed() + SPAN_MS;
    while (time.elapsed() < end) {
      void server.events.ingest("shop", [{ event: "link.claim", data: {} }]).then(({ accepted: [id] }) => {
        if (id !== undefined) asked.set(id, time.elapsed());
      });
      await run(time.elapsed() + EVERY_MS);
    }
    await run(time.elapsed() + 2_000);
    assert.equal(asked.size, SPAN_MS / EVERY_MS);
    const took = [...asked].map(([id, at]) => (healthy.get(id) ?? Number.POSITIVE_INFINITY) - at).sort((a, b) => a - b);
    t.diagnostic(`p50 ${took[took.length >> 1]} ms, the last ${took.at(-1)} ms; ${sent.most} characters under way`);
    assert.ok((took.at(-1) ?? Number.NaN) <= 2_000, `${took.at(-1)} ms`);
    assert.ok(sent.most <= SENT_MAX_CHARS, `${sent.most} characters`);
  });
}
