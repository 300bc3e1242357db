// What waits for a client is bounded, and a client that takes too long is dropped.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { createTimers } from "../../test/support/timers.ts";
import type { Source } from "../platform/stream.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { createSender, SLOW_MAX_MS, type StreamResponse, WAITING_MAX_BYTES } from "./sse.ts";
import { CHECK_MS, HEARTBEAT_MS, runStream } from "./streams.ts";

/** An answer whose client takes nothing until it is told to. */
function createResponse(takes: boolean) {
  const events = new EventEmitter();
  const state = { text: "", waiting: 0, destroyed: false, ended: false };
  const response = Object.assign(events, {
    write(text: string) {
      state.text += text;
      if (!takes) state.waiting += Buffer.byteLength(text);
      return takes;
    },
    end() {
      state.ended = true;
    },
    destroy() {
      state.destroyed = true;
      events.emit("close");
    },
    drain() {
      state.waiting = 0;
      events.emit("drain");
    },
  });
  Object.defineProperty(response, "writableLength", { get: () => state.waiting });
  Object.defineProperty(response, "destroyed", { get: () => state.destroyed });
  // The members that a sender uses are all there.
  return { response: response as unknown as StreamResponse & { drain(): void }, state };
}

test("a client that takes what waits for it gets more, one that does not is dropped", async () => {
  const timers = createTimers();
  const { response, state } = createResponse(false);
  const told: unknown[] = [];
  const sender = createSender(response, timers, {
    ended: () => void told.push("ended"),
    dropped: (n) => void told.push(n),
  });
  const text = "x".repeat(WAITING_MAX_BYTES);
  await sender.send(text);
  const sending = sender.send("y");
  timers.advance(SLOW_MAX_MS - 1);
  response.drain();
  await sending;
  assert.deepEqual([told, timers.next()], [[], null]);
  await sender.send(text);
  const last = sender.send("z");
  timers.advance(SLOW_MAX_MS);
  await last;
  assert.deepEqual(told, [WAITING_MAX_BYTES + 1, "ended"]);
  assert.deepEqual([state.destroyed, sender.isOpen()], [true, false]);
  await sender.send("nothing");
  assert.ok(state.text.endsWith("z"));
});

test("an end cuts off a client that has not taken everything, and waits for nothing", async () => {
  for (const takes of [true, false]) {
    const { response, state } = createResponse(takes);
    const sender = createSender(response, createTimers(), { ended: () => {}, dropped: () => assert.fail() });
    const sending = sender.send("x".repeat(WAITING_MAX_BYTES + 1));
    sender.end();
    await sending;
    assert.deepEqual([state.ended, state.destroyed], [takes, !takes]);
  }
});

function openStream(options: { check?: () => Promise<void>; takes?: boolean; notice?: string } = {}) {
  const timers = createTimers();
  const { response, state } = createResponse(options.takes ?? true);
  const pages: string[][] = [];
  const reads = { count: 0, cursor: "c0", following: 0 };
  let wake = () => {};
  const source: Source = {
    async next() {
      reads.count++;
      const messages = (pages.shift() ?? []).map((data) => ({ id: `of-${data}`, data }));
      return { messages, is_done: pages.length === 0 };
    },
    cursor: () => reads.cursor,
    notice: options.notice ?? null,
  };
  const logged: string[] = [];
  const slot = { end: () => {} };
  const ended = runStream({
    ...{ response, source, slot, topic: "app_1", clock: timers, check: options.check ?? (async () => {}) },
    log: (event) => void logged.push(event),
    follow(_topic, on_commit) {
      wake = on_commit;
      reads.following++;
      return () => void reads.following--;
    },
  });
  const push = async (...page: string[]) => {
    pages.push(page);
    wake();
    await yieldToEventLoop();
  };
  return { timers, state, reads, logged, slot, ended, push };
}

test("a stream begins with its place, sends what comes when it comes, and ends when it is told to", async () => {
  const { state, slot, ended, push, reads, timers } = openStream();
  await yieldToEventLoop();
  assert.equal(state.text, "retry: 1000\nid: c0\n\n");
  await push("1", "2");
  await push("3");
  assert.ok(state.text.endsWith("id: of-1\ndata: 1\n\nid: of-2\ndata: 2\n\nid: of-3\ndata: 3\n\n"));
  slot.end();
  await ended;
  assert.deepEqual([state.ended, reads.following, timers.next()], [true, 0, null]);
});

test("what may be missing is said in an event of its own", async () => {
  const { state, slot, ended } = openStream({ notice: "Look there." });
  await yieldToEventLoop();
  assert.ok(state.text.endsWith('event: reset\nid: c0\ndata: {"message":"Look there."}\n\n'));
  slot.end();
  await ended;
});

test("a quiet stream shows that it is there, and moves its client's place", async () => {
  const { state, slot, ended, timers, reads } = openStream();
  await yieldToEventLoop();
  reads.cursor = "c7";
  for (let at = 0; at < 2 * HEARTBEAT_MS; at += CHECK_MS) {
    timers.advance(CHECK_MS);
    await yieldToEventLoop();
  }
  assert.equal(state.text, "retry: 1000\nid: c0\n\n: still here\nid: c7\n\n: still here\n\n");
  slot.end();
  await ended;
});

test("a stream whose caller may not read any more ends", async () => {
  const { state, ended, timers, logged } = openStream({ check: () => Promise.reject(new Error("a bug")) });
  await yieldToEventLoop();
  timers.advance(CHECK_MS);
  await ended;
  assert.deepEqual([state.ended, logged], [true, ["stream.failed"]]);
});

test("nothing is read for a client that does not take what it has", async () => {
  const { state, reads, ended, timers, push, logged } = openStream({ takes: false });
  await yieldToEventLoop();
  await push("x".repeat(WAITING_MAX_BYTES));
  const count = reads.count;
  await push("more");
  assert.equal(reads.count, count);
  timers.advance(SLOW_MAX_MS);
  await ended;
  assert.deepEqual([state.destroyed, logged], [true, ["stream.dropped"]]);
});
