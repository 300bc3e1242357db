// What leaves while the database is away: from memory, bounded, and on record afterwards.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { openNotices } from "../../test/support/notices.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";
import { RETRY_DELAYS_MS } from "./notice.ts";

const TOLD = { type: "database.failing", message: "It is away.", data: {} } as const;

forEachEngine((engine) => {
  test("a notice that cannot be kept leaves at once on every way, and is tried again where that did not work", async () => {
    const world = await openNotices(engine);
    const { outbox, cut } = world.startProcess();
    cut.is_cut = true;
    world.channels.webhook.answer = () => "nobody there";
    await outbox.post(TOLD);
    const attempts = () => world.sent.filter(({ channel }) => channel === "webhook").length;
    for (const [index, delay] of RETRY_DELAYS_MS.entries()) {
      await waitUntil(() => attempts() === index + 1 && world.clock.pending() === 1, "an attempt");
      world.clock.pass(delay);
    }
    await waitUntil(() => attempts() === RETRY_DELAYS_MS.length + 1, "the last attempt");
    assert.equal(world.sent.length, RETRY_DELAYS_MS.length + 1 + 2, "log and mail were sent to once");
    assert.equal(world.clock.pending(), 0);
    cut.is_cut = false;
    await waitUntil(async () => {
      await outbox.flush();
      return outbox.heldCount() === 0;
    }, "it to be kept");
    const states = (await world.sends()).map(({ channel, state }) => `${channel} ${state}`);
    assert.deepEqual(states, ["log sent", "mail sent", "webhook failed"]);
  });

  test("what has not left when the database is back leaves from there, and not from memory too", async () => {
    const world = await openNotices(engine);
    const { outbox, sender, cut } = world.startProcess();
    cut.is_cut = true;
    world.channels.mail.answer = () => "greylisted";
    outbox.sendDirectly(TOLD);
    await waitUntil(() => world.sent.length === 3 && world.clock.pending() === 1, "the first attempts");
    cut.is_cut = false;
    await outbox.flush();
    assert.deepEqual([outbox.heldCount(), world.clock.pending()], [0, 0]);
    world.channels.mail.answer = () => null;
    world.clock.pass(RETRY_DELAYS_MS[0] ?? 0);
    sender.start();
    world.clock.pass(1);
    await waitUntil(async () => (await world.sends()).every(({ state }) => state === "sent"), "the mail to leave");
    const mails = world.sent.filter(({ channel }) => channel === "mail");
    assert.deepEqual(
      mails.map(({ attempt }) => attempt),
      [1, 2],
    );
    await sender.stop();
  });

  test("memory holds a bounded number: the oldest makes way, and the log says so", async () => {
    const world = await openNotices(engine);
    const { outbox, cut } = world.startProcess();
    cut.is_cut = true;
    for (let n = 0; n < 30; n++) outbox.sendDirectly(TOLD);
    assert.equal(outbox.heldCount(), 20);
    assert.equal(world.logged.filter(({ event }) => event === "notice.dropped").length, 10);
    outbox.stop();
    assert.deepEqual([outbox.heldCount(), world.clock.pending()], [0, 0]);
  });

  test("a notice is kept with the change that it tells, or not at all", async () => {
    const world = await openNotices(engine);
    const { outbox } = world.startProcess();
    const change = world.db.transaction(async (query) => {
      for (const statement of outbox.compose(TOLD)) await query(statement);
      await query(sql`update notices set severity = 'info'`);
      throw new Error("undone");
    });
    await assert.rejects(change, /undone/);
    assert.deepEqual([await world.types(), await world.sends()], [[], []]);
  });
});
