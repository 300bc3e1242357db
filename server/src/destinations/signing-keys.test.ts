// Webhooks that sign with Ed25519: what they send, what is published of their keys, and how both follow a rotation.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { selectLinkMeWebhookKeys, verifyLinkMeWebhookEd25519 as verify } from "../../../sdk/node/src/index.ts";
import {
  builtBy,
  headersOf,
  input,
  openWorld,
  outgoing,
  refused,
  START,
  type World,
} from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { sql } from "../platform/sql.ts";
import { VERSION_CHECK_MS } from "./registry.ts";
import { REPLACED_MAX } from "./secrets.ts";
import { createSigningKeys, DOCUMENT_KEPT_MS, DOCUMENT_WEBHOOKS_MAX } from "./signing-keys.ts";

const ED25519 = { signature_scheme: "ed25519" } as const;
const DAY_MS = 86_400_000;

async function makeWebhook({ destinations }: World, settings: Parameters<typeof input>[0] = ED25519) {
  return destinations.createWebhook("shop", input(settings));
}

/** A request that is made now. */
async function requestOf({ destinations, clock }: World, id: string) {
  const request = builtBy(await destinations.find(id), { ...outgoing, at: clock.at });
  const headers = Object.fromEntries(
    Object.entries(headersOf(request)).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const versions = headers["webhook-signature"]?.split(" ").map((text) => text.split(",", 1)[0]);
  return { headers, versions, body: request.body };
}

/** Which of these keys verify a request that is made now. */
async function signers(world: World, id: string, keys: readonly (string | undefined)[]) {
  const { headers, body } = await requestOf(world, id);
  return keys.filter((key) => verify(body, headers, key ?? "", { now: world.clock.at }));
}

/** The keys of a webhook as they are published, after the time that the document may take. */
async function published(world: World, id: string) {
  world.clock.at += DOCUMENT_KEPT_MS;
  const { document } = await world.destinations.signingKeys(id);
  const all = (await world.destinations.signingKeys(null)).document.keys.filter(({ webhook_id }) => webhook_id === id);
  assert.deepEqual(all, document.keys, "alone and among all");
  return document.keys.map(({ status, public_key }) => [status, public_key]);
}

forEachEngine((engine) => {
  test("it signs with its own key beside the secret, and the answer says which key verifies it", async () => {
    const world = await openWorld(engine);
    const webhook = await makeWebhook(world);
    const other = await makeWebhook(world);
    assert.equal(webhook.signature_scheme, "ed25519");
    assert.match(webhook.public_key ?? "", /^whpk_[A-Za-z0-9+/]{43}=$/);
    assert.notEqual(webhook.public_key, other.public_key);
    assert.deepEqual(await signers(world, webhook.id, [webhook.public_key, other.public_key]), [webhook.public_key]);
    const { headers, versions } = await requestOf(world, webhook.id);
    assert.deepEqual(versions, ["v1a", "v1"]);
    assert.match(headers["x-linkme-signature"] ?? "", /^sha256=/);
    assert.equal((await world.destinations.getWebhook(webhook.id, "shop")).public_key, webhook.public_key);
  });

  test("a webhook that signs by its secret alone has no key, makes no other request than before, and is not published", async () => {
    const world = await openWorld(engine);
    const webhook = await makeWebhook(world, {});
    assert.equal(webhook.signature_scheme, "hmac");
    assert.equal("public_key" in webhook, false);
    assert.deepEqual((await requestOf(world, webhook.id)).versions, ["v1"]);
    assert.deepEqual(await published(world, webhook.id), []);
    assert.deepEqual(Object.keys(await world.destinations.rotateSecret(webhook.id, "shop")), ["next_secret"]);
    assert.deepEqual((await requestOf(world, webhook.id)).versions, ["v1", "v1"]);
    const [row] = await world.db.query<{ config: string }>(
      sql`select config from destinations where id = ${webhook.id}`,
    );
    assert.doesNotMatch(row?.config ?? "", /scheme/);
  });

  test("the document is a JSON Web Key Set that names the webhook and nothing else of it", async () => {
    const world = await openWorld(engine);
    const { id, public_key } = await makeWebhook(world);
    const { document } = await world.destinations.signingKeys(id);
    const [key] = document.keys;
    assert.ok(key !== undefined);
    assert.deepEqual(Object.keys(key).sort(), [
      ...["alg", "crv", "kid", "kty", "public_key", "status", "use", "valid_until", "webhook_id", "x"],
    ]);
    assert.deepEqual([key.public_key, key.webhook_id, key.status, key.valid_until], [public_key, id, "current", null]);
    assert.equal(Buffer.from(key.x, "base64url").toString("base64"), public_key?.slice(5));
    assert.doesNotMatch(JSON.stringify(document), /hooks\.example\.com|shop|whs/);
    assert.deepEqual((await world.destinations.signingKeys("dst_none")).document, { keys: [] });
  });

  test("a key is staged, promoted, undone and dropped with its secret, and all that may verify sign", async () => {
    const world = await openWorld(engine);
    const { destinations, clock } = world;
    const { id, public_key: first } = await makeWebhook(world);
    const { next_public_key: second } = await destinations.rotateSecret(id, "shop");
    const both = [first, second];
    assert.deepEqual(await published(world, id), [["current", first], ["next", second]]); // biome-ignore format: pairs
    assert.deepEqual(await signers(world, id, both), both);
    const state = await destinations.getSecret(id, "shop");
    assert.deepEqual([state.public_key, state.next_public_key], both);

    assert.equal((await destinations.promoteSecret(id, "shop")).public_key, second);
    assert.deepEqual(await published(world, id), [["current", second], ["previous", first]]); // biome-ignore format: pairs
    assert.deepEqual(await signers(world, id, both), both);
    assert.equal((await destinations.undoPromotion(id, "shop")).public_key, first);
    assert.deepEqual(await published(world, id), [["current", first], ["next", second]]); // biome-ignore format: pairs
    await destinations.promoteSecret(id, "shop");
    clock.at += DAY_MS;
    assert.deepEqual(await published(world, id), [["current", second]]);
    assert.deepEqual(await signers(world, id, both), [second]);

    const { next_public_key: third } = await destinations.rotateSecret(id, "shop");
    await destinations.dropNextSecret(id, "shop");
    assert.deepEqual(await published(world, id), [["current", second]]);
    assert.deepEqual(await signers(world, id, [second, third]), [second]);
  });

  test("every replaced key signs and is published until its own time", async () => {
    const world = await openWorld(engine);
    const { destinations, clock } = world;
    const { id, public_key: first } = await makeWebhook(world);
    const { next_public_key: second } = await destinations.rotateSecret(id, "shop");
    await destinations.promoteSecret(id, "shop", 7_200);
    const { next_public_key: third } = await destinations.rotateSecret(id, "shop");
    await destinations.promoteSecret(id, "shop", 3_600);
    const all = [first, second, third];
    assert.deepEqual(await published(world, id), [["current", third], ["previous", second], ["previous", first]]); // biome-ignore format: pairs
    assert.deepEqual(await signers(world, id, all), all);
    clock.at += 3_600_000;
    assert.deepEqual(await published(world, id), [["current", third], ["previous", first]]); // biome-ignore format: pairs
    assert.deepEqual(await signers(world, id, all), [first, third]);
  });

  test("whoever knows one of as many keys as can be valid verifies, with the SDK", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id, public_key } = await makeWebhook(world);
    const keys = [public_key];
    for (let replaced = 0; replaced < REPLACED_MAX; replaced += 1) {
      keys.push((await destinations.rotateSecret(id, "shop")).next_public_key);
      await destinations.promoteSecret(id, "shop");
    }
    keys.push((await destinations.rotateSecret(id, "shop")).next_public_key);
    assert.equal(new Set(keys).size, REPLACED_MAX + 2);
    assert.deepEqual(await signers(world, id, keys), keys);
    const { versions } = await requestOf(world, id);
    assert.deepEqual(
      versions,
      [...keys.map(() => "v1a"), ...keys.map(() => "v1")],
      "no reader stops before the last key",
    );
  });

  test("with Ed25519 chosen between two promotions, all that are still valid get a key", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id } = await makeWebhook(world, {});
    for (const _ of [1, 2]) {
      await destinations.rotateSecret(id, "shop");
      await destinations.promoteSecret(id, "shop");
    }
    await destinations.patchWebhook(id, "shop", { signature_scheme: "ed25519" });
    const keys = await published(world, id);
    assert.deepEqual(keys.map(([status]) => status), ["current", "previous", "previous"]); // biome-ignore format: one line
    const known = keys.map(([, key]) => key ?? "");
    assert.deepEqual(await signers(world, id, known), known);
  });

  test("a key that leaked is gone at once", async () => {
    const world = await openWorld(engine);
    const { id, public_key: first } = await makeWebhook(world);
    await world.destinations.rotateSecret(id, "shop");
    const { public_key: fresh } = await world.destinations.revokeSecret(id, "shop");
    assert.deepEqual(await published(world, id), [["current", fresh]]);
    assert.deepEqual(await signers(world, id, [first, fresh]), [fresh]);
  });

  test("the document of all drops a key that was revoked before the call answers, and elsewhere once that is known", async () => {
    const world = await openWorld(engine);
    const [told, other] = [world.another(), world.another()];
    const { id, public_key: leaked } = await makeWebhook(world);
    const shown = async ({ signingKeys }: World["destinations"]) =>
      (await signingKeys(null)).document.keys.map((key) => key.public_key);
    await other.ofApp("shop");
    for (const each of [world.destinations, told, other]) assert.deepEqual(await shown(each), [leaked]);
    const { public_key: fresh } = await world.destinations.revokeSecret(id, "shop");
    assert.deepEqual(await shown(world.destinations), [fresh], "the clock stands still");
    told.hearOf("shop");
    assert.deepEqual(await shown(told), [fresh]);
    await other.refresh("shop");
    assert.deepEqual(await shown(other), [fresh]);
  });

  test("the document of all is kept when an app is read for the first time, and not when that finds a change", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    const other = world.another();
    const kept = other.signingKeys(null);
    await kept;
    assert.equal((await other.find(id))?.id, id);
    assert.equal(other.signingKeys(null), kept);
    await world.destinations.revokeSecret(id, "shop");
    await other.refresh("shop");
    assert.notEqual(other.signingKeys(null), kept);
  });

  test("a webhook changes to keys with whatever is staged and still valid, and back to its secret alone", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id, signing_secret } = await makeWebhook(world, {});
    await destinations.rotateSecret(id, "shop");
    await destinations.promoteSecret(id, "shop");
    await destinations.rotateSecret(id, "shop");
    const before = await destinations.getSecret(id, "shop");
    const changed = await destinations.patchWebhook(id, "shop", ED25519);
    const keys = (await published(world, id)).map(([, key]) => key);
    assert.deepEqual([keys.length, keys[0]], [3, changed.public_key]);
    assert.deepEqual(await signers(world, id, keys), keys);
    const after = await destinations.getSecret(id, "shop");
    assert.deepEqual([after.signing_secret, after.next_secret], [before.signing_secret, before.next_secret]);
    assert.notEqual(after.signing_secret, signing_secret);

    const back = await destinations.patchWebhook(id, "shop", { signature_scheme: "hmac" });
    assert.equal(back.public_key, undefined);
    assert.deepEqual(await published(world, id), []);
    assert.deepEqual((await requestOf(world, id)).versions, ["v1", "v1", "v1"]);
    const again = await destinations.patchWebhook(id, "shop", ED25519);
    assert.equal(again.public_key, changed.public_key, "who knows the key goes on verifying");
    await destinations.patchWebhook(id, "shop", { description: "another" });
    assert.equal((await published(world, id))[0]?.[1], changed.public_key);
  });

  test("another process signs with the same key, and says so, within a second", async () => {
    const world = await openWorld(engine);
    const other = { ...world, destinations: world.another() };
    const { id } = await makeWebhook(world);
    await requestOf(other, id);
    const { next_public_key } = await world.destinations.rotateSecret(id, "shop");
    world.clock.at += VERSION_CHECK_MS;
    assert.deepEqual(await signers(other, id, [next_public_key]), [next_public_key]);
    const { document } = await other.destinations.signingKeys(null);
    assert.ok(selectLinkMeWebhookKeys(document, id, world.clock.at).includes(next_public_key ?? ""));
  });

  test("with another seal key a change to keys is refused and changes nothing; the keys of before stay published", async () => {
    const world = await openWorld(engine);
    const sealed = await makeWebhook(world, {});
    const signing = await makeWebhook(world);
    const stranger = { ...world, destinations: world.another(randomBytes(32)) };
    await refused(stranger.destinations.patchWebhook(sealed.id, "shop", ED25519), "conflict");
    assert.equal((await world.destinations.getWebhook(sealed.id, "shop")).signature_scheme, "hmac");
    assert.deepEqual(await published(stranger, signing.id), [["current", signing.public_key]]);
    const { public_key } = await stranger.destinations.revokeSecret(signing.id, "shop");
    assert.deepEqual(await signers(stranger, signing.id, [public_key]), [public_key]);
  });

  test("private keys are sealed at rest, and no answer shows one", async () => {
    const world = await openWorld(engine);
    const webhook = await makeWebhook(world);
    const answers: object[] = [webhook, await world.destinations.rotateSecret(webhook.id, "shop")];
    answers.push(await world.destinations.getSecret(webhook.id, "shop"));
    answers.push(await world.destinations.promoteSecret(webhook.id, "shop"));
    assert.doesNotMatch(JSON.stringify(answers), /whsk_/);
    const rows = await world.db.query(sql`select * from destinations where id = ${webhook.id}`);
    assert.doesNotMatch(JSON.stringify(rows), /whsk_|whsec_/);
  });

  test("the tag of the document changes with its keys, also when one of them runs out", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    const tag = async () => {
      world.clock.at += DOCUMENT_KEPT_MS;
      return (await world.destinations.signingKeys(null)).etag;
    };
    const first = await tag();
    assert.equal(await tag(), first);
    await world.destinations.rotateSecret(id, "shop");
    const staged = await tag();
    await world.destinations.promoteSecret(id, "shop", 60);
    const promoted = await tag();
    world.clock.at = START + 10 * DAY_MS;
    assert.equal(new Set([first, staged, promoted, await tag()]).size, 4);
  });

  test("a deleted webhook's keys are gone", async () => {
    const world = await openWorld(engine);
    const { id } = await makeWebhook(world);
    await world.destinations.deleteWebhook(id, "shop");
    assert.deepEqual(await published(world, id), []);
  });
});

function openDocument() {
  const world = { at: START, rows: 1, is_down: false, reads: 0 };
  const document = createSigningKeys({
    now: () => world.at,
    store: {
      async publicKeys(_webhook_id, limit) {
        world.reads += 1;
        if (world.is_down) throw new Error("the database is away");
        const key = {
          public_key: `whpk_${Buffer.alloc(32, 1).toString("base64")}`,
          status: "current",
          valid_until: null,
        };
        const rows = Array.from({ length: world.rows }, (_, n) => ({
          id: `dst_${n}`,
          public_keys: JSON.stringify([key]),
        }));
        return rows.slice(0, limit);
      },
    },
  });
  return { world, ...document };
}

test("more webhooks than a document holds are refused with what to ask for, and never cut", async () => {
  const { world, signingKeys } = openDocument();
  world.rows = DOCUMENT_WEBHOOKS_MAX;
  assert.equal((await signingKeys(null)).document.keys.length, DOCUMENT_WEBHOOKS_MAX);
  world.rows += 1;
  world.at += DOCUMENT_KEPT_MS;
  const error = await refused(signingKeys(null), "invalid_request", "webhook_id");
  assert.match(error.details?.[0]?.message ?? "", /the id of a webhook: more than 5000 have keys/);
});

test("many readers of the whole document cost one look at the table, and a failed one is not kept", async () => {
  const { world, signingKeys } = openDocument();
  world.is_down = true;
  await assert.rejects(signingKeys(null), /the database is away/);
  world.is_down = false;
  await Promise.all(Array.from({ length: 20 }, () => signingKeys(null)));
  assert.equal(world.reads, 2);
  world.at -= 1;
  await signingKeys(null);
  assert.equal(world.reads, 3, "a clock that was set back keeps nothing");
});
