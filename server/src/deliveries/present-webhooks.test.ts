// What keeps deliveries although their receiver is not to blame is said by their webhook, on real tables and by a clock
// that the test sets.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ordering } from "#contract/destinations.ts";
import { input, openWorld, START } from "../../test/support/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { uuidFloor } from "../platform/ids.ts";
import { rows, sql } from "../platform/sql.ts";
import { deliveryId } from "./delivery.ts";
import { DUE_FIRST } from "./due.ts";
import type { Holds } from "./limit-text.ts";
import { NOBODY_SENDS } from "./present-limits.ts";
import { createPresentWebhooks } from "./present-webhooks.ts";
import { WAITS_FOR_TURN } from "./turn.ts";
import { stepWhenStuck } from "./webhook-waits.ts";
import { createWebhookWaitsStore } from "./webhook-waits-store.ts";

interface Waiting {
  /** Ms after the start. */
  accepted: number;
  due_at: number;
  created_at?: number;
  key?: string;
  failures?: number;
  attempt?: number;
  leased?: number;
}

async function openWaits(engine: Engine, ordering: Ordering = "none") {
  const { db, clock, destinations } = await openWorld(engine);
  const { id } = await destinations.createWebhook("shop", input({ ordering }));
  const known = { holds: null as Holds | null, looks: 0 };
  const showPresent = createPresentWebhooks({
    store: createWebhookWaitsStore(db),
    now: () => clock.at,
    lookUpLimits: async () => () => ({ ...NO_LIMITS, concurrency_limit: 7 }),
    lookUpHolds: async () => {
      known.looks++;
      return () => known.holds;
    },
  });
  async function insert(...list: Waiting[]): Promise<void> {
    const values = list.map(
      ({
        accepted,
        due_at,
        created_at = START + accepted,
        key = null,
        failures = 0,
        leased = 0,
        attempt = failures + leased,
      }) => {
        const trigger = due_at === DUE_FIRST ? "manual" : "auto";
        const row = [id, uuidFloor(START + accepted), "shop", "link.click", "pending", attempt, failures, leased];
        return [...row, due_at, trigger, created_at, key];
      },
    );
    await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
      due_at, trigger, created_at, order_key) values ${rows(values)}`);
  }
  const show = async () => (await showPresent([await destinations.getWebhook(id, null)]))[0];
  const step = async () => (await show())?.next_step ?? null;
  const idOf = (accepted: number) => deliveryId({ destination_id: id, position: uuidFloor(START + accepted) });
  return { db, clock, destinations, id, known, insert, show, step, idOf, showPresent };
}

const MINUTE_MS = 60_000;
const LEARNED: Holds = { ...NO_LIMITS, concurrency_limit: 1, limited_because: "The receiver asked for less." };

forEachEngine((engine) => {
  test("a webhook with a delivery that is due for more than a minute says so, and what was first", async () => {
    const { clock, known, insert, show, step } = await openWaits(engine);
    await insert({ accepted: 0, due_at: START + 5_000 }, { accepted: 1, due_at: START + 9_000 });
    clock.at = START + 5_000 + MINUTE_MS - 1;
    assert.equal(await step(), null);
    assert.equal(known.looks, 0, "who sends is not asked while all is well");
    clock.at += 1;
    const text =
      "Deliveries are due since 2026-01-31T09:30:05.000Z, and nothing has taken them. See that a process with the role " +
      "dispatcher runs (LINKME_ROLE): only those send. While one does, a backlog or a limit of the webhook keeps them.";
    assert.equal(await step(), text);
    assert.equal((await show())?.health.concurrency_limit, 7);
    known.holds = NOBODY_SENDS;
    const { reason, step: start } = NOBODY_SENDS.nobody;
    assert.equal(await step(), `Deliveries are due since 2026-01-31T09:30:05.000Z. ${reason} ${start}`);
    known.holds = { ...LEARNED, own: { reason: "Its rate lets 1 a second go.", step: "Nothing." } };
    assert.match((await step()) ?? "", /Z\. Its rate lets 1 a second go\. Nothing\.$/);
    known.holds = NO_LIMITS;
    assert.match(
      (await step()) ?? "",
      /^Deliveries are due since \S+Z, though a dispatcher runs, which tells of nothing .* Wait while /,
    );
    known.holds = LEARNED;
    assert.equal(await step(), null, "its health says that");
  });

  test("what is asked for by hand, waits for its turn or its next attempt, or was made due for the past is not overdue", async () => {
    const { clock, insert, step } = await openWaits(engine);
    clock.at += 10 * MINUTE_MS;
    await insert(
      { accepted: 0, due_at: DUE_FIRST },
      { accepted: 1, due_at: WAITS_FOR_TURN, key: "lnk_1" },
      { accepted: 2, due_at: clock.at + 1, failures: 1 },
      { accepted: 3, due_at: START, created_at: clock.at - MINUTE_MS + 1 },
    );
    assert.equal(await step(), null);
    clock.at += 1;
    assert.match((await step()) ?? "", /^Deliveries are due since /);
  });

  test("what waited while it was paused or off was not due before it was on again", async () => {
    const { clock, destinations, id, insert, step } = await openWaits(engine);
    await insert({ accepted: 0, due_at: START });
    clock.at += 10 * MINUTE_MS;
    await destinations.patchWebhook(id, null, { enabled: false });
    assert.doesNotMatch((await step()) ?? "", /due since/);
    await destinations.patchWebhook(id, null, { enabled: true });
    clock.at += MINUTE_MS - 1;
    assert.doesNotMatch((await step()) ?? "", /due since/);
    clock.at += 1;
    assert.match((await step()) ?? "", /^Deliveries are due since /);
  });

  test("one that is paused and that nobody tries says so, where no dispatcher is known", async () => {
    const { db, clock, id, known, insert, step } = await openWaits(engine);
    await insert({ accepted: 0, due_at: START });
    await db.query(sql`update destinations set state = 'paused' where id = ${id}`);
    await db.query(sql`update destination_health set probe_at = ${START + 30_000} where destination_id = ${id}`);
    known.holds = NOBODY_SENDS;
    clock.at = START + 30_000 + MINUTE_MS - 1;
    assert.match((await step()) ?? "", /^Mend the receiver/);
    clock.at += 1;
    const untried =
      /^It should have been tried at 2026-01-31T09:30:30\.000Z, and nothing has done so\. No process .* Mend /;
    assert.match((await step()) ?? "", untried);
    known.holds = LEARNED;
    assert.match((await step()) ?? "", /^Mend the receiver/);
  });

  test("an ordered webhook names the delivery that the events of its link wait for, and what to press", async () => {
    const { clock, insert, step, idOf } = await openWaits(engine, "link");
    const next_at = START + 5 * MINUTE_MS;
    await insert(
      { accepted: 0, due_at: next_at, key: "lnk_1", failures: 2 },
      { accepted: 1, due_at: WAITS_FOR_TURN, key: "lnk_1" },
    );
    clock.at += MINUTE_MS - 1;
    assert.equal(await step(), null, "it may go at its next attempt");
    clock.at += 1;
    const call = `/api/deliveries/${idOf(0)}`;
    const calls = `GET ${call} says what to do. POST ${call}/retry tries it at once, and POST ${call}/cancel gives it up, so that those behind it go on.`;
    const text = `Events of a link wait for an earlier one of it, ${idOf(0)}, which could not be delivered yet and is tried again at 2026-01-31T09:35:00.000Z. ${calls}`;
    assert.equal(await step(), text);
    clock.at += 10;
    await insert(
      { accepted: 2, due_at: next_at + 1, key: "lnk_2", failures: 9, leased: 1 },
      { accepted: 3, due_at: WAITS_FOR_TURN, key: "lnk_2" },
    );
    assert.equal(
      await step(),
      `Events of 2 links wait for an earlier one of their link that could not be delivered yet and is tried again. The first of these is ${idOf(0)}, which is tried again at 2026-01-31T09:35:00.000Z. ${calls}`,
    );
  });

  test("an ordered webhook names what cannot be sent, though that has not failed, and nothing that is sent for the first time", async () => {
    const { db, clock, insert, step, idOf } = await openWaits(engine, "link");
    clock.at += MINUTE_MS;
    const later = { due_at: clock.at + MINUTE_MS, key: "lnk_1" };
    await insert({ accepted: 0, leased: 1, ...later }, { accepted: 1, due_at: WAITS_FOR_TURN, key: "lnk_1" });
    assert.equal(await step(), null);
    // As a replay of what had succeeded leaves it when it is claimed.
    await db.query(sql`update deliveries set attempt = 2, armed_attempt = 1, armed_at = created_at where leased = 1`);
    assert.equal(await step(), null);
    await db.query(sql`update deliveries set attempt = 3, armed_at = ${clock.at} where leased = 1`);
    assert.equal(await step(), null, "it may go at its next attempt");
    await db.query(
      sql`update deliveries set armed_at = null, armed_attempt = null, replay_id = 'rpl_a' where leased = 1`,
    );
    assert.equal(await step(), null, "a process from before these columns has begun it");
    await db.query(sql`update deliveries set armed_at = created_at, armed_attempt = 1 where leased = 1`);
    assert.match((await step()) ?? "", /^Events of a link wait /);
    await db.query(
      sql`update deliveries set armed_attempt = null, armed_at = null, replay_id = null, resume_state = 'succeeded' where leased = 1`,
    );
    assert.equal(await step(), null, "one that had succeeded and that a person sends again");
    await db.query(sql`update deliveries set attempt = 1, resume_state = null where leased = 1`);
    await insert({ accepted: -1, attempt: 1, ...later });
    assert.ok(
      (await step())?.startsWith(`Events of a link wait for an earlier one of it, ${idOf(-1)}, which could not be`),
      (await step()) ?? "",
    );
  });

  test("of many ordered webhooks those with the most pending are looked at, and a single one always", async () => {
    const { destinations, id } = await openWaits(engine, "link");
    const one = await destinations.getWebhook(id, null);
    const many = Array.from({ length: 21 }, (_, n) => ({
      ...one,
      id: `dst_${n}`,
      health: { ...one.health, pending: n + 1 },
    }));
    const asked: string[][] = [];
    const showPresent = createPresentWebhooks({
      store: {
        overdueOf: async () => new Map(),
        stuckOf: async (ids) => {
          asked.push([...ids]);
          return new Map();
        },
      },
      now: () => START,
      lookUpLimits: async () => () => NO_LIMITS,
      lookUpHolds: async () => () => null,
    });
    await showPresent(many);
    await showPresent(many.slice(0, 1));
    assert.deepEqual(asked, [
      many
        .slice(1)
        .map((webhook) => webhook.id)
        .reverse(),
      ["dst_0"],
    ]);
  });

  test("while nobody sends, an ordered webhook says that in place of calls that change nothing, and once", async () => {
    const { clock, known, insert, step, idOf } = await openWaits(engine, "link");
    await insert(
      { accepted: 0, due_at: START + 5 * MINUTE_MS, key: "lnk_1", failures: 2 },
      { accepted: 1, due_at: WAITS_FOR_TURN, key: "lnk_1" },
    );
    clock.at += MINUTE_MS;
    known.holds = NOBODY_SENDS;
    const { reason, step: start } = NOBODY_SENDS.nobody;
    const who = `Events of a link wait for an earlier one of it, ${idOf(0)}, which could not be delivered yet and is tried again at 2026-01-31T09:35:00.000Z.`;
    assert.equal(await step(), `${who} ${reason} ${start}`);
    await insert({ accepted: 2, due_at: START });
    clock.at += MINUTE_MS;
    assert.equal(await step(), `Deliveries are due since 2026-01-31T09:30:00.002Z. ${reason} ${start}`);
    known.holds = NO_LIMITS;
    assert.match((await step()) ?? "", /^Deliveries are due since .* Events of a link wait for .* gives it up/);
  });

  test("an ordered webhook that is paused names what its links wait for, due or not, and how to pass it by", async () => {
    const { db, clock, id, known, insert, step, idOf } = await openWaits(engine, "link");
    await db.query(sql`update destinations set state = 'paused' where id = ${id}`);
    clock.at += MINUTE_MS + 10;
    known.holds = NO_LIMITS;
    await insert({ accepted: 0, due_at: START, key: "lnk_1", failures: 2 });
    const alone = await step();
    assert.doesNotMatch(alone ?? "", /of a link/);
    await insert({ accepted: 1, due_at: START + 1, key: "lnk_1" });
    const who = `Events of a link wait for an earlier one of it, ${idOf(0)}, which could not be delivered yet.`;
    const call = `If the receiver takes others, POST /api/deliveries/${idOf(0)}/cancel gives it up, and the next one of its link is tried instead, the next time.`;
    assert.equal(await step(), `${alone} ${who} ${call}`);
    await insert(
      { accepted: 2, due_at: clock.at + MINUTE_MS, key: "lnk_2", failures: 1 },
      { accepted: 3, due_at: WAITS_FOR_TURN, key: "lnk_2" },
    );
    const first = `Events of 2 links wait for an earlier one of their link that could not be delivered yet. The first of these is ${idOf(0)}.`;
    assert.equal(await step(), `${alone} ${first} ${call}`);
    known.holds = NOBODY_SENDS;
    assert.doesNotMatch((await step()) ?? "", /of 2 links/, "no call lets those behind it go on");
  });

  test("an ordered webhook where nothing waits for what has failed says nothing", async () => {
    const { clock, insert, step } = await openWaits(engine, "link");
    clock.at += 10 * MINUTE_MS;
    const later = clock.at + MINUTE_MS;
    await insert(
      { accepted: 0, due_at: later, key: "lnk_1", failures: 2 },
      { accepted: 1, due_at: later, key: "lnk_2", leased: 1 },
      { accepted: 2, due_at: WAITS_FOR_TURN, key: "lnk_2" },
      { accepted: 3, due_at: later, key: "lnk_3", leased: 1 },
      { accepted: 4, due_at: later, key: "lnk_3", failures: 1 },
      { accepted: 5, due_at: WAITS_FOR_TURN, key: "lnk_3" },
      { accepted: 6, due_at: later, failures: 3 },
    );
    assert.equal(await step(), null);
  });

  test("of very many it looks at those that are tried last, and counts none", async () => {
    const { clock, insert, step, idOf } = await openWaits(engine, "link");
    clock.at += 10 * MINUTE_MS;
    for (let n = 0; n < 201; n++) {
      const key = `lnk_${n}`;
      await insert(
        { accepted: 2 * n, due_at: clock.at + MINUTE_MS + n, key, failures: 2 },
        { accepted: 2 * n + 1, due_at: WAITS_FOR_TURN, key },
      );
    }
    const beginning = `Events of some links wait for an earlier one of their link that could not be delivered yet and is tried again. The first of these is ${idOf(2)}, `;
    assert.ok((await step())?.startsWith(beginning), (await step()) ?? "");
  });
});

test("one that is being tried says so", () => {
  const first = { destination_id: "dst_0a", position: uuidFloor(START), links: 1, is_exact: true };
  assert.match(
    stepWhenStuck({ ...first, next_at: null }),
    /, which could not be delivered yet and is being tried again\. GET /,
  );
  assert.match(
    stepWhenStuck({ ...first, next_at: null }, NOBODY_SENDS.nobody),
    / and was being tried again\. No process /,
  );
});
