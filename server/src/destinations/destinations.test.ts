import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { MASK } from "#contract/destinations.ts";
import {
  HOUR_MS,
  historyOf,
  input,
  insertDeliveries,
  openWorld,
  outgoing,
  refused,
  START,
  versionOf,
} from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { rows, sql } from "../platform/sql.ts";
import { NO_LIMITS } from "./health.ts";
import { hourOf, latencyClass } from "./latency.ts";
import { DESTINATIONS_PER_APP_MAX } from "./store.ts";

forEachEngine((engine) => {
  test("turning a webhook off and on again changes its state and forgets its failures", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await db.query(
      sql`update destination_health set consecutive_failures = 9, failing_since = 5, last_failure_at = 7 where destination_id = ${id}`,
    );
    clock.at += 1_000;
    const off = await destinations.patchWebhook(id, null, { enabled: false });
    assert.deepEqual([off.enabled, off.state, off.state_changed_at], [false, "off", new Date(clock.at).toISOString()]);
    assert.equal(off.health.consecutive_failures, 9);
    const on = await destinations.patchWebhook(id, null, { enabled: true });
    assert.deepEqual([on.enabled, on.state, on.health.consecutive_failures], [true, "active", 0]);
    assert.equal(on.health.last_failure_at, new Date(7).toISOString());
    const health = await db.query(sql`select failing_since from destination_health where destination_id = ${id}`);
    assert.deepEqual(
      health.map((row) => row["failing_since"]),
      [null],
    );
  });

  test("a disabled webhook shows why, and enabling it makes it active again", async () => {
    const { clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += 10;
    await destinations.disable(id, "The receiver answered 410 (gone)");
    const disabled = await destinations.getWebhook(id, null);
    assert.deepEqual([disabled.state, disabled.state_reason], ["disabled", "The receiver answered 410 (gone)"]);
    assert.equal(disabled.state_changed_at, new Date(clock.at).toISOString());
    assert.equal((await destinations.find(id))?.state, "disabled");
    const edited = await destinations.patchWebhook(id, null, { description: "x" });
    assert.equal(edited.state, "disabled");
    const enabled = await destinations.patchWebhook(id, null, { enabled: true });
    assert.deepEqual([enabled.state, enabled.state_reason], ["active", null]);
  });

  test("disabling twice, or what is off or unknown, changes nothing", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await Promise.all([destinations.disable(id, "first"), destinations.disable(id, "second")]);
    await destinations.disable(id, "third");
    assert.deepEqual(
      (await historyOf(db, id)).map((row) => row.state),
      ["active", "disabled"],
    );
    await destinations.patchWebhook(id, null, { enabled: false });
    await destinations.disable(id, "fourth");
    assert.equal((await destinations.getWebhook(id, null)).state, "off");
    await destinations.disable("dst_nothing", "fifth");
  });

  test("every change raises the app's version; one of the state or the events is written into the history", async () => {
    const { db, destinations } = await openWorld(engine);
    const versions = [await versionOf(db)];
    const step = async (work: Promise<unknown>) => {
      await work;
      versions.push(await versionOf(db));
    };
    const { id } = await destinations.createWebhook("shop", input());
    versions.push(await versionOf(db));
    await step(destinations.patchWebhook(id, null, { events: ["link.claim"] }));
    await step(destinations.patchWebhook(id, null, { enabled: false }));
    await step(destinations.patchWebhook(id, null, { enabled: true }));
    await step(destinations.disable(id, "gone"));
    await step(destinations.patchWebhook(id, null, { events: ["link.click"] }));
    await step(destinations.patchWebhook(id, null, { description: "mended" }));
    assert.ok(
      versions.every((version, index) => index === 0 || version > (versions[index - 1] ?? 0)),
      versions.join(),
    );
    assert.deepEqual(
      (await historyOf(db, id)).map(({ at, state, events, cause }) => [at - START, state, events, cause]),
      [
        [0, "active", '["link.click"]', "created"],
        [1, "active", '["link.claim"]', "changed: events"],
        [2, "off", '["link.claim"]', "turned off"],
        [3, "active", '["link.claim"]', "enabled"],
        [4, "disabled", '["link.claim"]', "gone"],
        [5, "disabled", '["link.click"]', "changed: events"],
        [6, "disabled", '["link.click"]', "changed: description"],
      ],
    );
    const { id: other } = await destinations.createWebhook("shop", input({ enabled: false }));
    assert.deepEqual(
      (await historyOf(db, other)).map(({ cause }) => cause),
      ["turned off from the start"],
    );
    versions.push(await versionOf(db));
    await step(destinations.deleteWebhook(id, null));
    assert.ok((versions.at(-1) ?? 0) > (versions.at(-2) ?? 0));
    assert.equal(await versionOf(db, "blog"), 0);
  });

  test("changes made at once all count", async () => {
    const { destinations, another } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const other = another();
    await Promise.all([
      destinations.patchWebhook(id, null, { description: "new" }),
      other.patchWebhook(id, null, { timeout_ms: 1_234 }),
      destinations.patchWebhook(id, null, { max_in_flight: 3 }),
      other.patchWebhook(id, null, { headers: { A: "1" } }),
    ]);
    const shown = await destinations.getWebhook(id, null);
    assert.deepEqual(
      [shown.description, shown.timeout_ms, shown.max_in_flight, shown.headers],
      ["new", 1_234, 3, { A: MASK }],
    );
  });

  test("a deleted webhook is gone at once; its rows are left to be removed in steps", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await insertDeliveries(db, id, [["pending", START]]);
    const heard: string[] = [];
    destinations.onChange((changed) => void heard.push(changed));
    await destinations.deleteWebhook(id, "shop");
    assert.ok(heard.includes(id));
    assert.equal(await destinations.find(id), null);
    assert.deepEqual((await destinations.ofApp("shop")).destinations, []);
    await refused(destinations.getWebhook(id, null), "not_found");
    await refused(destinations.deleteWebhook(id, null), "not_found");
    await destinations.disable(id, "too late");
    assert.deepEqual(await db.query(sql`select kind, id from removals`), [{ kind: "destination", id }]);
  });

  test("a change is in this process's cache when the call answers, in another's a second later", async () => {
    const { clock, destinations, another } = await openWorld(engine);
    const other = another();
    const { id } = await destinations.createWebhook("shop", input());
    assert.deepEqual([...((await other.find(id))?.events ?? [])], ["link.click"]);
    const { version } = await other.ofApp("shop");
    await destinations.patchWebhook(id, null, { events: ["link.claim"] });
    assert.deepEqual([...((await destinations.find(id))?.events ?? [])], ["link.claim"]);
    assert.deepEqual([...((await other.find(id))?.events ?? [])], ["link.click"]);
    const heard: string[] = [];
    other.onChange((changed) => void heard.push(changed));
    clock.at += 1_000;
    assert.deepEqual([...((await other.find(id))?.events ?? [])], ["link.claim"]);
    assert.deepEqual(heard, [id]);
    assert.ok((await other.ofApp("shop")).version > version);
  });

  test("an app can hold only so many destinations", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    for (let n = 1; n < DESTINATIONS_PER_APP_MAX; n *= 2) {
      await db.query(
        sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state, state_reason,
            state_changed_at, retry_schedule, timeout_ms, max_in_flight, rate_per_second, retry_on, created_at, updated_at)
          select id || ${`x${n}`}, app_id, type, config, secrets, events, description, enabled,
            state, state_reason, state_changed_at, retry_schedule, timeout_ms, max_in_flight, rate_per_second, retry_on,
            created_at, updated_at from destinations limit ${DESTINATIONS_PER_APP_MAX - n}`,
      );
    }
    const error = await refused(destinations.createWebhook("shop", input()), "conflict");
    assert.match(error.message, /at most 1000 webhooks/);
    await destinations.deleteWebhook(id, null);
    await destinations.createWebhook("shop", input());
  });

  test("health counts the last day's attempts and what is pending", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const { id: quiet } = await destinations.createWebhook("shop", input());
    const hour = hourOf(START);
    const counts = [
      [id, hour, 1, latencyClass(10), 90],
      [id, hour - 23 * HOUR_MS, 1, latencyClass(200), 4],
      [id, hour - 23 * HOUR_MS, 0, latencyClass(3_000), 6],
      [id, hour - 24 * HOUR_MS, 0, latencyClass(60_000), 1_000],
    ];
    await db.query(
      sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts) values ${rows(counts)}`,
    );
    await db.query(
      sql`update destination_health set last_success_at = ${START - 5}, last_failure_at = ${START - HOUR_MS},
        consecutive_failures = 2 where destination_id = ${id}`,
    );
    await insertDeliveries(db, id, [["pending", START - 50], ["succeeded", START - 90], ["pending", START - 70], ["failed", 1]]); // biome-ignore format: a table
    const { health } = await destinations.getWebhook(id, null);
    assert.ok((health.p95_ms_24h ?? 0) >= 3_000 && (health.p95_ms_24h ?? 0) <= 3_600);
    assert.deepEqual(health, {
      last_success_at: new Date(START - 5).toISOString(),
      last_failure_at: new Date(START - HOUR_MS).toISOString(),
      consecutive_failures: 2,
      success_rate_24h: 0.94,
      p95_ms_24h: health.p95_ms_24h,
      pending: 2,
      oldest_pending_at: new Date(START - 70).toISOString(),
      next_probe_at: null,
      ...NO_LIMITS,
    });
    const listed = (await destinations.listWebhooks("shop", { limit: 10 })).items;
    assert.deepEqual(listed.find((item) => item.id === id)?.health, health);
    assert.equal(listed.find((item) => item.id === quiet)?.health.pending, 0);
  });

  test("with another seal key a webhook says so, sends nothing and leaves the others alone", async () => {
    const { destinations, another } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input({ headers: { A: "1" } }));
    const wrong = another(randomBytes(32));
    const { id: readable } = await wrong.createWebhook("shop", input());

    const destination = await wrong.find(id);
    assert.ok(destination !== null);
    assert.equal(destination.state, "active");
    assert.match(destination.misconfigured ?? "", /LINKME_SEAL_KEY/);
    assert.throws(() => destination.build(outgoing), /sends nothing/);
    assert.deepEqual(destination.show({ method: "POST", url: "", headers: ["A", "1"], body: "x" }), {
      ...{ method: "POST", url: "", headers: {}, body: "" },
    });
    const outcome = destination.judge({ kind: "failure", code: "dns", message: "", started_at: 0, duration_ms: 0 });
    assert.ok(outcome.kind === "misconfigured" && outcome.retriable);

    const { state_reason, next_step } = await wrong.getWebhook(id, null);
    assert.match(
      state_reason ?? "",
      /LINKME_SEAL_KEY .*; if that key is lost, POST \/api\/webhooks\/dst_\w+\/secret\/revoke /,
    );
    assert.match(
      next_step ?? "",
      /^Give the server back .*: POST \/api\/webhooks\/dst_\w+\/secret\/revoke .* headers again/,
    );
    const error = await refused(wrong.getSecret(id, null), "conflict");
    assert.match(error.message, /LINKME_SEAL_KEY/);
    assert.equal((await wrong.find(readable))?.misconfigured, null);
    assert.equal((await wrong.ofApp("shop")).destinations.length, 2);
    assert.equal((await wrong.patchWebhook(id, null, { description: "x" })).description, "x");

    await wrong.revokeSecret(id, null);
    const revoked = await wrong.getWebhook(id, null);
    assert.match(
      revoked.next_step ?? "",
      /: send the values of its headers again with PATCH \/api\/webhooks\/dst_\w+\.$/,
    );
    const { state_reason: none, next_step: nothing } = await wrong.patchWebhook(id, null, { headers: { A: "1" } });
    assert.deepEqual([none, nothing], [null, null]);
  });

  test("a change elsewhere that cannot be read is told of all whom it may be about, and nothing old is served", async () => {
    const { db, destinations, another } = await openWorld(engine);
    const { id: first } = await destinations.createWebhook("shop", input());
    const { id: second } = await destinations.createWebhook("shop", input());
    const { id: not_theirs } = await destinations.createWebhook("blog", input());
    let is_away = false;
    const query: typeof db.query = (statement) => (is_away ? Promise.reject(new Error("away")) : db.query(statement));
    const batch: typeof db.batch = (list) => (is_away ? Promise.reject(new Error("away")) : db.batch(list));
    const other = another(undefined, undefined, undefined, { ...db, query, batch });
    for (const app_id of ["shop", "blog"]) await other.ofApp(app_id);
    const heard: string[] = [];
    other.onChange((id) => void heard.push(id));
    await destinations.patchWebhook(first, null, { enabled: false });
    is_away = true;
    other.hearOf("shop");
    await assert.rejects(other.refresh("shop"), /away/);
    assert.deepEqual(heard.sort(), [first, second].sort());
    await assert.rejects(other.find(first), /away/);
    assert.equal((await other.find(not_theirs))?.state, "active");
    is_away = false;
    assert.equal((await other.find(first))?.state, "off");
  });

  for (const [what, column] of [
    ["settings", sql`config = '{}'`],
    ["type", sql`type = 'morse'`],
  ] as const) {
    // biome-ignore format: a table
    test(`a destination whose ${what} this version cannot read is misconfigured, never an error`, async () => {
      const { db, destinations } = await openWorld(engine);
      const { id } = await destinations.createWebhook("shop", input());
      await db.query(sql`update destinations set ${column} where id = ${id}`);
      await destinations.refresh("shop");
      assert.match((await destinations.find(id))?.misconfigured ?? "", /this version of the server/i);
    });
  }
});
