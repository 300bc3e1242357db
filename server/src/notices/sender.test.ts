// Notices leave once each, whoever sends and whoever dies, on both engines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { type NoticeWorld, openNotices } from "../../test/support/notices.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";
import { RETRY_DELAYS_MS, STALE_MS } from "./notice.ts";
import { LEASE_MS } from "./sender.ts";
import { KEPT_MAX, KEPT_MS } from "./store.ts";

const TOLD = { type: "webhook.paused", message: "It is paused.", data: {} } as const;
/** Longer than the gap between two polls. */
const POLL_MS = 6_000;
/** Of the clock, while something is awaited. */
const STEP_MS = 10;
/** Where nothing but the next poll is waited for. */
const BIG_STEP_MS = 1_000;

/** Lets polls happen until the condition holds. */
async function until(
  world: NoticeWorld,
  condition: () => boolean | Promise<boolean>,
  what: string,
  step_ms = STEP_MS,
): Promise<void> {
  await waitUntil(async () => {
    if (await condition()) return true;
    world.clock.pass(step_ms);
    return false;
  }, what);
}

async function untilEnded(world: NoticeWorld): Promise<void> {
  await until(
    world,
    async () => {
      const sends = await world.sends();
      return sends.length > 0 && sends.every(({ due_at }) => due_at === null);
    },
    "every way out to have ended",
  );
}

forEachEngine((engine) => {
  test("a notice that was kept leaves on every way, once, with the same id", async () => {
    const world = await openNotices(engine);
    const { outbox, sender } = world.startProcess();
    sender.start();
    await outbox.post(TOLD);
    await untilEnded(world);
    assert.deepEqual(world.sent.map(({ channel }) => channel).sort(), ["log", "mail", "webhook"]);
    assert.equal(new Set(world.sent.map(({ notice }) => notice.id)).size, 1);
    for (const send of await world.sends())
      assert.deepEqual([send.state, send.attempts, send.error], ["sent", 1, null]);
    await sender.stop();
    assert.equal(world.clock.pending(), 0, "nothing is left to wake up");
  });

  test("two processes share the work: many notices, each sent once on each way", async () => {
    const world = await openNotices(engine);
    const processes = [world.startProcess(), world.startProcess()];
    for (const { sender } of processes) sender.start();
    const count = 30;
    for (let n = 0; n < count; n++) await processes[n % 2]?.outbox.post(TOLD);
    await untilEnded(world);
    for (const channel of ["log", "webhook", "mail"]) {
      const ids = world.sent.filter((one) => one.channel === channel).map(({ notice }) => notice.id);
      assert.deepEqual([ids.length, new Set(ids).size], [count, count], channel);
    }
    for (const { sender } of processes) await sender.stop();
  });

  test("what a process claimed and died with is sent by another one when the lease has run out", async () => {
    const world = await openNotices(engine);
    const dead = world.startProcess();
    await dead.outbox.post(TOLD);
    const [claimed] = await dead.store.claim("webhook", world.clock.at, world.clock.at + LEASE_MS, 1);
    assert.equal(claimed?.send.attempts, 1);
    const { store, sender } = world.startProcess();
    assert.deepEqual(await store.claim("webhook", world.clock.at, world.clock.at + LEASE_MS, 1), [], "it is leased");
    world.clock.pass(LEASE_MS);
    sender.start();
    await untilEnded(world);
    const sent = world.sent.filter(({ channel }) => channel === "webhook");
    assert.deepEqual(
      sent.map(({ attempt }) => attempt),
      [2],
    );
    // The dead one comes back to life: what it has to say counts no more.
    await dead.store.settle([{ ...(claimed?.send ?? assert.fail()), state: "failed", due_at: null, error: "late" }]);
    assert.ok((await world.sends()).every(({ state }) => state === "sent"));
    await sender.stop();
  });

  test("a way that hangs or fails holds up no other, and is tried again until it is given up", async () => {
    const world = await openNotices(engine);
    const { outbox, sender } = world.startProcess();
    const hanging = Promise.withResolvers<string | null>();
    world.channels.mail.answer = () => hanging.promise;
    world.channels.webhook.answer = () => "The receiver answered 500";
    sender.start();
    await outbox.post(TOLD);
    await until(world, () => world.sent.length === 3, "the first attempts");
    await outbox.post(TOLD);
    await until(world, () => world.sent.filter(({ channel }) => channel === "log").length === 2, "the log to go on");
    hanging.resolve(null);
    const open = async () => (await world.sends()).flatMap(({ due_at }) => due_at ?? []);
    for (let rounds = 0; (await open()).length > 0; rounds++) {
      assert.ok(rounds <= 2 * RETRY_DELAYS_MS.length + 2, "each round is an attempt of one of them at least");
      // What hints and polls have begun ends before the clock goes on, to the next that is due.
      const is_quiet = async () => (await open()).every((due_at) => due_at > world.clock.at);
      await until(world, is_quiet, "an attempt", BIG_STEP_MS);
      const next = Math.min(...(await open()));
      if (Number.isFinite(next)) world.clock.pass(next - world.clock.at + POLL_MS);
    }
    assert.equal((await world.sends()).filter(({ state }) => state === "failed").length, 2);
    const attempts = world.sent.filter(({ channel }) => channel === "webhook").length;
    assert.equal(attempts, 2 * (RETRY_DELAYS_MS.length + 1));
    const sends = (await world.sends()).filter(({ channel }) => channel !== "webhook");
    assert.ok(sends.every(({ state }) => state === "sent"));
    assert.ok(world.logged.some(({ event, fields }) => event === "notice.failed" && fields["channel"] === "webhook"));
    await sender.stop();
  });

  test("a stop waits for nobody, and what was under way is sent by the next process at once", async () => {
    const world = await openNotices(engine);
    const { outbox, sender } = world.startProcess();
    world.channels.webhook.answer = () => new Promise(() => {});
    sender.start();
    await outbox.post(TOLD);
    await until(world, () => world.sent.length === 3, "the first attempts");
    await sender.stop();
    world.channels.webhook.answer = () => null;
    const next = world.startProcess();
    next.sender.start();
    await untilEnded(world);
    const sent = world.sent.filter(({ channel }) => channel === "webhook");
    assert.deepEqual(
      sent.map(({ attempt }) => attempt),
      [1, 2],
    );
    await next.sender.stop();
  });

  test("what could not leave in a day is given up and not told as news", async () => {
    const world = await openNotices(engine);
    const { outbox, sender } = world.startProcess();
    await outbox.post(TOLD);
    world.clock.pass(STALE_MS + 1);
    sender.start();
    await untilEnded(world);
    assert.deepEqual(world.sent, []);
    for (const send of await world.sends()) {
      assert.deepEqual([send.state, send.error], ["failed", "It could not leave in a day"]);
    }
    await sender.stop();
  });

  test("notices are kept for a time and up to a number, with their ways out", async () => {
    const world = await openNotices(engine);
    const { store, outbox, sender } = world.startProcess();
    await outbox.post(TOLD);
    world.clock.pass(KEPT_MS + 1);
    await outbox.post(TOLD);
    sender.start();
    await until(world, async () => (await world.types()).length === 1, "the old one to go");
    assert.equal((await world.sends()).length, 3);
    await sender.stop();

    const [kept] = await store.page(null, 1);
    const blank = {
      severity: "info",
      app_id: null,
      destination_id: null,
      message: "m",
      data: "{}",
      created_at: 1,
    } as const;
    const digits = (n: number) => n.toString(16).padStart(4, "0");
    const surplus = 3;
    const rows = Array.from({ length: KEPT_MAX - 1 + surplus }, (_, n) => ({ ...blank, id: `0000-${digits(n)}` }));
    for (let from = 0; from < rows.length; from += 1_000) {
      await world.db.batch(
        rows.slice(from, from + 1_000).map(
          (row) => sql`insert into notices (id, type, severity, message, data, created_at)
            values (${row.id}, 'disk.low', 'info', 'm', '{}', 1)`,
        ),
      );
    }
    const [gone, there] = [
      { kind: "disk", subject: "gone" },
      { kind: "disk", subject: "there" },
    ];
    await store.open(gone, 1_000, []);
    await store.open(there, 1_000, []);
    await store.touch(there, 2_000);
    assert.equal(await store.prune("0000-0000", 2_000), false);
    assert.deepEqual(await store.openSubjects("disk", 10), ["there"]);
    const left = await world.db.query<{ id: string }>(sql`select id from notices order by id`);
    assert.deepEqual(
      [left.length, left[0]?.id, left.at(-1)?.id],
      [KEPT_MAX, `0000-${digits(surplus)}`, kept?.notice.id],
    );
  });
});
