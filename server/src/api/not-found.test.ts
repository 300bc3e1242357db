import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi } from "../../test/support/api.ts";

const ROLE_DISPATCHER = /^This process has the role dispatcher only; .* with the role (?:api|edge)\.$/;

test("a process without the role for an address says so, whichever method is asked", async () => {
  const api = await openApi({ LINKME_ROLE: "dispatcher" });
  for (const [method, url] of [
    ["GET", "/api/apps"],
    ["POST", "/api/apps"],
    ["PUT", "/api/apps?x=1"],
    ["DELETE", "/api/webhooks/whk_1"],
    ["POST", "/api/app-events"],
  ] as const) {
    const { status, body } = await api.call(method, url);
    assert.deepEqual([status, body.error], [404, "not_found"], url);
    assert.match(body.message, ROLE_DISPATCHER, `${method} ${url}`);
  }
  const health = await api.call("POST", "/api/health");
  assert.equal(health.body.message, "This address does not answer POST. It answers GET.");
});

test("the role that is needed is named, and the roles that are there", async () => {
  const edge = await openApi({ LINKME_ROLE: "edge,dispatcher" });
  assert.equal(
    (await edge.call("GET", "/api/apps")).body.message,
    "This process has the roles edge and dispatcher only; this address is answered by processes with the role api.",
  );
});

test("at the address of a link the role that answers links is named", async () => {
  const api = await openApi({ LINKME_ROLE: "api,dispatcher" });
  const message = async (method: string, url: string) => (await api.call(method, url)).body.message;
  const edge =
    "This process has the roles api and dispatcher only; links are answered by processes with the role edge.";
  for (const url of ["/hi", "/hi/there?x=1", "/qr/hi", "/d/hi"]) assert.equal(await message("GET", url), edge, url);
  assert.match(await message("GET", "/api/nothing"), /^This address does not answer GET/);
  assert.match(await message("POST", "/hi"), /^This address does not answer POST/);
});

test("where every role is, the methods of an address are named, and /docs for what is none", async () => {
  const api = await openApi();
  const message = async (method: string, url: string) => (await api.call(method, url)).body.message;
  assert.equal(await message("PUT", "/api/apps"), "This address does not answer PUT. It answers POST, GET.");
  assert.equal(
    await message("GET", "/api/nothing"),
    "This address does not answer GET. See /docs for the addresses of the API.",
  );
});
