import assert from "node:assert/strict";
import { test } from "node:test";
import { WIRE_TEXT_MAX_CHARS, type Wire, type WireListener } from "./database.ts";
import { createHints } from "./hints.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

test("hints that come together are sent once, after a moment, and heard by the others alone", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  one.hints.due("d1", true);
  one.hints.due("d1", false);
  one.hints.due("d2", false);
  one.hints.changed("a1");
  one.hints.replays();
  one.hints.dispatchers();
  one.hints.dropped({ destination_id: "d1", position: "p1", attempt: 2 });
  one.hints.canceled("r1");
  assert.equal(world.sent.length, 0, "sent before the moment was over");
  await world.pass();
  assert.equal(world.sent.length, 1);
  assert.deepEqual(other.heard, [
    "changed a1",
    "asked d1",
    "due d2",
    "replays",
    "dispatchers",
    "dropped p1 2",
    "canceled r1",
  ]);
  assert.deepEqual(one.heard, []);
  other.hints.due("d3", false);
  await world.pass();
  assert.deepEqual(one.heard, ["due d3"]);
  await world.pass();
  assert.equal(world.sent.length, 2, "nothing is sent when there is nothing to say");
});

test("too many hints, or too long ones, become one to look for everything", async () => {
  const ids: [string, string[]][] = [
    ["due", Array.from({ length: 50 }, (_, n) => `d${n}`)],
    ["all", Array.from({ length: 51 }, (_, n) => `d${n}`)],
    ["all", Array.from({ length: 100_000 }, (_, n) => `d${n}`)],
    ["all", Array.from({ length: 50 }, (_, n) => `${n}`.padEnd(150, "x"))],
  ];
  for (const [expected, list] of ids) {
    const world = createWorld();
    const [one, other] = [world.join("one"), world.join("other")];
    for (const id of list) one.hints.due(id, false);
    await world.pass();
    assert.deepEqual(other.heard, expected === "all" ? ["all"] : list.map((id) => `due ${id}`));
    assert.ok((world.sent[0]?.length ?? 0) <= WIRE_TEXT_MAX_CHARS);
  }
});

test("what comes while others are being sent goes with the next, also when sending failed", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  const failing = Promise.withResolvers<void>();
  world.wait = failing.promise;
  one.hints.due("lost", false);
  await world.pass();
  one.hints.due("kept", false);
  await world.pass();
  failing.reject(new Error("the database is away"));
  world.wait = Promise.resolve();
  await yieldToEventLoop();
  await world.pass();
  assert.deepEqual(other.heard, ["due kept"]);
});

test("who cannot wait has sent what it said when it goes on, also beside what is being sent and another who cannot", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  one.hints.changed("a1");
  await one.hints.flush();
  assert.deepEqual(other.heard, ["changed a1"], "before the moment was over");
  assert.deepEqual(world.delays(), [], "nothing is left to run");
  await one.hints.flush();
  await world.pass();
  assert.equal(world.sent.length, 1, "nothing is sent when there is nothing to say, nor again");
  const first = Promise.withResolvers<void>();
  world.wait = first.promise;
  one.hints.due("d1", false);
  await world.pass();
  const told: string[] = [];
  one.hints.changed("a2");
  const waiting = one.hints.flush().then(() => told.push(...other.heard));
  one.hints.changed("a3");
  const second = one.hints.flush().then(() => told.push(...other.heard));
  await yieldToEventLoop();
  assert.equal(told.length, 0);
  first.resolve();
  world.wait = Promise.resolve();
  await Promise.all([waiting, second]);
  const all = ["changed a1", "due d1", "changed a2", "changed a3"];
  assert.deepEqual(told, [...all, ...all]);
});

test("who has changed something does not wait for a database that has fallen silent", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  const silence = Promise.withResolvers<void>();
  world.wait = silence.promise;
  one.hints.changed("a1");
  const flushed = one.hints.flush();
  await yieldToEventLoop();
  assert.deepEqual(world.delays(), [1_000], "the limit, in ms");
  await world.pass();
  await flushed;
  assert.deepEqual(other.heard, []);
  silence.resolve();
  await yieldToEventLoop();
  assert.deepEqual(other.heard, ["changed a1"]);
});

test("attempts that are not to be made are all told, in as many messages as it takes, each delivery once", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  const drop = (n: number, attempt: number) => {
    one.hints.dropped({ destination_id: `dst_${"d".repeat(32)}`, position: `${n}`.padStart(36, "0"), attempt });
  };
  for (let n = 0; n < 100; n++) for (const attempt of [1, 2]) drop(n, attempt);
  for (let count = 1; count <= 3; count++) {
    await world.pass();
    assert.equal(world.sent.length, count);
    assert.ok((world.sent.at(-1)?.length ?? 0) <= WIRE_TEXT_MAX_CHARS);
  }
  await world.pass();
  assert.equal(world.sent.length, 3);
  const expected = Array.from({ length: 100 }, (_, n) => `dropped ${`${n}`.padStart(36, "0")} 2`);
  assert.deepEqual(other.heard, expected);
});

test("of very many attempts that wait to be told, each still has its last word", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  const drop = (n: number, attempt: number) => one.hints.dropped({ destination_id: "d1", position: `${n}`, attempt });
  for (let n = 0; n < 2_500; n++) drop(n, 1);
  drop(0, 2);
  drop(2_400, 2);
  await world.pass();
  assert.deepEqual(other.heard.slice(0, 2), ["dropped 0 2", "dropped 1 1"]);
  for (let count = 1; count < 2_000 / 40; count++) await world.pass();
  assert.equal(other.heard.length, 2_000);
  await world.pass();
  assert.equal(world.sent.length, 2_000 / 40);
});

test("of replays that are canceled as many are told as go with all else; the rest is found by polling", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  for (let n = 0; n < 100; n++) {
    one.hints.dropped({ destination_id: `dst_${"d".repeat(32)}`, position: `${n}`.padStart(36, "0"), attempt: 1 });
    one.hints.canceled(`rpl_${n}`.padEnd(36, "r"));
    one.hints.due(`dst_${n}`.padEnd(36, "d"), false);
  }
  await world.pass();
  assert.ok((world.sent[0]?.length ?? 0) <= WIRE_TEXT_MAX_CHARS);
  const told = other.heard.filter((one) => one.startsWith("canceled"));
  assert.deepEqual([told.length, other.heard[0]], [20, "all"]);
});

test("texts that are no hints are passed over", () => {
  const world = createWorld();
  const { heard } = world.join("one");
  const texts = [
    "",
    "x",
    "null",
    "7",
    "[]",
    "{}",
    '{"from":1}',
    '{"from":"x","due":"d"}',
    '{"from":"x","due":[1,{}]}',
    '{"from":"x","dropped":[{"position":"p"},null]}',
  ];
  for (const text of texts) world.say(text);
  assert.deepEqual(heard, []);
  world.say('{"from":"x","due":["d"],"later":true}');
  // Whether a person asked is not said: maybe.
  assert.deepEqual(heard, ["asked d"]);
});

test("whoever begins to listen again looks for everything, for what was sent meanwhile is lost", () => {
  const world = createWorld();
  const { heard } = world.join("one");
  for (const ears of world.ears) ears.missed();
  assert.deepEqual(heard, ["all"]);
});

test("a process that stops sends nothing more and listens no more", async () => {
  const world = createWorld();
  const { hints } = world.join("one");
  hints.due("d1", false);
  await hints.stop();
  hints.due("d2", false);
  await world.pass();
  assert.deepEqual([world.sent, world.ears.size], [[], 0]);
});

test("that a dispatcher has left is said before its process lets go", async () => {
  const world = createWorld();
  const [one, other] = [world.join("one"), world.join("other")];
  one.hints.dispatchers();
  await one.hints.stop();
  assert.deepEqual(other.heard, ["dispatchers"]);
  await world.pass();
  assert.equal(world.sent.length, 1);
});

test("without a wire hints go nowhere", async () => {
  const hints = createHints({ wire: undefined, sender: "one", after: () => assert.fail("no timer"), log: () => {} });
  hints.due("d1", false);
  hints.changed("a1");
  hints.replays();
  hints.dispatchers();
  await hints.stop();
});

function createWorld() {
  const ears = new Set<WireListener>();
  const timers = new Map<() => void, number>();
  const say = (text: string) => {
    for (const { heard } of ears) heard(text);
  };
  const world = { sent: [] as string[], ears, wait: Promise.resolve(), say, join, pass, delays };
  const wire: Wire = {
    async send(text) {
      await world.wait;
      world.sent.push(text);
      say(text);
    },
    listen(listener) {
      ears.add(listener);
      return async () => void ears.delete(listener);
    },
  };

  function join(sender: string) {
    const heard: string[] = [];
    const after = (delay_ms: number, run: () => void) => {
      timers.set(run, delay_ms);
      return () => void timers.delete(run);
    };
    const hints = createHints({ wire, sender, after, log: () => {} });
    hints.listen({
      due: (id, is_asked) => void heard.push(`${is_asked ? "asked" : "due"} ${id}`),
      changed: (id) => void heard.push(`changed ${id}`),
      replays: () => void heard.push("replays"),
      dispatchers: () => void heard.push("dispatchers"),
      dropped: ({ position, attempt }) => void heard.push(`dropped ${position} ${attempt}`),
      canceled: (id) => void heard.push(`canceled ${id}`),
      all: () => void heard.push("all"),
    });
    return { hints, heard };
  }

  /** Of the timers that have not run. */
  function delays(): number[] {
    return [...timers.values()];
  }

  /** The moment in which hints are gathered is over. */
  async function pass(): Promise<void> {
    for (const run of timers.keys()) {
      timers.delete(run);
      run();
    }
    await yieldToEventLoop();
  }

  return world;
}
