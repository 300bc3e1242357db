// Forwarders of a receiver: each is tried once for each delivery, remembered by itself, and kept from the others' failures.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Forwarder, type ForwardIo, type ForwardOutcome, LinkMeForwardError } from "../../src/receiver/index.ts";
import { CLICK, NOW, openReceiver } from "../support/receiver.ts";

const ACCEPTED: ForwardOutcome = { kind: "accepted" };

interface TestForwarder extends Forwarder {
  calls: [id: string, io: ForwardIo][];
}

/** Ends in these ways, one after another; the last one stays. */
function openForwarder(name: string, ...ways: (ForwardOutcome | Error)[]): TestForwarder {
  const calls: TestForwarder["calls"] = [];
  return {
    name,
    calls,
    async forward(event, io) {
      calls.push([event.id, io]);
      const way = ways[Math.min(calls.length, ways.length) - 1] ?? ACCEPTED;
      if (way instanceof Error) throw way;
      return way;
    },
  };
}

test("a delivery that comes again skips the handler and the forwarders that are done", async () => {
  const good = openForwarder("good");
  const bad = openForwarder(
    "bad",
    { kind: "unreachable", retriable: true, message: "refused", retry_after_ms: 7_000 },
    ACCEPTED,
  );
  const { receiver, send } = openReceiver({ forward: [good, bad] });
  let calls = 0;
  receiver.on("link.click", () => {
    calls += 1;
  });
  const first = await send();
  assert.deepEqual([first.status, first.headers["retry-after"]], [503, "7"]);
  const second = await send();
  assert.ok(second.outcome.kind === "processed");
  assert.deepEqual(second.outcome.steps, [
    { step: "handler", state: "duplicate" },
    { step: "forward.good", state: "duplicate" },
    { step: "forward.bad", state: "done" },
  ]);
  assert.equal((await send()).outcome.kind, "duplicate");
  assert.deepEqual([calls, good.calls.length, bad.calls.length], [1, 1, 2]);
});

test("a forwarder that is refused for good is answered 200, recorded, and not tried again", async () => {
  const outcome: ForwardOutcome = { kind: "misconfigured", retriable: false, message: "the API key is not known" };
  const { send, told } = openReceiver({ forward: [openForwarder("one", outcome), openForwarder("two")] });
  const answer = await send();
  assert.ok(answer.outcome.kind === "processed");
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.outcome.steps[0], { step: "forward.one", state: "failed", reason: outcome.message });
  const [{ error, context } = { error: undefined, context: {} }] = told;
  assert.ok(error instanceof LinkMeForwardError);
  const { name, forwarder, outcome: recorded, message } = error;
  assert.deepEqual(
    [name, forwarder, recorded, message],
    ["LinkMeForwardError", "one", outcome, "one: the API key is not known"],
  );
  assert.deepEqual([context.step, context.event?.id, told.length], ["forward.one", CLICK.id, 1]);
  assert.equal((await send()).outcome.kind, "duplicate");
});

test("what a forwarder does not want is skipped with its reason, and told to nobody", async () => {
  const { send, told } = openReceiver({ forward: [openForwarder("one", { kind: "skipped", reason: "no consent" })] });
  const { outcome } = await send();
  assert.ok(outcome.kind === "processed");
  assert.deepEqual([outcome.steps, told], [[{ step: "forward.one", state: "skipped", reason: "no consent" }], []]);
});

test("a forwarder that throws is tried again, whether it does so at once or later", async () => {
  const sudden: Forwarder = {
    name: "sudden",
    forward() {
      throw new Error("a mistake");
    },
  };
  const { send, told } = openReceiver({ forward: [sudden, openForwarder("late", new Error("another"), ACCEPTED)] });
  assert.deepEqual([(await send()).status, told.length], [503, 2]);
  assert.deepEqual([(await send()).status, told.length], [503, 3]);
});

test("a forwarder that does not answer in time is aborted and counts as ambiguous, and the others are done", async () => {
  let signal: AbortSignal | undefined;
  const silent: Forwarder = {
    name: "silent",
    forward: (_, io) => {
      signal = io.signal;
      return new Promise(() => {});
    },
  };
  const other = openForwarder("other");
  const { send, told } = openReceiver({ forward: [silent, other], forward_timeout_ms: 20 });
  assert.equal((await send()).status, 503);
  const [{ error } = {}] = told;
  assert.ok(error instanceof LinkMeForwardError);
  assert.deepEqual([signal?.aborted, error.outcome.kind], [true, "ambiguous"]);
  await send();
  assert.equal(other.calls.length, 1);
});

test("forwarders get every event with the receiver's clock and fetch, also those of types of the future", async () => {
  const one = openForwarder("one");
  const asked = async () => new Response("ok");
  const { send, receiver } = openReceiver({ forward: [one], fetch: asked });
  await send();
  assert.equal((await send({ id: "2", event: "link.shared" })).outcome.kind, "unknown_event");
  assert.deepEqual(
    one.calls.map(([id]) => id),
    [CLICK.id, "2"],
  );
  const io = one.calls[0]?.[1];
  assert.deepEqual([io?.fetch, io?.now(), io?.signal.aborted], [asked, NOW, false]);
  assert.equal(receiver.counts().processed, 1);
});

test("forwarders of events that were handed off run in process", async () => {
  const one = openForwarder("one", { kind: "refused", retriable: true, message: "429", retry_after_ms: 1 }, ACCEPTED);
  const { send, receiver } = openReceiver({ forward: [one], handOff: { enqueue: async () => {} } });
  await send();
  assert.equal(one.calls.length, 0);
  await assert.rejects(receiver.process(CLICK), { name: "LinkMeRetryError", retry_after_ms: 1 });
  assert.equal((await receiver.process(CLICK)).kind, "processed");
});
