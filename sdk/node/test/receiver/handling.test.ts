// What becomes of an event whose handler, store or queue fails, and of one that comes again: nothing is lost, and nothing that
// worked is done twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createReceiver,
  type DedupeStore,
  LinkMeFinalError,
  LinkMeRetryError,
  type LinkMeWebhookEnvelope,
  memoryDedupe,
  signTestPayload,
} from "../../src/receiver/index.ts";
import { CLICK, NOW, openReceiver, SECRET } from "../support/receiver.ts";

test("a handler that fails is answered 503 with Retry-After, told of, and called again with the next delivery", async () => {
  const { receiver, send, told } = openReceiver();
  let fails = 2;
  receiver.on("link.click", () => {
    if (fails === 0) return;
    fails -= 1;
    throw fails === 1
      ? new Error("the database of 10.0.0.7 is away")
      : new LinkMeRetryError("busy", { retry_after_ms: 90_400 });
  });
  const first = await send();
  assert.deepEqual([first.status, first.headers["retry-after"], first.outcome.kind], [503, "30", "retry"]);
  assert.ok(!first.body.includes("10.0.0.7"), "what an error says stays here");
  assert.deepEqual([told.length, told[0]?.context.step, told[0]?.context.event?.id], [1, "handler", CLICK.id]);
  const second = await send();
  assert.deepEqual([second.status, second.headers["retry-after"]], [503, "91"]);
  assert.deepEqual([(await send()).outcome.kind, (await send()).outcome.kind], ["processed", "duplicate"]);
  assert.equal(receiver.counts().retry, 2);
});

test("a handler that gives up for good is answered 200, told of, and not called again", async () => {
  const { receiver, send, told } = openReceiver();
  let calls = 0;
  receiver.on("link.click", () => {
    calls += 1;
    throw new LinkMeFinalError("no such user");
  });
  const { status, outcome } = await send();
  assert.ok(outcome.kind === "processed");
  assert.deepEqual(
    [status, outcome.steps, told.length],
    [200, [{ step: "handler", state: "failed", reason: "no such user" }], 1],
  );
  assert.deepEqual([(await send()).outcome.kind, calls], ["duplicate", 1]);
});

test("an event that comes again while it is being handled is answered 503, and is not handled twice", async () => {
  const { receiver, send } = openReceiver();
  const { promise, resolve } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  let calls = 0;
  receiver.on("link.click", () => {
    calls += 1;
    begun.resolve();
    return promise;
  });
  const first = send();
  await begun.promise;
  const second = await send();
  assert.deepEqual([second.status, second.headers["retry-after"], calls], [503, "30", 1]);
  resolve();
  assert.deepEqual([(await first).status, (await send()).outcome.kind, calls], [200, "duplicate", 1]);
});

test("an event whose handler died with its process is handled when the lease is over", async () => {
  const clock = { now: NOW };
  const dedupe = memoryDedupe({ now: () => clock.now });
  const died = openReceiver({ dedupe, lease_ms: 60_000 });
  const begun = Promise.withResolvers<void>();
  died.receiver.on("link.click", () => {
    begun.resolve();
    return new Promise(() => {});
  });
  void died.send();
  await begun.promise;
  const next = openReceiver({ dedupe });
  let calls = 0;
  next.receiver.on("link.click", () => {
    calls += 1;
  });
  assert.deepEqual([(await next.send()).status, calls], [503, 0]);
  clock.now += 60_000;
  assert.deepEqual([(await next.send()).status, calls], [200, 1]);
});

test("events of two apps with the same id are two events, and after a week an id is new", async () => {
  const { receiver, send, clock } = openReceiver();
  let calls = 0;
  receiver.on("link.click", () => {
    calls += 1;
  });
  for (const app_id of ["shop", "other", "shop"]) await send({ ...CLICK, app_id });
  assert.equal(calls, 2);
  clock.now += 7 * 24 * 60 * 60 * 1000 - 1;
  assert.equal((await send()).outcome.kind, "duplicate");
  clock.now += 1;
  assert.deepEqual([(await send()).outcome.kind, calls], ["processed", 3]);
});

/** A store of which single calls fail. */
function failingStore(fails: keyof DedupeStore): DedupeStore {
  const failing = async () => {
    throw new Error("connection refused");
  };
  return { ...memoryDedupe(), [fails]: failing };
}

test("a store that cannot be asked is answered 503, before anything is done", async () => {
  const { receiver, send, told } = openReceiver({ dedupe: failingStore("begin") });
  receiver.on("link.click", () => assert.fail("it may have been handled already"));
  assert.deepEqual([(await send()).status, told.length], [503, 1]);
});

test("a store that cannot be told is told of, and does not change what was done", async () => {
  const done = openReceiver({ dedupe: failingStore("done") });
  done.receiver.on("link.click", () => {});
  assert.deepEqual([(await done.send()).status, done.told.length], [200, 1]);
  const release = openReceiver({ dedupe: failingStore("release") });
  release.receiver.on("link.click", () => Promise.reject(new Error("no")));
  assert.deepEqual([(await release.send()).status, release.told.length], [503, 2]);
});

test("an onError that throws changes nothing", async () => {
  const receiver = createReceiver({ secrets: SECRET, now: () => NOW });
  receiver.on("link.click", () => Promise.reject(new Error("no")));
  receiver.onError(() => {
    throw new Error("the log is full");
  });
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  assert.equal((await receiver.receive({ method: "POST", headers, body })).status, 503);
});

test("without onError errors are on the console, without the body and the secret", async (t) => {
  const log = t.mock.method(console, "error", () => {});
  const receiver = createReceiver({ secrets: SECRET, now: () => NOW });
  receiver.on("link.click", () => Promise.reject(new Error("no disk")));
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  await receiver.receive({ method: "POST", headers, body });
  assert.deepEqual(
    log.mock.calls.map((call) => call.arguments),
    [[`LinkMe receiver (handler link.click ${CLICK.id}): no disk`]],
  );
});

test("an event that is handed off is safe before it is answered 200, and is handled by process", async () => {
  const queue: LinkMeWebhookEnvelope[] = [];
  let is_full = true;
  const enqueue = async (event: LinkMeWebhookEnvelope) => {
    if (is_full) throw new Error("the queue is full");
    queue.push(event);
  };
  const { receiver, send } = openReceiver({ handOff: { enqueue } });
  let calls = 0;
  receiver.on("link.click", () => {
    calls += 1;
    if (calls === 1) throw new LinkMeRetryError("busy", { retry_after_ms: 5_000 });
  });
  assert.equal((await send()).status, 503);
  is_full = false;
  assert.deepEqual([(await send()).outcome.kind, (await send()).outcome.kind, calls], ["handed_off", "duplicate", 0]);
  assert.deepEqual(queue, [CLICK]);
  const [event] = queue;
  assert.ok(event);
  await assert.rejects(receiver.process(event), { name: "LinkMeRetryError", retry_after_ms: 5_000 });
  assert.deepEqual(
    [(await receiver.process(event)).kind, (await receiver.process(event)).kind, calls],
    ["processed", "duplicate", 2],
  );
});
