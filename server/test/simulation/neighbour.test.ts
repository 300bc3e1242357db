// A noisy neighbour, in simulated time, so that latencies are exact: 10,000 deliveries to a receiver that never answers, beside
// a healthy one. The real dispatcher, event log and stores, put together as in every simulated world.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { SLOTS, SLOW_AFTER_MS, SLOW_SHARE } from "../../src/deliveries/lanes.ts";
import type { Exchange } from "../../src/platform/egress.ts";
import { createLedger } from "./ledger.ts";
import { createProcess } from "./process.ts";
import type { Receivers } from "./receivers.ts";
import { createWorld, type World } from "./world.ts";

const NOISE = 10_000;
const BATCH = 500;
const TIMEOUT_MS = 15_000;
const ANSWER_MS = 20;
/** A healthy event so often, for so long, first alone and then beside the noise. */
const EVERY_MS = 100;
const SPAN_MS = 20_000;
const HANGING = "https://hanging.example/";
const HEALTHY = "https://healthy.example/";

interface Sent {
  at: number;
  id: string;
}

/** Two receivers: what reached the healthy one, and how many requests the other one lets hang. */
function createTwo(world: World) {
  const healthy: Sent[] = [];
  const hanging = { now: 0, most: 0, most_later: 0 };
  let noisy_since = Number.POSITIVE_INFINITY;
  const receivers: Receivers = {
    setMood: () => {},
    gateOf: (life, ledger) => async (request) => {
      const send = ledger.sent(life, request);
      const started_at = life.clock.now();
      const is_hanging = request.url === HANGING;
      const duration_ms = is_hanging ? request.timeout_ms : ANSWER_MS;
      if (is_hanging) {
        noisy_since = Math.min(noisy_since, world.time.elapsed());
        hanging.now++;
        hanging.most = Math.max(hanging.most, hanging.now);
        const is_known = world.time.elapsed() - noisy_since > 2 * SLOW_AFTER_MS;
        if (is_known) hanging.most_later = Math.max(hanging.most_later, hanging.now);
      } else healthy.push({ at: world.time.elapsed(), id: JSON.parse(String(request.body)).id });
      await new Promise<void>((resolve) => void life.clock.after(duration_ms, resolve));
      if (is_hanging) hanging.now--;
      if (send !== undefined) ledger.answered(send, is_hanging ? "timeout" : 200);
      const timings_ms = { dns: null, connect: null, tls: null, first_byte: null, total: duration_ms };
      const took = { started_at, duration_ms, timings_ms };
      const exchange: Exchange = is_hanging
        ? { kind: "failure", code: "timeout", message: "No answer.", is_silence: true, ...took }
        : { kind: "response", status: 200, headers: {}, snippet: "", truncated: false, ...took };
      return exchange;
    },
  };
  return { receivers, healthy, hanging };
}

const p95 = (list: readonly number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length * 0.95)] ?? Number.NaN;

test(`a receiver that hangs on ${NOISE} deliveries costs a healthy one nothing`, async (t) => {
  const world = createWorld(1);
  after(() => world.disk.close());
  const { time, disk, weather } = world;
  weather.slow_calls = 0;
  const ledger = createLedger(world, false);
  const { receivers, healthy, hanging } = createTwo(world);
  const server = createProcess({ world, ledger, receivers }, "p1", { exclusive: true, skewed: false, tell() {} });
  disk.ask(`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key, match_window_seconds,
    destinations_version, created_at, updated_at) values ('shop', 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`);
  const run = async (until: number) => {
    while (await time.step(until)) world.check();
  };
  void server.dispatcher.start();
  for (const [url, event] of [
    [HANGING, "link.click"],
    [HEALTHY, "link.claim"],
  ]) {
    const input = WebhookCreate.parse({ url, events: [event], timeout_ms: TIMEOUT_MS, max_in_flight: 1_000 });
    void server.destinations.createWebhook("shop", input);
  }
  await run(500);

  /** How long each healthy event took from its ingest to its receiver. */
  async function listen(): Promise<number[]> {
    const asked = new Map<string, number>();
    const from = healthy.length;
    const end = time.elapsed() + SPAN_MS;
    while (time.elapsed() < end) {
      const at = time.elapsed();
      void server.events.ingest("shop", [{ event: "link.claim", data: {} }]).then(({ accepted: [id] }) => {
        if (id !== undefined) asked.set(id, at);
      });
      await run(at + EVERY_MS);
    }
    await run(time.elapsed() + 1_000);
    const took = healthy.slice(from).map(({ id, at }) => at - (asked.get(id) ?? Number.NaN));
    assert.equal(took.length, SPAN_MS / EVERY_MS, "each arrives");
    return took;
  }

  const idle = await listen();
  for (let count = 0; count < NOISE; count += BATCH) {
    const events = Array.from({ length: BATCH }, () => ({ event: "link.click" as const, data: {} }));
    void server.events.ingest("shop", events);
  }
  const noisy = await listen();
  const waiting = disk.ask<{ count: number }>("select count(*) as count from deliveries where state = 'pending'");
  assert.ok((waiting[0]?.count ?? 0) > NOISE / 2, "the noise goes on until the end");
  t.diagnostic(`p95 idle ${p95(idle)} ms, beside the noise ${p95(noisy)} ms; ${hanging.most} hanging at the most`);
  assert.ok(hanging.most > 0 && hanging.most <= SLOTS / 10, `${hanging.most} slots`);
  assert.ok(hanging.most_later <= SLOW_SHARE);
  assert.ok(p95(noisy) <= 2 * p95(idle), `${p95(noisy)} ms, idle ${p95(idle)} ms`);
});
