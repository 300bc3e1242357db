import assert from "node:assert/strict";
import { test } from "node:test";
import { createSerial } from "./serial.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

test("one piece of work begins when the one before it has ended, in the order in which they were asked for", async () => {
  const serially = createSerial();
  const seen: string[] = [];
  const work = (name: string) => async () => {
    seen.push(`${name} begins`);
    await yieldToEventLoop();
    seen.push(`${name} ends`);
    return name;
  };
  const results = await Promise.all(["a", "b", "c"].map((name) => serially(work(name))));
  assert.deepEqual(results, ["a", "b", "c"]);
  assert.deepEqual(seen, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});

test("work that fails is told to who asked for it, and the next begins all the same", async () => {
  const serially = createSerial();
  const failing = serially(async () => {
    throw new Error("the first");
  });
  const next = serially(async () => "the second");
  await assert.rejects(failing, /the first/);
  assert.equal(await next, "the second");
});
