import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook as Verifier } from "standardwebhooks";
import { MASK, Webhook as WebhookSchema } from "#contract/destinations.ts";
import {
  builtBy,
  headersOf,
  input,
  openWorld,
  outgoing,
  refused,
  START,
  URL_OK,
} from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { sql } from "../platform/sql.ts";

forEachEngine((engine) => {
  test("a new webhook has every documented field, its default and its secret", async () => {
    const { destinations } = await openWorld(engine);
    const made = await destinations.createWebhook("shop", input());
    const { id, signing_secret, ...rest } = WebhookSchema.strict().parse(made);
    assert.match(id, /^dst_[0-9a-f]{32}$/);
    assert.match(signing_secret ?? "", /^whsec_[A-Za-z0-9+/]{43}=$/);
    const at = new Date(START).toISOString();
    assert.deepEqual(rest, {
      app_id: "shop",
      url: URL_OK,
      events: ["link.click"],
      description: "",
      enabled: true,
      state: "active",
      state_reason: null,
      state_changed_at: at,
      signing: true,
      signature_scheme: "hmac",
      retry_schedule: [5, 300],
      timeout_ms: 15_000,
      max_in_flight: 50,
      rate_per_second: null,
      retry_on: "retriable",
      ordering: "none",
      headers: {},
      filter: null,
      missed: null,
      next_step: null,
      created_at: at,
      updated_at: at,
      health: {
        last_success_at: null,
        last_failure_at: null,
        consecutive_failures: 0,
        success_rate_24h: null,
        p95_ms_24h: null,
        pending: 0,
        oldest_pending_at: null,
        next_probe_at: null,
        concurrency_limit: null,
        rate_limit_per_second: null,
        held_until: null,
        limited_because: null,
      },
    });
  });

  test("a webhook keeps what it was given, and shows its secret to nobody but getSecret", async () => {
    const { destinations } = await openWorld(engine);
    const given = input({
      events: ["link.claim", "link.app_open"],
      description: "orders",
      enabled: false,
      signing: false,
      retry_schedule: [],
      timeout_ms: 1_000,
      max_in_flight: 1,
      rate_per_second: 7,
      retry_on: "any_failure",
      ordering: "link",
      headers: { Authorization: "Bearer abc" },
    });
    const { signing_secret, ...made } = await destinations.createWebhook("shop", given);
    assert.deepEqual(await destinations.getWebhook(made.id, "shop"), made);
    assert.deepEqual(made, { ...made, ...given, headers: { Authorization: MASK } });
    assert.equal(made.state, "off");
    assert.deepEqual(await destinations.getSecret(made.id, null), { signing_secret });
  });

  test("nothing secret is in the tables", async () => {
    const { db, destinations } = await openWorld(engine);
    const made = await destinations.createWebhook("shop", input({ headers: { "X-Key": "topsecret" } }));
    const stored = JSON.stringify(await db.query(sql`select * from destinations`));
    assert.ok(
      !stored.includes("topsecret") && !stored.includes(made.signing_secret ?? "?") && !stored.includes("whsec_"),
    );
  });

  test("what a receiver gets verifies with the secret that was shown", async () => {
    const { destinations } = await openWorld(engine);
    const made = await destinations.createWebhook("shop", input({ headers: { "X-Key": "topsecret" } }));
    const destination = await destinations.find(made.id);
    assert.ok(destination !== null);
    const request = builtBy(destination, outgoing);
    new Verifier(made.signing_secret ?? "").verify(request.body, headersOf(request));
    assert.equal(headersOf(request)["X-Key"], "topsecret");
    assert.equal(headersOf(request)["user-agent"], "LinkMe-Webhooks/1.2.3");
    assert.equal(destination.show(request).headers["X-Key"], MASK);
  });

  test("a URL that the egress gate refuses is refused on create and on change", async () => {
    const { destinations } = await openWorld(engine);
    await refused(destinations.createWebhook("shop", input({ url: "http://10.0.0.1/" })), "invalid_request", "url");
    const { id } = await destinations.createWebhook("shop", input());
    await refused(destinations.patchWebhook(id, null, { url: "http://10.0.0.1/" }), "invalid_request", "url");
    assert.equal((await destinations.getWebhook(id, null)).url, URL_OK);
  });

  test("an app that does not exist has no webhooks and gets none", async () => {
    const { destinations } = await openWorld(engine);
    await refused(destinations.createWebhook("nowhere", input()), "not_found");
    await refused(destinations.listWebhooks("nowhere", { limit: 10 }), "not_found");
    assert.deepEqual(await destinations.listWebhooks("blog", { limit: 10 }), { items: [], next_cursor: null });
  });

  test("webhooks are listed newest first, page by page, each once, also when made in the same millisecond", async () => {
    const { clock, destinations } = await openWorld(engine);
    const made: string[] = [];
    for (let n = 0; n < 7; n++) {
      if (n % 3 === 0) clock.at++;
      made.push((await destinations.createWebhook("shop", input())).id);
    }
    await destinations.createWebhook("blog", input());
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await destinations.listWebhooks("shop", { limit: 3, cursor });
      seen.push(...page.items.map(({ id }) => id));
      assert.ok(page.items.every((item) => item.signing_secret === undefined));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual([...seen].sort(), [...made].sort());
    assert.deepEqual(new Set(seen.slice(0, 1)), new Set(made.slice(6)));
    assert.deepEqual(new Set(seen.slice(4)), new Set(made.slice(0, 3)));
  });

  for (const cursor of ["", "x", "e30", Buffer.from('["a","b"]').toString("base64url"), "W10"]) {
    test(`the cursor "${cursor}" is refused`, async () => {
      const { destinations } = await openWorld(engine);
      await refused(destinations.listWebhooks("shop", { limit: 10, cursor }), "invalid_request", "cursor");
    });
  }

  test("an id of another app, of nothing, or of another type is not found by any call", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const other = await destinations.createWebhook("shop", input());
    await db.query(sql`update destinations set type = 'ga4' where id = ${other.id}`);
    const ids: [string, string | null][] = [
      [id, "blog"],
      ["dst_nothing", null],
      ["dst_nothing", "shop"],
      [other.id, null],
    ];
    for (const [one, scope] of ids) {
      await refused(destinations.getWebhook(one, scope), "not_found");
      await refused(destinations.patchWebhook(one, scope, { description: "mine" }), "not_found");
      await refused(destinations.patchWebhook(one, scope, { url: "http://bad" }), "not_found");
      await refused(destinations.getSecret(one, scope), "not_found");
      await refused(destinations.deleteWebhook(one, scope), "not_found");
    }
    assert.equal((await destinations.getWebhook(id, "shop")).description, "");
  });

  test("every field can be changed, one at a time or together, and the others stay", async () => {
    const { clock, destinations } = await openWorld(engine);
    const { signing_secret, ...made } = await destinations.createWebhook("shop", input());
    const patch = {
      url: "https://new.example.com/",
      events: ["link.claim" as const],
      description: "new",
      signing: false,
      retry_schedule: [1],
      timeout_ms: 2_000,
      max_in_flight: 2,
      rate_per_second: 0.5,
      retry_on: "any_failure" as const,
      ordering: "link" as const,
    };
    let expected = made;
    for (const [name, value] of Object.entries(patch)) {
      clock.at++;
      expected = { ...expected, [name]: value, updated_at: new Date(clock.at).toISOString() };
      assert.deepEqual(await destinations.patchWebhook(made.id, "shop", { [name]: value }), expected);
    }
    assert.equal((await destinations.patchWebhook(made.id, "shop", { rate_per_second: null })).rate_per_second, null);
    const back = await destinations.patchWebhook(made.id, "shop", { url: URL_OK, description: "" });
    assert.deepEqual([back.url, back.description], [URL_OK, ""]);
    assert.deepEqual(await destinations.getSecret(made.id, "shop"), { signing_secret });
  });

  test("an order that ends is none to whoever asks, and is ended once nothing waits for it", async () => {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input({ ordering: "link" }));
    const stored = async () =>
      (await db.query(sql`select ordering from destinations where id = ${id}`))[0]?.["ordering"];
    assert.equal((await destinations.patchWebhook(id, null, { ordering: "none" })).ordering, "none");
    assert.equal(await stored(), "leaving");
    assert.equal((await destinations.patchWebhook(id, null, { ordering: "none" })).ordering, "none");
    assert.equal((await destinations.find(id))?.ordering, "leaving");
    await destinations.endOrdering(id);
    assert.deepEqual([await stored(), (await destinations.find(id))?.ordering], ["none", "none"]);
    assert.equal((await destinations.patchWebhook(id, null, { ordering: "link" })).ordering, "link");
    await destinations.endOrdering(id);
    assert.equal(await stored(), "link", "somebody wants it again");
  });

  test("an empty patch changes nothing, not even the time", async () => {
    const { clock, destinations } = await openWorld(engine);
    const { signing_secret: _, ...made } = await destinations.createWebhook("shop", input());
    clock.at += 5;
    assert.deepEqual(await destinations.patchWebhook(made.id, null, {}), made);
  });

  test("headers are replaced as a whole; a masked value keeps the stored one", async () => {
    const { destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input({ headers: { A: "one", B: "two" } }));
    const changed = await destinations.patchWebhook(id, null, { headers: { A: MASK, C: "three" } });
    assert.deepEqual(changed.headers, { A: MASK, C: MASK });
    const headers = headersOf(builtBy(await destinations.find(id), outgoing));
    assert.deepEqual([headers["A"], headers["B"], headers["C"]], ["one", undefined, "three"]);
  });

  test("a mask that stands for no stored value is refused", async () => {
    const { destinations } = await openWorld(engine);
    const bad = { headers: { toString: MASK } };
    await refused(destinations.createWebhook("shop", input(bad)), "invalid_request", "headers.toString");
    const { id } = await destinations.createWebhook("shop", input());
    await refused(destinations.patchWebhook(id, null, bad), "invalid_request", "headers.toString");
    await destinations.patchWebhook(id, null, { description: "still works" });
  });
});
