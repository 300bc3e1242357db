// What has failed for good is told, with its number and the call that sends it, as long as a webhook is in trouble and after it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DestinationState } from "#contract/destinations.ts";
import { input, openWorld, START, type World } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import { uuidFloor } from "../platform/ids.ts";
import { rows, sql } from "../platform/sql.ts";
import { type Beside, type Failing, stepForFailed, stepWhenFailing, tellsFailed } from "./failed.ts";
import { failedAt } from "./failed-store.ts";
import { NOT_TRIED } from "./last-tries.ts";

const DAY_MS = 86_400_000;
const BESIDE: Beside = { ...NOT_TRIED, failed: 1, pending: 1 };

type Stored = readonly [state: string, at: number, trigger?: string];

async function store({ db }: World, id: string, list: readonly Stored[]) {
  const values = list.map(([state, at, trigger = "auto"]) => {
    const row = [id, uuidFloor(at), "shop", "link.click", state, 1, 1, 0, state === "pending" ? at : null, trigger, at];
    return row;
  });
  await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, due_at,
    trigger, created_at) values ${rows(values)}`);
}

async function pause({ db, clock, destinations }: World, id: string): Promise<void> {
  await db.query(sql`update destination_health set consecutive_failures = 20,
    failing_since = ${clock.at - FAILURE_RULES.pause_after_ms} where destination_id = ${id}`);
  await destinations.review(id);
}

async function lastNotice({ db }: World): Promise<string> {
  const [last] = await db.query<{ message: string }>(sql`select message from notices order by id desc limit 1`);
  return last?.message ?? "";
}

const replay = (id: string, from: number, to: number) =>
  `POST /api/webhooks/${id}/replays {"since":"${new Date(START + from).toISOString()}","until":"${new Date(START + to).toISOString()}","states":["failed"]}`;

forEachEngine((engine) => {
  test("a pause and its end say what has failed for good and the replay of it, in the notice and at the webhook", async () => {
    const world = await openWorld(engine);
    const { clock, destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += 10_000;
    await store(world, id, [
      ...([
        ["failed", START + 1],
        ["failed", START + 5],
        ["failed", START + 6, "test"],
      ] as const),
      ...([
        ["succeeded", START + 7],
        ["canceled", START + 8],
        ["pending", START + 9],
      ] as const),
    ]);
    const told = `2 deliveries have failed for good, and stay failed: send them with ${replay(id, 1, 6)} when the receiver is well.`;
    await pause(world, id);
    assert.ok(
      (await lastNotice(world)).endsWith(
        `what is pending waits, and goes on after the first success, each at its time. ${told}`,
      ),
    );
    assert.ok((await destinations.getWebhook(id, null)).next_step?.endsWith(` ${told}`));
    const resumed = await destinations.patchWebhook(id, null, { enabled: true });
    assert.equal(resumed.next_step, told);
    assert.ok((await lastNotice(world)).endsWith(`is active again: enabled. ${told}`), await lastNotice(world));
    clock.at += DAY_MS;
    assert.equal((await destinations.getWebhook(id, null)).next_step, null, "a day later it is its owner's");
  });

  test("one that was turned off says what has failed and that it can be sent when it is on, and then how", async () => {
    const world = await openWorld(engine);
    const { clock, destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await store(world, id, [["failed", START + 1]]);
    clock.at += 10_000;
    const told = `1 delivery has failed for good, and stays failed: send it with ${replay(id, 1, 2)} when`;
    const off = await destinations.patchWebhook(id, null, { enabled: false });
    assert.match(off.next_step ?? "", /^It was turned off at /);
    assert.ok(off.next_step?.endsWith(` ${told} the webhook is on again.`), off.next_step ?? "");
    const on = await destinations.patchWebhook(id, null, { enabled: true });
    assert.equal(on.next_step, `${told} the receiver is well.`);
  });

  test("one of which half of the attempts fail says so, though the last one went well", async () => {
    const world = await openWorld(engine);
    const { db, clock, destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await store(world, id, [["failed", START]]);
    await db.query(sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
      values (${id}, ${START - (START % 3_600_000)}, 1, 3, 13), (${id}, ${START - (START % 3_600_000)}, 0, 3, 12)`);
    await db.query(sql`update destination_health set last_failure_at = ${START + 1}, last_success_at = ${START + 2}
      where destination_id = ${id}`);
    const step = async () => (await destinations.getWebhook(id, null)).next_step ?? "";
    clock.at += 2;
    assert.match(await step(), /^48 % of its attempts .* what to do\. 1 delivery has failed for good, .* is well\.$/);
    clock.at += 6 * 3_600_000 + 1;
    assert.equal(await step(), "", "it is well again since");
  });

  test("where nothing has failed the end of a pause says that nothing is to be done, that of a stop how to recover", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await pause(world, id);
    await destinations.resume(id);
    assert.match(
      await lastNotice(world),
      /an attempt succeeded\. Nothing is to be done: what is due goes now, the rest at its next attempt\.$/,
    );
    await destinations.disable(id, "The receiver answered 410 (gone)");
    await destinations.patchWebhook(id, null, { enabled: true });
    assert.match(
      await lastNotice(world),
      /PATCH \/api\/webhooks\/dst_\w+ \{"enabled": true, "recover": true\} sends it\.$/,
    );
  });

  test("of more than are looked at it counts the newest and says that there are more", async () => {
    const world = await openWorld(engine);
    await store(
      world,
      "dst_a",
      Array.from({ length: 5 }, (_, n) => ["failed", START + n] as const),
    );
    assert.deepEqual(await failedAt(world.db.query, "dst_a", 3), {
      ...{ count: 3, is_exact: false, first_at: START + 2, last_at: START + 4, settled_at: START + 4 },
    });
    assert.equal((await failedAt(world.db.query, "dst_a", 6)).is_exact, true);
    assert.equal((await failedAt(world.db.query, "dst_b")).count, 0);
  });

  test("a webhook whose attempts all fail says so before anything pauses it", async () => {
    const world = await openWorld(engine);
    const { db, destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await store(world, id, [["failed", START]]);
    const step = async () => (await destinations.getWebhook(id, null)).next_step;
    assert.equal(await step(), null);
    await db.query(sql`update destination_health set consecutive_failures = 65 where destination_id = ${id}`);
    const { items } = await destinations.listWebhooks("shop", { limit: 10 });
    assert.equal(items[0]?.next_step, await step());
    assert.match(
      (await step()) ?? "",
      /^Its last 65 attempts have all failed, tests and replays left out\. Mend the receiver: .* 1 delivery has failed for good/,
    );
  });
});

test("failing is three in a row, or a first one where nothing of a day has succeeded, or a tenth of a day", () => {
  const failing: (readonly [Partial<Failing>, is_failing: boolean])[] = [
    [{}, false],
    [{ success_rate_24h: 0 }, false],
    [{ consecutive_failures: 2, success_rate_24h: 0.9 }, false],
    [{ consecutive_failures: 1, success_rate_24h: 0 }, true],
    [{ consecutive_failures: 3, success_rate_24h: 0.9 }, true],
    [{ consecutive_failures: 65, success_rate_24h: 0 }, true],
    [{ success_rate_24h: 0.89, attempts_24h: 10 }, true],
    [{ success_rate_24h: 0.9, attempts_24h: 10 }, false],
    [{ success_rate_24h: 0.5, attempts_24h: 9 }, false],
    [{ success_rate_24h: 0.5, attempts_24h: 10, last_failure_at: START - 6 * 3_600_000 }, false],
    [{ success_rate_24h: 0.5, attempts_24h: 10, last_failure_at: START - 6 * 3_600_000 + 1 }, true],
  ];
  for (const [of, is_failing] of failing) {
    const health = { consecutive_failures: 0, success_rate_24h: null, attempts_24h: 0, last_failure_at: START, ...of };
    const at = START - 24 * 3_600_000;
    const row = { id: "dst_a", state: "active", state_changed_at: at, created_at: at } as const;
    assert.equal(stepWhenFailing(row, health, BESIDE, START) !== null, is_failing, JSON.stringify(of));
    assert.equal(tellsFailed(row, health, START), is_failing, JSON.stringify(of));
  }
});

test("a webhook that fails now and then says how much of a day has failed, when the last time, and where to look", () => {
  const last_failure_at = START - 1_000;
  const failing = { consecutive_failures: 0, success_rate_24h: 0.52, attempts_24h: 250, last_failure_at };
  const step = (changes: Partial<Failing>, state_changed_at = 0, beside: Partial<Beside> = {}) =>
    stepWhenFailing({ id: "dst_a", state_changed_at }, { ...failing, ...changes }, { ...BESIDE, ...beside }, START);
  assert.equal(step({}, last_failure_at), null, "it is back since");
  assert.match(step({ success_rate_24h: 0.001 }) ?? "", /^99 % /, "the last one went well");
  assert.equal(
    step({}),
    "48 % of its attempts of the last 24 hours have failed, tests and replays left out, the last of these at 2026-01-31T09:29:59.000Z: " +
      "GET /api/webhooks/dst_a/deliveries?state=failed lists what has failed for good, " +
      "GET /api/webhooks/dst_a/deliveries?state=pending what waits or is tried again, " +
      "and GET /api/deliveries/{id} says of each attempt what to do.",
  );
  const lists = (failed: number, pending: number) =>
    /Z: (.*), and GET/.exec(step({}, 0, { failed, pending }) ?? "")?.[1];
  assert.equal(lists(1, 0), "GET /api/webhooks/dst_a/deliveries?state=failed lists what has failed for good");
  assert.equal(lists(0, 1), "GET /api/webhooks/dst_a/deliveries?state=pending lists what waits or is tried again");
  assert.equal(lists(0, 0), "GET /api/webhooks/dst_a/deliveries lists the deliveries");
});

test("one that failed is told as one, and that a webhook that is stopped has to be on first", () => {
  const step = (state: DestinationState) =>
    stepForFailed(
      { id: "dst_a", state },
      { count: 1, is_exact: true, first_at: START, last_at: START, settled_at: START },
    ) ?? "";
  assert.match(step("active"), /^1 delivery has failed for good, and stays failed: send it with POST /);
  assert.match(step("paused"), / when the receiver is well\.$/);
  for (const state of ["off", "disabled"] as const) assert.match(step(state), / when the webhook is on again\.$/);
  const many = { count: 1_000, is_exact: false, first_at: START, last_at: START + 9, settled_at: START + 9 };
  assert.match(
    stepForFailed({ id: "dst_a", state: "active" }, many) ?? "",
    /^More than 1000 deliveries have failed for good, and stay failed: send the newest of them, 1000 or somewhat more, with POST /,
  );
});
