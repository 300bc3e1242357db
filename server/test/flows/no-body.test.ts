// Requests whose headers speak of a body that does not come: HTTP clients send the type of JSON with a DELETE, LinkMe's among them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { headOf, openConnection } from "../support/connection.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

let server: ServerProcess;
let link: string;
let webhook: string;
before(async () => {
  server = await startServer({ role: "edge,api" });
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const app = await server.request<{ id: string }>("POST", "/api/apps", { name: "Shop" }, headers);
  link = `/api/apps/${app.body.id}/links`;
  await server.request("POST", link, { slug: "hello" }, headers);
  const hook = { url: "https://1.1.1.1/in", events: ["link.click"] };
  webhook = (await server.request<{ id: string }>("POST", `/api/apps/${app.body.id}/webhooks`, hook, headers)).body.id;
});
after(() => server.stop());

const head = (call: string, ...headers: string[]) => headOf(server.admin_token, call, ...headers);

test("a call that promises JSON and brings nothing is answered, and so is the next on its connection", async () => {
  const connection = await openConnection(server.url);
  const chunked = "transfer-encoding: chunked";
  const calls = [
    [head("GET /api/links/hello"), "200"],
    [head("GET /hello"), "302"],
    [head("PATCH /api/links/hello"), "400"],
    [head("PATCH /api/links/hello", "content-length: 0"), "400"],
    [`${head("PATCH /api/links/hello", chunked)}0\r\n\r\n`, "400"],
    [`${head("PATCH /api/links/hello", "content-length: 2")}{}`, "200"],
    [head(`POST ${link}`), "400"],
    [head(`POST ${link}/import`).replace("application/json", "text/csv"), "400"],
    [head("POST /api/deferred/claim"), "400"],
    [head(`POST /api/webhooks/${webhook}/secret/rotate`), "200"],
    [head("OPTIONS /api/deferred/claim", "origin: https://shop.example"), "204"],
    [head("POST /nowhere"), "404"],
    [head("DELETE /api/links/hello"), "204"],
    [head("DELETE /api/links/hello", "expect: 100-continue"), "204"],
    [head("HEAD /api/health"), "200"],
  ] as const;
  for (const [call] of calls) connection.write(call);
  await waitUntil(
    () => connection.statuses().filter((status) => status !== "100").length === calls.length,
    "all answers",
  );
  assert.deepEqual(
    connection.statuses().filter((status) => status !== "100"),
    calls.map(([, status]) => status),
    connection.text(),
  );
  connection.close();
});
