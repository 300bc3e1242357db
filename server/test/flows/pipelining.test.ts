// Requests that are sent before the answers to those ahead of them have come, on one connection.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PIPELINED_MAX } from "../../src/api/connections.ts";
import { openConnection } from "../support/connection.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

let server: ServerProcess;
before(async () => {
  server = await startServer({ role: "edge,api" });
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const app = await server.request<{ id: string }>("POST", "/api/apps", { name: "Shop" }, headers);
  const links = `/api/apps/${app.body.id}/links`;
  await server.request("POST", links, { slug: "hello", web_fallback_url: "https://shop.example/" }, headers);
});
after(() => server.stop());

const GET = "GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";

test("as many as may wait are all answered, again and again", async () => {
  const connection = await openConnection(server.url);
  for (let round = 1; round <= 3; round++) {
    connection.write(GET.repeat(PIPELINED_MAX));
    await waitUntil(() => connection.statuses().length === round * PIPELINED_MAX, "all answers");
  }
  assert.deepEqual([...new Set(connection.statuses())], ["302"]);
  connection.close();
});

test("more than that end their connection, and nobody else's", async () => {
  const [connection, other] = [await openConnection(server.url), await openConnection(server.url)];
  connection.write(GET.repeat(10 * PIPELINED_MAX));
  await connection.ended;
  assert.ok(connection.statuses().length <= 9 * PIPELINED_MAX, connection.statuses().length.toString());
  other.write(GET);
  await waitUntil(() => other.statuses().length === 1, "the other's answer");
  other.close();
});

test("bytes behind the last request of a connection do not cost it its answer", async () => {
  const connection = await openConnection(server.url);
  connection.write(`${GET.replace("host", "connection: close\r\nhost")}${GET}nonsense`);
  assert.equal(await connection.ended, null);
  assert.deepEqual(connection.statuses(), ["302"]);
  assert.match(connection.text(), /location: https:\/\/shop\.example\//);
});
