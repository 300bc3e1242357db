import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { historyOf, openWorld, refused, versionOf } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { makeWebhook, signers } from "../../test/support/secrets.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createEventStore } from "../events/store.ts";
import { sql } from "../platform/sql.ts";
import { VERSION_CHECK_MS } from "./registry.ts";

const DAY_MS = 86_400_000;

forEachEngine((engine) => {
  test("a change is answered when the other processes have been told of it, or cannot be", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    const said: string[] = [];
    const told = Promise.withResolvers<void>();
    const announce = (app_id: string) => {
      said.push(app_id);
      return told.promise;
    };
    const revoking = world
      .another(undefined, undefined, announce)
      .revokeSecret(id, null, "operator")
      .then(() => said.push("answered"));
    await waitUntil(() => said.length > 0, "the others to be told");
    await world.destinations.getWebhook(id, null);
    assert.deepEqual(said, ["shop"]);
    told.resolve();
    await revoking;
    assert.deepEqual(said, ["shop", "answered"]);
  });

  test("a staged secret signs webhook-signature beside the current one, and nothing else", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, "shop");
    assert.match(next_secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.notEqual(next_secret, secret);
    const both = [secret, next_secret];
    assert.deepEqual(await signers(world, id, both), { linkme: [secret], previous: [], standard: both, count: 2 });
    assert.deepEqual(await world.destinations.getSecret(id, "shop"), { signing_secret: secret, next_secret });
  });

  test("a second staged secret replaces the first", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const first = (await world.destinations.rotateSecret(id, null)).next_secret;
    const second = (await world.destinations.rotateSecret(id, null)).next_secret;
    const fitting = await signers(world, id, [secret, first, second]);
    assert.deepEqual([fitting.standard, fitting.count], [[secret, second], 2]);
    assert.equal((await world.destinations.promoteSecret(id, null)).signing_secret, second);
  });

  test("a promoted secret signs; the old one goes on beside it until the grace period is over, to the millisecond", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    const both = [secret, next_secret];
    const promoted_at = ++world.clock.at;
    const { signing_secret, previous_valid_until } = await world.destinations.promoteSecret(id, null, 3600);
    assert.equal(signing_secret, next_secret);
    assert.equal(Date.parse(previous_valid_until), promoted_at + 3_600_000);
    const during = { linkme: [next_secret], previous: [secret], standard: both, count: 2 };
    assert.deepEqual(await signers(world, id, both), during);
    assert.deepEqual(await world.destinations.getSecret(id, null), { signing_secret, previous_valid_until });
    world.clock.at = promoted_at + 3_600_000 - 1;
    assert.deepEqual(await signers(world, id, both), during);
    world.clock.at++;
    const alone = { linkme: [next_secret], previous: [], standard: [next_secret], count: 1 };
    assert.deepEqual(await signers(world, id, both), alone);
    assert.deepEqual(await world.destinations.getSecret(id, null), { signing_secret });
  });

  test("the grace period is a day unless it is given; with none the old secret dies at once", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const first = (await world.destinations.rotateSecret(id, null)).next_secret;
    const { previous_valid_until } = await world.destinations.promoteSecret(id, null);
    assert.equal(Date.parse(previous_valid_until), world.clock.at + DAY_MS);
    const second = (await world.destinations.rotateSecret(id, null)).next_secret;
    const at_once = await world.destinations.promoteSecret(id, null, 0);
    assert.equal(Date.parse(at_once.previous_valid_until), world.clock.at);
    const fitting = await signers(world, id, [secret, first, second]);
    assert.deepEqual(fitting, { linkme: [second], previous: [secret], standard: [secret, second], count: 2 });
    await refused(world.destinations.undoPromotion(id, null), "conflict");
    assert.deepEqual(await world.destinations.getSecret(id, null), {
      signing_secret: second,
      older_valid_until: [previous_valid_until],
    });
    world.clock.at = Date.parse(previous_valid_until);
    const alone = { linkme: [second], previous: [], standard: [second], count: 1 };
    assert.deepEqual(await signers(world, id, [secret, first, second]), alone);
  });

  test("a secret whose grace period is over leaves the table with the next step", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    await world.destinations.promoteSecret(id, null, 60);
    const places = async () => {
      const [row] = await world.db.query<{ secrets: string }>(sql`select secrets from destinations where id = ${id}`);
      return Object.keys(JSON.parse(row?.secrets ?? "{}")).sort();
    };
    world.clock.at += 60_000;
    assert.deepEqual(await places(), ["current", "previous"]);
    await world.destinations.rotateSecret(id, null);
    assert.deepEqual(await places(), ["current", "next"]);
    assert.deepEqual((await signers(world, id, [secret, next_secret])).standard, [next_secret]);
  });

  test("a promotion is undone while the old secret is valid, and can be made again", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    const both = [secret, next_secret];
    await world.destinations.promoteSecret(id, null, 60);
    world.clock.at += 59_999;
    assert.deepEqual(await world.destinations.undoPromotion(id, null), { signing_secret: secret });
    assert.deepEqual(await signers(world, id, both), { linkme: [secret], previous: [], standard: both, count: 2 });
    await refused(world.destinations.undoPromotion(id, null), "conflict");
    assert.equal((await world.destinations.promoteSecret(id, null, 60)).signing_secret, next_secret);
    world.clock.at += 60_000;
    await refused(world.destinations.undoPromotion(id, null), "conflict");
    assert.deepEqual((await signers(world, id, both)).linkme, [next_secret]);
  });

  test("an undo that would lose a secret staged since is refused, until that one is dropped", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    await world.destinations.promoteSecret(id, null);
    await world.destinations.rotateSecret(id, null);
    const { message } = await refused(world.destinations.undoPromotion(id, null), "conflict");
    assert.match(message, /DELETE \/api\/webhooks\/\{id\}\/secret\/next/);
    await world.destinations.dropNextSecret(id, null);
    assert.deepEqual(await world.destinations.undoPromotion(id, null), { signing_secret: secret });
    assert.equal((await world.destinations.getSecret(id, null)).next_secret, next_secret);
  });

  test("with nothing staged there is nothing to promote, to drop or to try out, and nothing changes", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const before = await world.db.query(sql`select * from destinations where id = ${id}`);
    for (const [call, code] of [
      [() => world.destinations.promoteSecret(id, null), "conflict"],
      [() => world.destinations.undoPromotion(id, null), "conflict"],
      [() => world.destinations.stagedTrial(id, null), "conflict"],
      [() => world.destinations.dropNextSecret(id, null), "not_found"],
    ] as const) {
      await refused(call(), code);
    }
    assert.deepEqual(await world.db.query(sql`select * from destinations where id = ${id}`), before);
    assert.deepEqual(await world.destinations.getSecret(id, null), { signing_secret: secret });
  });

  test("a dropped secret signs nothing any more, and is dropped once", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    await world.destinations.dropNextSecret(id, null);
    const fitting = await signers(world, id, [secret, next_secret]);
    assert.deepEqual(fitting, { linkme: [secret], previous: [], standard: [secret], count: 1 });
    await refused(world.destinations.dropNextSecret(id, null), "not_found");
  });

  test("after a leak the old, the staged and the previous secret are dead at once", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const first = (await world.destinations.rotateSecret(id, null)).next_secret;
    await world.destinations.promoteSecret(id, null);
    const second = (await world.destinations.rotateSecret(id, null)).next_secret;
    const { signing_secret } = await world.destinations.revokeSecret(id, "shop");
    const fitting = await signers(world, id, [secret, first, second, signing_secret]);
    assert.deepEqual(fitting, { linkme: [signing_secret], previous: [], standard: [signing_secret], count: 1 });
    assert.deepEqual(await world.destinations.getSecret(id, null), { signing_secret });
    await refused(world.destinations.undoPromotion(id, null), "conflict");
    await refused(world.destinations.promoteSecret(id, null), "conflict");
  });

  test("every other process signs by a change within a second", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const elsewhere = { ...world, destinations: world.another() };
    assert.deepEqual((await signers(elsewhere, id, [secret])).linkme, [secret]);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    await world.destinations.promoteSecret(id, null);
    world.clock.at += VERSION_CHECK_MS;
    assert.deepEqual((await signers(elsewhere, id, [secret, next_secret])).linkme, [next_secret]);
    const { signing_secret } = await elsewhere.destinations.revokeSecret(id, null);
    world.clock.at += VERSION_CHECK_MS;
    const fitting = await signers(world, id, [secret, next_secret, signing_secret]);
    assert.deepEqual([fitting.linkme, fitting.count], [[signing_secret], 1]);
  });

  test("of two promotions at a time one is refused, and no secret is lost", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    const processes = [world.destinations, world.another(), world.another()];
    const ended = await Promise.allSettled(processes.map((one) => one.promoteSecret(id, null)));
    assert.equal(ended.filter(({ status }) => status === "fulfilled").length, 1);
    // Another process may have won, whose change this one notices within a second.
    world.clock.at += 1_000;
    const fitting = await signers(world, id, [secret, next_secret]);
    assert.deepEqual([fitting.linkme, fitting.previous], [[next_secret], [secret]]);
  });

  test("of many calls at a time each takes effect after another, and the last answer is what is stored", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    const before = await versionOf(world.db);
    const processes = Array.from({ length: 8 }, () => world.another());
    const staged = await Promise.all(processes.map((one) => one.rotateSecret(id, null)));
    assert.equal(await versionOf(world.db), before + processes.length);
    const { next_secret } = await world.destinations.getSecret(id, null);
    assert.ok(staged.some((one) => one.next_secret === next_secret));
    const [promoted, patched] = await Promise.all([
      world.destinations.promoteSecret(id, null),
      world.another().patchWebhook(id, null, { description: "meanwhile" }),
    ]);
    assert.equal(promoted.signing_secret, next_secret);
    assert.equal(patched.description, "meanwhile");
    assert.equal((await world.destinations.getWebhook(id, null)).description, "meanwhile");
    assert.equal((await world.destinations.getSecret(id, null)).signing_secret, next_secret);
  });

  test("with signing off secrets are rotated too, and sign when it is on again; there is nothing to try out", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world, { signing: false });
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    assert.equal((await signers(world, id, [next_secret])).count, undefined);
    await refused(world.destinations.stagedTrial(id, null), "conflict");
    await world.destinations.promoteSecret(id, null);
    await world.destinations.patchWebhook(id, null, { signing: true });
    assert.deepEqual((await signers(world, id, [next_secret])).linkme, [next_secret]);
  });

  test("the history tells each change, and why a webhook is off stays its last word", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    const tick = () => world.clock.at++;
    const { destinations } = world;
    for (const change of [
      () => destinations.rotateSecret(id, null),
      () => destinations.promoteSecret(id, null),
      () => destinations.undoPromotion(id, null),
      () => destinations.dropNextSecret(id, null),
      () => destinations.revokeSecret(id, null),
      () => destinations.patchWebhook(id, null, { enabled: false }),
      () => destinations.rotateSecret(id, null),
    ]) {
      tick();
      await change();
    }
    assert.deepEqual(
      (await historyOf(world.db, id)).map(({ cause, state }) => [cause, state]),
      [
        ["created", "active"],
        ["secret staged", "active"],
        ["secret promoted", "active"],
        ["promotion of the secret undone", "active"],
        ["staged secret dropped", "active"],
        ["secret revoked", "active"],
        ["turned off", "off"],
        ["secret staged", "off"],
      ],
    );
    const now = { from: world.clock.at + 1, until: world.clock.at + 1 };
    const settings = await createEventStore(world.db).historyAround(id, now);
    assert.equal(settings.at(-1)?.cause, "turned off", "what events that it misses are told");
    assert.equal((await destinations.getWebhook(id, null)).updated_at, new Date(world.clock.at).toISOString());
  });

  test("no secret is in the tables", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const { next_secret } = await world.destinations.rotateSecret(id, null);
    await world.destinations.promoteSecret(id, null);
    const staged = await world.destinations.rotateSecret(id, null);
    const stored = JSON.stringify([
      await world.db.query(sql`select * from destinations`),
      await world.db.query(sql`select * from destination_history`),
    ]);
    for (const plain of [secret, next_secret, staged.next_secret, "whsec_"]) assert.ok(!stored.includes(plain));
  });

  test("without the seal key nothing is rotated, but a new secret can be made in place of what cannot be read", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    await world.destinations.rotateSecret(id, null);
    const before = await world.db.query(sql`select * from destinations where id = ${id}`);
    const stranger = world.another(randomBytes(32));
    for (const call of [
      () => stranger.getSecret(id, null),
      () => stranger.rotateSecret(id, null),
      () => stranger.promoteSecret(id, null),
      () => stranger.dropNextSecret(id, null),
      () => stranger.stagedTrial(id, null),
    ]) {
      const { message } = await refused(call(), "conflict");
      assert.match(message, /POST \/api\/webhooks\/(\{id\}|dst_\w+)\/secret\/revoke makes a new secret/);
    }
    assert.deepEqual(await world.db.query(sql`select * from destinations where id = ${id}`), before);
    const { signing_secret } = await stranger.revokeSecret(id, null);
    assert.deepEqual((await signers({ ...world, destinations: stranger }, id, [signing_secret])).linkme, [
      signing_secret,
    ]);
  });

  test("an id of another app, of nothing, or of another type is not found by any call", async () => {
    const world = await openWorld(engine);
    const { id, secret } = await makeWebhook(world);
    const other = await makeWebhook(world);
    await world.db.query(sql`update destinations set type = 'ga4' where id = ${other.id}`);
    for (const [one, scope] of [
      [id, "blog"],
      ["dst_nothing", null],
      [other.id, null],
    ] as const) {
      const { destinations } = world;
      await refused(destinations.rotateSecret(one, scope), "not_found");
      await refused(destinations.promoteSecret(one, scope), "not_found");
      await refused(destinations.undoPromotion(one, scope), "not_found");
      await refused(destinations.dropNextSecret(one, scope), "not_found");
      await refused(destinations.revokeSecret(one, scope), "not_found");
      await refused(destinations.stagedTrial(one, scope), "not_found");
    }
    assert.deepEqual(await world.destinations.getSecret(id, "shop"), { signing_secret: secret });
  });
});
