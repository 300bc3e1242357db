// The wire between processes: over a real server where connections break, and over a scripted one where time has to pass.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createTestDatabase } from "../../test/support/postgres.ts";
import { startSwitch } from "../../test/support/tcp-switch.ts";
import { waitUntil } from "../../test/support/wait.ts";
import type { WireListener } from "./database.ts";
import { openPostgres } from "./postgres.ts";
import { createWire, type Line } from "./postgres-wire.ts";

test("a text reaches every process that listens, and again after the connections broke, without a connection more", async (t) => {
  const database = await createTestDatabase();
  const between = await startSwitch(Number(new URL(database.url).port));
  const url = new URL(database.url);
  url.port = String(between.port);
  const near = openPostgres(url.href, { connections: 2 });
  const far = openPostgres(database.url);
  const heard = { near: createEars(), far: createEars() };
  const stops = [near.wire?.listen(heard.near), far.wire?.listen(heard.far)];
  t.after(async () => {
    for (const stop of stops) await stop?.();
    await near.close();
    await far.close();
    await between.close();
    await database.drop();
  });
  const beginnings = (count: number) => waitUntil(() => heard.near.missed_count === count, `beginning ${count}`);
  await beginnings(1);
  await waitUntil(() => heard.far.missed_count === 1, "the other one to listen");
  await near.wire?.send("first");
  for (const ears of [heard.near, heard.far]) await waitUntil(() => ears.texts.includes("first"), "the first text");
  between.breakAll();
  await beginnings(2);
  await far.wire?.send("second");
  await waitUntil(() => heard.near.texts.includes("second"), "a text after the connection broke");
  assert.deepEqual(heard.far.texts, ["first", "second"]);
});

test("a connection that takes LISTEN and passes nothing on is left alone for a minute, and that is said once", async (t) => {
  const world = createScript(t, { is_deaf: true });
  const ears = createEars();
  const stop = world.wire.listen(ears);
  for (let round = 0; round < 3; round++) {
    await world.pass(5_000);
    await world.pass(60_000);
  }
  await waitUntil(() => ears.missed_count === 4, "the fourth connection");
  assert.deepEqual(
    [world.opened, world.closed, ears.missed_count, ears.cuts.length, ears.mended_count],
    [4, 3, 4, 1, 0],
  );
  assert.match(ears.cuts[0]?.message ?? "", /transaction mode/);
  world.script.is_deaf = false;
  await world.pass(5_000);
  await world.pass(60_000);
  await waitUntil(() => ears.mended_count === 1, "the mended connection to be told");
  await stop();
  assert.equal(world.opened, world.closed, "connections closed");
});

test("a server that refuses is asked again after growing gaps, and what it sends then is heard", async (t) => {
  const world = createScript(t, { refusals: 6 });
  const ears = createEars();
  const stop = world.wire.listen(ears);
  for (const gap_ms of [200, 400, 800, 1_600, 3_200, 5_000]) await world.pass(gap_ms);
  await waitUntil(() => ears.mended_count === 1, "the connection to be there");
  assert.equal(ears.cuts.length, 1);
  world.say("hello");
  assert.deepEqual(ears.texts, ["hello"]);
  await stop();
});

test("a beat that the pool cannot send says nothing about the connection that listens", async (t) => {
  const world = createScript(t, { is_mute: true });
  const ears = createEars();
  const stop = world.wire.listen(ears);
  for (let beats = 0; beats < 3; beats++) await world.pass(15_000);
  await waitUntil(() => world.script.asked === 4, "the beats");
  assert.deepEqual([world.opened, ears.cuts.length], [1, 0]);
  await stop();
});

function createEars() {
  const ears = {
    texts: [] as string[],
    cuts: [] as Error[],
    missed_count: 0,
    mended_count: 0,
    heard: (text: string) => void ears.texts.push(text),
    missed: () => void ears.missed_count++,
    cut: (error: Error) => void ears.cuts.push(error),
    mended: () => void ears.mended_count++,
  } satisfies WireListener & Record<string, unknown>;
  return ears;
}

/** A connection of the test's own, and pauses that end when the test says so. */
function createScript(_t: TestContext, given: { is_deaf?: boolean; is_mute?: boolean; refusals?: number }) {
  const script = { is_deaf: false, is_mute: false, refusals: 0, asked: 0, ...given };
  const pauses: { delay_ms: number; end(): void }[] = [];
  let say = (_text: string) => {};
  const world = {
    opened: 0,
    closed: 0,
    script,
    say: (text: string) => say(text),
    pass,
    wire: createWire({ open, notify, pause }),
  };

  async function open(): Promise<Line> {
    if (script.refusals > 0) {
      script.refusals--;
      throw new Error("the server refuses");
    }
    world.opened++;
    return {
      onText: (listener) => {
        say = listener;
      },
      ended: new Promise(() => {}),
      close: async () => void world.closed++,
    };
  }

  async function notify(_channel: string, text: string): Promise<void> {
    script.asked++;
    if (script.is_mute) throw new Error("the pool has no connection");
    if (!script.is_deaf) say(text);
  }

  function pause(delay_ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const one = { delay_ms, end: resolve };
      pauses.push(one);
      const drop = () => {
        pauses.splice(pauses.indexOf(one), 1);
        reject(signal.reason);
      };
      if (signal.aborted) drop();
      else signal.addEventListener("abort", drop);
    });
  }

  /** Lets the pause of that length end, once it has begun. */
  async function pass(delay_ms: number): Promise<void> {
    const one = await waitUntil(() => pauses.find((pause) => pause.delay_ms === delay_ms), `a pause of ${delay_ms} ms`);
    pauses.splice(pauses.indexOf(one), 1);
    one.end();
  }

  return world;
}
