import assert from "node:assert/strict";
import { test } from "node:test";
import { historyOf, input, openWorld } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import { absenceOf } from "../events/past-settings.ts";
import { createEventStore } from "../events/store.ts";
import { sql } from "../platform/sql.ts";
import { hourOf } from "./latency.ts";
import { SETTINGS_ENTRIES_MAX } from "./store.ts";

forEachEngine((engine) => {
  test("what the server does by itself is done by the system", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input(), "operator");
    await db.query(sql`update destination_health set consecutive_failures = 20, failing_since = ${clock.at}
      where destination_id = ${id}`);
    clock.at += FAILURE_RULES.pause_after_ms;
    await destinations.review(id);
    await destinations.resume(id);
    await destinations.disable(id, "gone");
    const { items } = await destinations.listChanges(id, null, { limit: 10 });
    assert.deepEqual(
      items.map(({ state, actor }) => [state, actor]),
      [
        ["disabled", "system"],
        ["active", "system"],
        ["paused", "system"],
        ["active", "operator"],
      ],
    );
  });

  test("what was kept before anybody kept who did it says so", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await db.query(sql`update destination_history set actor = null where destination_id = ${id}`);
    const { items } = await destinations.listChanges(id, null, { limit: 10 });
    assert.equal(items[0]?.actor, "unknown (before this was kept)");
  });

  test("a change of the secrets while a webhook is stopped is kept, and explains no event that it misses", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += 1;
    await destinations.disable(id, "gone");
    clock.at += 1;
    await destinations.revokeSecret(id, null, "operator");
    assert.deepEqual(
      (await historyOf(db, id)).map(({ cause, actor }) => [cause, actor]),
      [
        ["created", "system"],
        ["gone", "system"],
        ["secret revoked", "operator"],
      ],
    );
    const now = { from: clock.at + 1, until: clock.at + 1 };
    assert.equal((await createEventStore(db).historyAround(id, now)).at(-1)?.cause, "gone");
  });

  test("what is changed while a webhook is off says what it was, and events are told since when it is off and why", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const patches = [
      { enabled: false },
      { filter: { path: "event", equals: "link.click" } },
      { signature_scheme: "ed25519" },
      { events: ["link.click", "link.claim"] },
    ] as const;
    const stopped_at = clock.at + 1;
    for (const patch of patches) {
      clock.at += 1;
      await destinations.patchWebhook(id, null, patch as never, "key:1");
    }
    assert.deepEqual(
      (await historyOf(db, id)).map(({ cause }) => cause),
      ["created", "turned off", "its filter was changed", "changed: signature_scheme", "changed: events"],
    );
    const history = await createEventStore(db).historyAround(id, { from: clock.at + 1, until: clock.at + 1 });
    assert.deepEqual(absenceOf({ event: "link.click", created_at: clock.at + 1 }, history), {
      ...{ kind: "off", state: "off", cause: "turned off", since: stopped_at, beside: false, is_over: false },
    });
  });

  test("every setting that a person changes is named, without its value, and who changed it", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input(), "operator");
    const patches: [patch: object, cause: string | null][] = [
      [{ url: "https://hooks.example.com/in?token=hunter2", timeout_ms: 9_000 }, "changed: url, timeout_ms"],
      [{ headers: { "x-token": "hunter2" } }, "changed: headers"],
      [{ headers: { "x-token": "hunter2" }, timeout_ms: 9_000 }, null],
      [
        { description: "hunter2", max_in_flight: 3, rate_per_second: 4 },
        "changed: description, max_in_flight, rate_per_second",
      ],
      [{ retry_schedule: [1], retry_on: "any_failure" }, "changed: retry_schedule, retry_on"],
      [{ ordering: "link" }, "changed: ordering"],
      [{ ordering: "none" }, "changed: ordering"],
      [{ filter: { path: "event", equals: "link.click" }, signing: false }, "its filter was changed; changed: signing"],
      [{ enabled: false, max_in_flight: 5 }, "turned off; changed: max_in_flight"],
    ];
    for (const [patch] of patches) {
      clock.at += 1;
      await destinations.patchWebhook(id, null, patch as never, "key:1");
    }
    await destinations.endOrdering(id);
    const kept = await historyOf(db, id);
    assert.deepEqual(
      kept.slice(1).map(({ cause, actor }) => [cause, actor]),
      patches.flatMap(([, cause]) => (cause === null ? [] : [[cause, "key:1"]])),
    );
    assert.doesNotMatch(JSON.stringify(kept), /hunter2/);
  });

  test("other settings date no event and no stop, and only the newest of such entries are kept", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += 1;
    await destinations.disable(id, "gone");
    const stopped_at = clock.at;
    for (let n = 1; n <= SETTINGS_ENTRIES_MAX + 3; n++) {
      clock.at += 1;
      await destinations.patchWebhook(id, null, { timeout_ms: 1_000 + n });
    }
    const kept = await historyOf(db, id);
    assert.deepEqual([kept.length, kept[0]?.cause, kept[1]?.cause], [SETTINGS_ENTRIES_MAX + 2, "created", "gone"]);
    const now = { from: clock.at + 1, until: clock.at + 1 };
    assert.deepEqual(
      (await createEventStore(db).historyAround(id, now)).map(({ cause }) => cause),
      ["created", "gone"],
    );
    assert.deepEqual(
      (await destinations.openStops(id, null)).map(({ since }) => since),
      [stopped_at],
    );
  });

  test("enabling what was disabled begins its health anew; a resume or a change ends the run of failures alone", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    for (const end of ["enabled", "resumed"] as const) {
      const { id } = await destinations.createWebhook("shop", input());
      await db.query(sql`update destination_health set consecutive_failures = 20, failing_since = ${clock.at - 1_000_000},
        last_failure_at = ${clock.at}, last_success_at = ${clock.at - 2_000_000} where destination_id = ${id}`);
      await db.query(sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
        values (${id}, ${hourOf(clock.at)}, 0, 3, 20)`);
      if (end === "resumed") {
        await destinations.review(id);
        await destinations.resume(id);
      } else {
        await destinations.disable(id, "The receiver answered 410 (gone)");
        await destinations.patchWebhook(id, null, { enabled: true });
      }
      const { health } = await destinations.getWebhook(id, null);
      const { consecutive_failures, last_success_at, last_failure_at, success_rate_24h, p95_ms_24h } = health;
      assert.equal(consecutive_failures, 0);
      assert.notEqual(last_success_at, null, "when it was well is still true");
      const is_new = [last_failure_at, success_rate_24h, p95_ms_24h].map((figure) => figure === null);
      assert.deepEqual(is_new, Array(3).fill(end === "enabled"), end);
    }
  });
});
