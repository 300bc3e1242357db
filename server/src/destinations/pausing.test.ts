// A destination that keeps failing, as the database and every process see it, on both engines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MASK, WebhookCreate, type WebhookPatch } from "#contract/destinations.ts";
import { openWorld } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import { PROBE_FIRST_MS } from "./failing.ts";

const input = () => WebhookCreate.parse({ url: "https://example.com/hook", events: ["link.click"] });

async function fail(db: Database, id: string, consecutive_failures: number, failing_since: number): Promise<void> {
  await db.query(sql`update destination_health set consecutive_failures = ${consecutive_failures},
    failing_since = ${failing_since} where destination_id = ${id}`);
}

async function probesOf(db: Database, id: string) {
  return (await db.query(sql`select probe_at, probes from destination_health where destination_id = ${id}`))[0];
}

forEachEngine((engine) => {
  test("what fails for long enough is paused, once, with its reason, and probes begin", async () => {
    const { db, clock, destinations, another } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    assert.equal(await destinations.review(id), null);
    await fail(db, id, 20, clock.at);
    clock.at += FAILURE_RULES.pause_after_ms;
    const verdicts = await Promise.all([destinations.review(id), another().review(id)]);
    assert.deepEqual(verdicts.map((verdict) => verdict?.state ?? null).sort(), [null, "paused"]);
    const shown = await destinations.getWebhook(id, null);
    assert.deepEqual([shown.enabled, shown.state], [true, "paused"]);
    assert.match(shown.state_reason ?? "", /^20 attempts in a row have failed since /);
    assert.deepEqual(await probesOf(db, id), { probe_at: clock.at + PROBE_FIRST_MS, probes: 0 });
    assert.equal((await destinations.find(id))?.state, "paused", "this process knows at once");
  });

  test("what ended the last attempt is part of the reason, in the history too", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await fail(db, id, 20, clock.at - FAILURE_RULES.pause_after_ms);
    await destinations.review(id, { last_error: "hooks.example.com:443 presents a self-signed certificate" });
    const { state_reason } = await destinations.getWebhook(id, null);
    assert.match(
      state_reason ?? "",
      /^20 attempts .*; the last: hooks\.example\.com:443 presents a self-signed certificate\. /,
    );
    assert.equal((await destinations.listChanges(id, null, { limit: 1 })).items[0]?.cause, state_reason);
  });

  test("the next probe is shown while it is paused, and comes at once when what attempts depend on is changed", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const shown = async () => (await destinations.getWebhook(id, null)).health.next_probe_at;
    assert.equal(await shown(), null);
    const pause = async () => {
      await fail(db, id, 20, clock.at - FAILURE_RULES.pause_after_ms);
      await destinations.review(id);
      await db.query(sql`update destination_health set probes = 5 where destination_id = ${id}`);
    };
    await pause();
    const first = clock.at + PROBE_FIRST_MS;
    assert.equal(await shown(), new Date(first).toISOString());
    clock.at += 1_000;
    const idle = { description: "x", max_in_flight: 3, retry_schedule: [1], url: "https://example.com/hook" };
    await destinations.patchWebhook(id, null, { ...idle, filter: { path: "link_id", exists: true } });
    await destinations.rotateSecret(id, null);
    assert.deepEqual(await probesOf(db, id), { probe_at: first, probes: 5 });
    for (const change of [
      () => destinations.patchWebhook(id, null, { url: "https://example.com/other" }),
      () => destinations.patchWebhook(id, null, { headers: { a: "b" } }),
      () => destinations.patchWebhook(id, null, { timeout_ms: 2_000 }),
      () => destinations.patchWebhook(id, null, { signing: false }),
      () => destinations.patchWebhook(id, null, { signature_scheme: "ed25519" }),
      () => destinations.promoteSecret(id, null),
      () => destinations.revokeSecret(id, null),
    ]) {
      clock.at += 1_000;
      await change();
      assert.deepEqual(await probesOf(db, id), { probe_at: clock.at, probes: 0 }, String(change));
      assert.equal(await shown(), new Date(clock.at).toISOString());
    }
    await destinations.patchWebhook(id, null, { enabled: false, timeout_ms: 3_000 });
    assert.equal(await shown(), null);
    await destinations.patchWebhook(id, null, { enabled: true });
    await pause();
    await destinations.disable(id, "The receiver answered 410 (gone)");
    assert.equal(await shown(), null);
  });

  test("a success resumes it and forgets the failures; done twice it changes nothing", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    assert.equal(await destinations.resume(id), false, "what is active stays so");
    await fail(db, id, 20, clock.at);
    clock.at += FAILURE_RULES.pause_after_ms;
    await destinations.review(id);
    clock.at += 1;
    assert.deepEqual([await destinations.resume(id), await destinations.resume(id)], [true, false]);
    const shown = await destinations.getWebhook(id, null);
    assert.deepEqual([shown.state, shown.state_reason, shown.health.consecutive_failures], ["active", null, 0]);
    assert.deepEqual(await probesOf(db, id), { probe_at: null, probes: 0 });
    const history = await db.query<{ state: string; cause: string }>(
      sql`select state, cause from destination_history where destination_id = ${id} order by at`,
    );
    assert.deepEqual(
      history.map(({ state }) => state),
      ["active", "paused", "active"],
    );
    assert.equal(history.at(-1)?.cause, "an attempt succeeded");
  });

  test("a person who enables it, or turns it off, ends the pause", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    for (const [enabled, state] of [
      [true, "active"],
      [false, "off"],
    ] as const) {
      const { id } = await destinations.createWebhook("shop", input());
      await fail(db, id, 20, clock.at - FAILURE_RULES.pause_after_ms);
      await destinations.review(id);
      const shown = await destinations.patchWebhook(id, null, { enabled });
      assert.deepEqual([shown.state, shown.state_reason], [state, null]);
      assert.equal(await destinations.resume(id), false);
      assert.equal(await destinations.review(id), null, "off, or without failures, it is left alone");
    }
  });

  test("without a success for days it is disabled, by the first probe that fails once it is paused", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await fail(db, id, 2, clock.at);
    clock.at += FAILURE_RULES.disable_after_ms;
    assert.equal(await destinations.review(id), null);
    await fail(db, id, 20, clock.at - FAILURE_RULES.disable_after_ms);
    assert.equal((await destinations.review(id))?.state, "paused");
    await fail(db, id, 60, clock.at - FAILURE_RULES.disable_after_ms);
    assert.equal(await destinations.review(id, { last_error: "500" }), null, "what was under way says nothing new");
    assert.equal((await destinations.getWebhook(id, null)).state, "paused");
    assert.equal((await destinations.review(id, { was_probed: true }))?.state, "disabled");
    const shown = await destinations.getWebhook(id, null);
    assert.deepEqual([shown.enabled, shown.state], [true, "disabled"]);
    assert.match(shown.state_reason ?? "", /^No attempt has succeeded since /);
    assert.equal(await destinations.review("dst_nothing"), null);
  });

  test("attempts from before a person changed what they depend on, or enabled it, say nothing about now", async () => {
    const { db, clock, destinations, another } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const eraOf = async () => (await destinations.find(id))?.era ?? Number.NaN;
    const pause = async () => {
      await destinations.patchWebhook(id, null, { enabled: true });
      await fail(db, id, 20, clock.at - FAILURE_RULES.disable_after_ms);
      assert.equal((await destinations.review(id, { era: await eraOf() }))?.state, "paused");
    };
    const disable = () => destinations.disable(id, "The receiver answered 410 (gone)");
    const patch = (changes: WebhookPatch) => () => destinations.patchWebhook(id, null, changes);
    const changes: (() => Promise<unknown>)[] = [
      patch({ url: "https://example.com/other" }),
      patch({ headers: { a: "b" } }),
      patch({ timeout_ms: 2_000 }),
      patch({ signing: false }),
      patch({ signature_scheme: "ed25519" }),
      () => destinations.rotateSecret(id, null).then(() => destinations.promoteSecret(id, null)),
      () => destinations.revokeSecret(id, null),
      patch({ enabled: true }),
      () => patch({ enabled: false })().then(patch({ enabled: true })),
      () => disable().then(patch({ enabled: true, url: "https://example.com/third" })),
    ];
    for (const change of changes) {
      await pause();
      const era = await eraOf();
      clock.at += 1_000;
      await change();
      assert.equal((await destinations.getWebhook(id, null)).health.consecutive_failures, 0, String(change));
      await fail(db, id, 21, clock.at - FAILURE_RULES.disable_after_ms);
      const { state } = await destinations.getWebhook(id, null);
      for (const process of [destinations, another()]) {
        const probe = { last_error: "500", was_probed: true, era };
        const said = [
          await process.review(id, probe),
          await process.resume(id, era),
          await process.disable(id, "410", era),
        ];
        assert.deepEqual(said, [null, false, false], String(change));
      }
      assert.equal((await destinations.getWebhook(id, null)).state, state);
      assert.equal(await destinations.disable(id, "410", await eraOf()), true, "what came after it counts");
    }
  });

  test("what attempts do not depend on, and what the server does by itself, leaves what they say", async () => {
    const { db, clock, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", { ...input(), headers: { a: "b", c: "d" } });
    const eraOf = async () => (await destinations.find(id))?.era;
    const era = await eraOf();
    const idle = { description: "x", max_in_flight: 3, retry_schedule: [1], url: "https://example.com/hook" };
    await destinations.patchWebhook(id, null, { ...idle, enabled: true, filter: { path: "link_id", exists: true } });
    for (const c of ["d", MASK]) await destinations.patchWebhook(id, null, { headers: { c, a: "b" } });
    const less = await destinations.createWebhook("shop", { ...input(), headers: { a: "b", c: "d" } });
    await destinations.patchWebhook(less.id, null, { headers: { a: "b" } });
    assert.equal((await destinations.find(less.id))?.era, 1, "one that is left out is a change");
    await destinations.rotateSecret(id, null);
    await destinations.dropNextSecret(id, null);
    await fail(db, id, 20, clock.at - FAILURE_RULES.pause_after_ms);
    await destinations.review(id, { era });
    assert.equal(await destinations.resume(id, era), true);
    await destinations.patchWebhook(id, null, { events: ["link.claim"] });
    assert.equal(await eraOf(), era);
    assert.equal(await destinations.disable(id, "410", era), true);
  });
});
