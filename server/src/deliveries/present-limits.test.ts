// What a process answers of limits that others keep, on a real table and by clocks that the test sets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { createManualClock, type ManualClock } from "../../test/support/manual-clock.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import type { Allowed } from "./limit-text.ts";
import { ALONE, createPresence, OLD_MS, type Presence } from "./presence.ts";
import { createPresenceStore, type PresenceStore } from "./presence-store.ts";
import { createPresentLimits } from "./present-limits.ts";
import { writeTold } from "./told-limits.ts";

const WEBHOOK = { id: "dst_a", max_in_flight: 50, rate_per_second: null, timeout_ms: 20_000 };
const SHARE = { max_in_flight: 25, rate_per_second: null };
const FULL = { concurrency_limit: 50, rate_limit_per_second: null, held_until: null, limited_because: null };
const MEMORY = { ...FULL, concurrency_limit: 3, limited_because: "from memory" };
const NOBODY =
  /^No process with the role dispatcher is known to this one: see whether one runs, and whether the clocks .* agree\.$/;

const CUT: Allowed = { cap: 2, per_second: 7, held_until: null, because: "too_many" };

forEachEngine((engine) => {
  test("a process that delivers nothing answers what the dispatchers tell, with their next beat", async () => {
    const { store, clock, startDispatcher, ask } = createCluster(createPresenceStore(await engine.open()));
    const a = await startDispatcher("a");
    const b = await startDispatcher("b");
    const api = apiOn(store, clock);
    assert.deepEqual(await ask(api), FULL);
    a.allowed = CUT;
    b.allowed = { ...CUT, cap: 5, per_second: 9 };
    assert.deepEqual(await ask(api), FULL);
    await a.beat();
    await b.beat();
    const shown = await ask(api);
    assert.deepEqual([shown?.concurrency_limit, shown?.rate_limit_per_second], [7, 16]);
    assert.equal(shown?.limited_because, "The receiver asked for less (429 or Retry-After).");
    a.allowed = b.allowed = null;
    await a.beat();
    await b.beat();
    assert.deepEqual(await ask(api), FULL);
  });

  test("one that is gone counts no more, at once when it was stopped and after 11 s when it was killed", async () => {
    const { store, clock, startDispatcher, ask } = createCluster(createPresenceStore(await engine.open()));
    const api = apiOn(store, clock);
    assert.match((await ask(api))?.limited_because ?? "", NOBODY);
    const holds = (await api.lookUpHolds())(WEBHOOK);
    assert.match(holds?.nobody?.reason ?? "", NOBODY);
    assert.match(holds?.nobody?.step ?? "", /^Start a process with the role dispatcher \(LINKME_ROLE\)/);
    assert.equal(await api.lookUpStandstill(), `${holds?.nobody?.reason} ${holds?.nobody?.step}`);
    const a = await startDispatcher("a");
    const b = await startDispatcher("b");
    b.allowed = CUT;
    await b.beat();
    assert.equal((await ask(api))?.concurrency_limit, 27);
    assert.equal(await api.lookUpStandstill(), null);
    assert.equal(await dispatcherOn(store, clock, a).lookUpStandstill(), null, "it delivers itself");
    await a.presence.leave();
    assert.equal((await ask(api))?.concurrency_limit, 2);
    clock.pass(OLD_MS);
    assert.equal((await ask(api))?.concurrency_limit, 2);
    clock.pass(1);
    const shown = await ask(api);
    assert.match(shown?.limited_because ?? "", NOBODY);
    assert.deepEqual({ ...shown, limited_because: null }, { ...FULL, concurrency_limit: null });
  });

  test("where none is known, nothing is claimed that a clock that differs or a stop a moment ago would make false", async () => {
    const { store, clock, startDispatcher, ask } = createCluster(createPresenceStore(await engine.open()));
    const a = await startDispatcher("a");
    const away = [-20_001, 20_001].map((ms) => apiOn(store, createManualClock(clock.at + ms)));
    const sending = await Promise.all(away.map(ask));
    assert.deepEqual(await ask(apiOn(store, clock)), FULL, "it is there");
    await a.presence.leave();
    const stopped = await ask(apiOn(store, clock));
    for (const shown of [...sending, stopped]) {
      assert.match(shown?.limited_because ?? "", NOBODY);
      assert.doesNotMatch(shown?.limited_because ?? "", /\d|sent/);
    }
  });

  test("what keeps a delivery is no hold of one dispatcher beside another one that sends", async () => {
    const { store, clock, startDispatcher } = createCluster(createPresenceStore(await engine.open()));
    const a = await startDispatcher("a");
    await startDispatcher("b");
    const held_until = clock.at + 60_000;
    a.allowed = { ...CUT, held_until };
    await a.beat();
    const { lookUpHolds, lookUpLimits } = apiOn(store, clock);
    const [limits, holds] = [(await lookUpLimits())(WEBHOOK), (await lookUpHolds())(WEBHOOK)];
    assert.equal(limits?.held_until, new Date(held_until).toISOString());
    const unknown = { sending: null, behind: null };
    assert.deepEqual({ ...holds, ...unknown }, { ...limits, held_until: null, own: null, ...unknown });
  });

  test("a process that delivers nothing names the rate and the requests that keep a webhook, as dispatchers tell", async () => {
    const { store, clock, startDispatcher } = createCluster(createPresenceStore(await engine.open()));
    const a = await startDispatcher("a");
    const webhook = { ...WEBHOOK, max_in_flight: 1, rate_per_second: 0.02 };
    const own = { next_at: clock.at + 50_000, full_since: clock.at - 5_000 };
    a.allowed = { cap: 1, per_second: 0.02, held_until: null, because: null, own };
    await a.beat();
    const { lookUpHolds, lookUpLimits } = apiOn(store, clock);
    assert.equal((await lookUpLimits())(webhook)?.limited_because, null);
    const holds = (await lookUpHolds())(webhook);
    assert.match(holds?.own?.reason ?? "", /rate_per_second of 0\.02 .* goes at about .*under way since /);
    assert.equal(holds?.sending?.("position"), null);
    assert.equal(holds?.own?.is_single, true);
    assert.equal((await lookUpHolds())({ ...webhook, max_in_flight: 2 })?.own?.is_single, false);
    assert.equal(holds?.behind?.("position"), null, "it knows of no single request");
  });

  test("a dispatcher answers from memory while it is the only one, and with what the others tell beside them", async () => {
    const { store, clock, startDispatcher, ask } = createCluster(createPresenceStore(await engine.open()));
    const a = await startDispatcher("a");
    const never = { listTold: () => assert.fail("nothing is read") };
    assert.deepEqual(await ask(dispatcherOn(never, clock, a)), MEMORY);
    const b = await startDispatcher("b");
    b.allowed = CUT;
    await b.beat();
    await a.beat();
    assert.equal(a.presence.nodes().length, 2);
    const both = dispatcherOn(store, clock, a);
    assert.equal((await ask(both))?.concurrency_limit, 27);
    a.allowed = { ...CUT, cap: 1 };
    assert.equal((await ask(both))?.concurrency_limit, 3, "of itself it knows without a beat");
    // It counts by its own beats, as for the parts: the age of a row by its clock is nothing to it.
    clock.pass(60_000);
    assert.equal((await ask(both))?.concurrency_limit, 3);
  });
});

test("with SQLite a process that delivers nothing says that it does not know, and one that delivers does", async () => {
  const limits = { limitsOf: () => MEMORY, allowedOf: () => null, begunAt: () => null, firstBegun: () => null };
  const alone = { dispatcher: limits, presence: ALONE, store: null, now: () => 0 };
  const answer = async (is_dispatcher: boolean) =>
    (await createPresentLimits({ ...alone, is_dispatcher }).lookUpLimits())(WEBHOOK);
  assert.deepEqual(await answer(true), MEMORY);
  assert.match((await answer(false))?.limited_because ?? "", /^With SQLite only the process that delivers/);
  assert.equal((await answer(false))?.concurrency_limit, null);
  const limits_of_api = createPresentLimits({ ...alone, is_dispatcher: false });
  assert.equal(await limits_of_api.lookUpStandstill(), null, "nobody can say");
});

test("the process that sends a delivery says since when, and until when its receiver may answer", async () => {
  const begunAt = (_: string, position: string) => (position === "sent" ? 1_000 : null);
  const firstBegun = () => ({ position: "019c1363-95eb-7000-8197-52ec64a7690b", started_at: 1_000 });
  const dispatcher = { limitsOf: () => null, allowedOf: () => null, begunAt, firstBegun };
  const alone = { dispatcher, presence: ALONE, store: null, now: () => 2_000 };
  const holds = (await createPresentLimits({ ...alone, is_dispatcher: true }).lookUpHolds())(WEBHOOK);
  assert.equal(
    holds?.sending?.("sent"),
    "It is being sent since 1970-01-01T00:00:01.000Z, and its receiver has until about 1970-01-01T00:00:21.000Z to answer (timeout_ms).",
  );
  assert.equal(holds?.sending?.("waits"), null);
  assert.equal(holds?.behind?.("waits"), null, "it may have others beside that");
  const one = { ...WEBHOOK, max_in_flight: 1 };
  const of_one = (await createPresentLimits({ ...alone, is_dispatcher: true }).lookUpHolds())(one);
  assert.equal(
    of_one?.behind?.("waits"),
    "A dispatcher has it, and it waits for dlv_019c136395eb7000819752ec64a7690b_a: the webhook takes one request at a time (max_in_flight), and that one is being sent since 1970-01-01T00:00:01.000Z, until about 1970-01-01T00:00:21.000Z at the latest (timeout_ms).",
  );
  assert.equal(of_one?.behind?.("sent"), null);
  assert.equal((await createPresentLimits({ ...alone, is_dispatcher: false }).lookUpHolds())(WEBHOOK), null);
});

interface Node {
  presence: Presence;
  allowed: Allowed | null;
  /** Time for one word of it alone. */
  beat(): Promise<void>;
}

function createCluster(real: PresenceStore) {
  const asked = new Set<Promise<unknown>>();
  const store: PresenceStore = {
    ...real,
    announce(row, is_news) {
      const asking = real.announce(row, is_news);
      asked.add(asking);
      return asking;
    },
  };
  const clock = createManualClock();

  async function startDispatcher(id: string): Promise<Node> {
    const own = createManualClock(clock.at);
    const presence = createPresence({ store, clock: own, id, tell() {}, log() {} });
    const beat = async () => {
      own.pass(3_000);
      clock.at = Math.max(clock.at, own.at);
      await yieldToEventLoop();
      await Promise.all(asked);
      await yieldToEventLoop();
    };
    const node: Node = { presence, allowed: null, beat };
    await presence.join(() => {
      const { allowed } = node;
      return writeTold(allowed === null ? [] : [{ destination_id: WEBHOOK.id, allowed, share: SHARE }]);
    });
    return node;
  }

  const ask = async ({ lookUpLimits }: ReturnType<typeof createPresentLimits>) => (await lookUpLimits())(WEBHOOK);
  return { store, clock, startDispatcher, ask };
}

function apiOn(store: PresenceStore, { now }: ManualClock) {
  const dispatcher = { limitsOf: () => null, allowedOf: () => null, begunAt: () => null, firstBegun: () => null };
  // It has not joined, so it knows of nobody.
  return createPresentLimits({ is_dispatcher: false, dispatcher, presence: ALONE, store, now });
}

function dispatcherOn(store: Pick<PresenceStore, "listTold">, { now }: ManualClock, node: Node) {
  const dispatcher = {
    limitsOf: () => MEMORY,
    allowedOf: () => node.allowed,
    begunAt: () => null,
    firstBegun: () => null,
  };
  return createPresentLimits({ is_dispatcher: true, dispatcher, presence: node.presence, store, now });
}
