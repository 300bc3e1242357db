// What the client puts on the wire, and what becomes of answers, with a `fetch` of the test's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LinkMeClient, LinkMeRequestError } from "../src/index.ts";
import { type ClientFetch, sendCall } from "../src/request.ts";

const CREATED = { id: "lnk_1", app_id: "app_1", domain_id: null, slug: "s", slugUrl: "https://l.example/s" };
const LINK = { ...CREATED, allow_param_passthrough: 0, force_redirect_web: 0, enabled: 1, click_count: 0, more: "x" };

type Call = [url: string, init: Parameters<ClientFetch>[1]];

/** A client whose calls are kept and answered in this way. */
function openClient(status: number, answer: unknown, baseUrl?: string) {
  const calls: Call[] = [];
  const fetch: ClientFetch = async (...call) => {
    calls.push(call);
    const json = async () => (answer === undefined ? JSON.parse("<html>") : answer);
    return { ok: status >= 200 && status < 300, status, json };
  };
  // As much of a fetch as the client uses.
  return { client: new LinkMeClient({ baseUrl, apiKey: "sk_1", fetch: fetch as never }), calls, fetch };
}

const headers = { "Content-Type": "application/json", Authorization: "Bearer sk_1" };

test("a create sends what was given, hidden from the Portal unless asked for, and nothing else", async () => {
  const { client, calls } = openClient(201, { ...CREATED, more: 1 }, "https://l.example/");
  const og = { title: "T", imageUrl: "https://l.example/i.png" };
  const unknown = { redirects: { web: "https://w.example", webFallbackUrl: "https://x.example" }, metadata: {} };
  assert.deepEqual(await client.createLink({ appId: "a/1", slug: "s", deepLink: null, og, ...unknown }), CREATED);
  const [[url, init] = []] = calls;
  assert.equal(url, "https://l.example/api/apps/a%2F1/links");
  assert.deepEqual(
    { ...init, body: JSON.parse(init?.body ?? "") },
    {
      method: "POST",
      headers,
      body: {
        slug: "s",
        redirects: { web: "https://w.example" },
        displayInPortal: false,
        og_title: "T",
        og_image_url: "https://l.example/i.png",
      },
    },
  );
});

test("reading, changing and deleting name the link in the path, with the same headers", async () => {
  const { client, calls } = openClient(200, LINK);
  const { more: _left_out, slugUrl: _listed_only, ...link } = LINK;
  assert.deepEqual(await client.getLink("a b"), link);
  assert.deepEqual(await client.updateLink("s", { enabled: 1, metadata: 1 } as object), link);
  assert.equal(await client.deleteLink("s"), undefined);
  assert.deepEqual(calls, [
    ["https://li-nk.me/api/links/a%20b", { headers }],
    ["https://li-nk.me/api/links/s", { method: "PATCH", headers, body: '{"enabled":1}' }],
    ["https://li-nk.me/api/links/s", { method: "DELETE", headers }],
  ]);
});

test("slashes that follow each other in a path become one, and those at the end of the base URL go", async () => {
  const { calls, fetch } = openClient(200, {});
  await sendCall({ base_url: "https://l.example", api_key: undefined, fetch }, "//api///links//a");
  assert.deepEqual(calls, [["https://l.example/api/links/a", { headers: { "Content-Type": "application/json" } }]]);
  const slashed = openClient(200, [], "https://l.example/sub//");
  await slashed.client.listLinks("app_1");
  assert.equal(slashed.calls[0]?.[0], "https://l.example/sub/api/apps/app_1/links");
});

test("a refusal has the status and the body, or no body when that is no JSON", async () => {
  const refused = openClient(409, { error: "slug_taken", suggestions: ["s2"] });
  await assert.rejects(refused.client.createLink({ appId: "app_1", slug: "s" }), (error) => {
    assert.ok(error instanceof LinkMeRequestError);
    assert.deepEqual([error.status, error.detail], [409, { error: "slug_taken", suggestions: ["s2"] }]);
    assert.equal(error.message, "HTTP 409 for /api/apps/app_1/links");
    return true;
  });
  const broken = openClient(502, undefined);
  await assert.rejects(broken.client.deleteLink("s"), { status: 502, detail: undefined });
});

for (const [what, answer] of [
  ["a flag that is true", { ...LINK, enabled: true }],
  ["a link in an envelope", { data: LINK }],
  ["a time that is null", { ...LINK, created_at: null }],
  ["nothing", null],
] as const) {
  test(`an answer with ${what} is refused, and says where it is wrong`, async () => {
    await assert.rejects(openClient(200, answer).client.getLink("s"), { name: "ZodError" });
  });
}

test("an input of another form is refused before anything is sent", async () => {
  const { client, calls } = openClient(200, LINK);
  const wrong = [
    () => client.createLink({ appId: "" }),
    () => client.createLink({ appId: "a", utm: { utm_source: 1 } } as never),
    () => client.updateLink("s", { enabled: true } as never),
    () => client.listLinks("  "),
    () => client.listLinks(undefined as never),
  ];
  for (const call of wrong) await assert.rejects(call());
  assert.equal(calls.length, 0);
});
