// What stays valid, and for how long, when a webhook's secret is promoted more than once within a grace period.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openWorld, refused } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { makeWebhook, signers } from "../../test/support/secrets.ts";
import { REPLACED_MAX } from "./secrets.ts";

forEachEngine((engine) => {
  test("a later promotion takes back nothing that an earlier one promised", async () => {
    const world = await openWorld(engine);
    const { destinations, clock } = world;
    const { id, secret } = await makeWebhook(world);
    const first = (await destinations.rotateSecret(id, null)).next_secret;
    const { previous_valid_until: of_secret } = await destinations.promoteSecret(id, null, 7_200);
    const second = (await destinations.rotateSecret(id, null)).next_secret;
    const all = [secret, first, second];
    assert.equal((await signers(world, id, all)).count, 3);
    const { previous_valid_until: of_first } = await destinations.promoteSecret(id, null, 3_600);
    assert.deepEqual(await signers(world, id, all), { linkme: [second], previous: [first], standard: all, count: 3 });
    assert.deepEqual(await destinations.getSecret(id, null), {
      signing_secret: second,
      previous_valid_until: of_first,
      older_valid_until: [of_secret],
    });
    clock.at = Date.parse(of_first);
    const without = { linkme: [second], previous: [secret], standard: [secret, second], count: 2 };
    assert.deepEqual(await signers(world, id, all), without);
    clock.at = Date.parse(of_secret) - 1;
    assert.deepEqual(await signers(world, id, all), without);
    await destinations.rotateSecret(id, null);
    await destinations.dropNextSecret(id, null);
    assert.deepEqual(await signers(world, id, all), without);
    clock.at++;
    assert.deepEqual(await destinations.getSecret(id, null), { signing_secret: second });
    assert.deepEqual((await signers(world, id, all)).standard, [second]);
  });

  test("an undone promotion leaves the older secrets valid, and takes back one promotion alone", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id, secret } = await makeWebhook(world);
    const first = (await destinations.rotateSecret(id, null)).next_secret;
    await destinations.promoteSecret(id, null);
    const second = (await destinations.rotateSecret(id, null)).next_secret;
    await destinations.promoteSecret(id, null);
    const all = [secret, first, second];
    assert.deepEqual(await destinations.undoPromotion(id, null), { signing_secret: first });
    assert.deepEqual(await signers(world, id, all), { linkme: [first], previous: [secret], standard: all, count: 3 });
    await destinations.dropNextSecret(id, null);
    await refused(destinations.undoPromotion(id, null), "conflict");
    assert.deepEqual((await signers(world, id, all)).standard, [secret, first]);
    const { signing_secret } = await destinations.revokeSecret(id, null);
    assert.deepEqual((await signers(world, id, [...all, signing_secret])).standard, [signing_secret]);
  });

  test("so many replaced secrets are valid at a time, and the refusal of one more says until when", async () => {
    const world = await openWorld(engine);
    const { destinations, clock } = world;
    const { id } = await makeWebhook(world);
    const ends: string[] = [];
    for (let index = 0; index < REPLACED_MAX; index += 1) {
      await destinations.rotateSecret(id, null);
      ends.push((await destinations.promoteSecret(id, null, 3_600 - index)).previous_valid_until);
    }
    const { next_secret } = await destinations.rotateSecret(id, null);
    const { message } = await refused(destinations.promoteSecret(id, null), "conflict");
    assert.ok(message.includes(ends.at(-1) ?? "-"), message);
    const { older_valid_until, previous_valid_until, ...state } = await destinations.getSecret(id, null);
    assert.deepEqual([previous_valid_until, ...(older_valid_until ?? [])], ends.toReversed());
    assert.equal(state.next_secret, next_secret);
    clock.at = Date.parse(ends.at(-1) ?? "");
    assert.equal((await destinations.promoteSecret(id, null)).signing_secret, next_secret);
    assert.equal((await destinations.getSecret(id, null)).older_valid_until?.length, REPLACED_MAX - 1);
    const last = (await destinations.rotateSecret(id, null)).next_secret;
    await refused(destinations.promoteSecret(id, null), "conflict");
    assert.equal((await destinations.promoteSecret(id, null, 0)).signing_secret, last);
    assert.equal(
      (await signers(world, id, [last])).count,
      1 + REPLACED_MAX,
      "those promised stay, the one just replaced went",
    );
    const { signing_secret } = await destinations.revokeSecret(id, null);
    assert.deepEqual(await destinations.getSecret(id, null), { signing_secret });
    assert.equal((await signers(world, id, [signing_secret])).count, 1);
  });
});
