// Bodies that are refused before they are all there: whoever sends one learns why, and what is sent costs no memory.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DROPPED_MAX_BYTES } from "../../src/api/app.ts";
import { APP_BODIES_MAX_BYTES, BODY_MAX_BYTES } from "../../src/api/load.ts";
import { headOf, openConnection } from "../support/connection.ts";
import { residentBytes } from "../support/resident-bytes.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

describe("who is refused in the midst of a body", () => {
  const HEALTH = "GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
  let server: ServerProcess;
  let app_id: string;
  before(async () => {
    server = await startServer({ role: "edge,api" });
    const headers = { authorization: `Bearer ${server.admin_token}` };
    const { body } = await server.request<{ id: string }>("POST", "/api/apps", { name: "Shop" }, headers);
    app_id = body.id;
  });
  after(() => server.stop());

  const head = (call: string, ...headers: string[]) => headOf(server.admin_token, call, ...headers);
  const ingest = (bytes: number, ...headers: string[]) =>
    head(`POST /api/apps/${app_id}/events`, `content-length: ${bytes}`, ...headers);

  test("sees why when all is sent, and goes on over the same connection", async () => {
    const connection = await openConnection(server.url);
    connection.write(`${ingest(4 * BODY_MAX_BYTES)}${"x".repeat(4 * BODY_MAX_BYTES)}${HEALTH}`);
    await waitUntil(() => connection.statuses().length === 2, "both answers");
    assert.deepEqual(connection.statuses(), ["413", "200"]);
    assert.doesNotMatch(connection.text(), /connection: close/);
    connection.close();
  });

  test("and wants no other request over its connection reads the answer, too", async () => {
    for (const version of ["1.1", "1.0"]) {
      const connection = await openConnection(server.url);
      const start = ingest(8 * BODY_MAX_BYTES, "connection: close").replace("HTTP/1.1", `HTTP/${version}`);
      connection.write(`${start}${"x".repeat(8 * BODY_MAX_BYTES)}`);
      assert.equal(await connection.ended, null, "it is not reset");
      assert.deepEqual(connection.statuses(), ["413"]);
      assert.match(connection.text(), /connection: close/);
    }
  });

  test("is not waited for when it sends without end", async () => {
    const connection = await openConnection(server.url);
    connection.write(`${ingest(1024 * BODY_MAX_BYTES)}${"x".repeat(DROPPED_MAX_BYTES + 1)}`);
    assert.equal(await connection.ended, null);
    assert.deepEqual(connection.statuses(), ["413"]);
  });

  test("because there is no room is told to come again, and goes on", async () => {
    // Each lacks its last byte, so it is held.
    const hold = async () => {
      const connection = await openConnection(server.url);
      connection.write(`${ingest(BODY_MAX_BYTES)}${" ".repeat(BODY_MAX_BYTES - 1)}`);
      return connection;
    };
    const held = await Promise.all(Array.from({ length: APP_BODIES_MAX_BYTES / BODY_MAX_BYTES }, hold));
    const headers = { authorization: `Bearer ${server.admin_token}`, "content-type": "application/json" };
    const isFull = async () => {
      const body = JSON.stringify({ event: "link.unknown", data: {} });
      return (await server.request("POST", `/api/apps/${app_id}/events`, body, headers)).status === 503;
    };
    await waitUntil(isFull, "all that is held to be there");
    const late = await openConnection(server.url);
    late.write(`${ingest(BODY_MAX_BYTES)}${" ".repeat(BODY_MAX_BYTES)}${HEALTH}`);
    await waitUntil(() => late.statuses().length === 2, "both answers");
    assert.deepEqual(late.statuses(), ["503", "200"]);
    assert.match(late.text(), /retry-after: 1/);
    for (const one of held) one.write(` ${HEALTH}`);
    await waitUntil(() => held.every((one) => one.statuses().length === 2), "the answers to what was held");
    assert.deepEqual([...new Set(held.map((one) => one.statuses().join()))], ["400,200"]);
    for (const { close } of [late, ...held]) close();
  });

  test("of an unknown length that is too large is told so, whoever it is", async () => {
    const connection = await openConnection(server.url);
    connection.write(head("POST /api/deferred/claim", "transfer-encoding: chunked"));
    const chunk = `${(BODY_MAX_BYTES / 16).toString(16)}\r\n${" ".repeat(BODY_MAX_BYTES / 16)}\r\n`;
    connection.write(`${chunk.repeat(20)}0\r\n\r\n`);
    await waitUntil(() => connection.statuses().length === 1, "the answer");
    assert.deepEqual(connection.statuses(), ["413"]);
    connection.close();
  });

  test("to an address that is none weighs nothing, whatever it says", async () => {
    for (const call of ["POST /nowhere/at/all", "PUT /api/health", "PATCH /api/nowhere"]) {
      const connection = await openConnection(server.url);
      connection.write(`${head(call, "content-length: 7")}no json${HEALTH}`);
      await waitUntil(() => connection.statuses().length === 2, "both answers");
      assert.deepEqual(connection.statuses(), ["404", "200"], call);
      connection.close();
    }
    const before = residentBytes(server.pid);
    const open = async () => {
      const connection = await openConnection(server.url);
      connection.write(
        `${head("POST /nowhere", `content-length: ${BODY_MAX_BYTES}`)}${" ".repeat(BODY_MAX_BYTES - 1)}`,
      );
      return connection;
    };
    const many = await Promise.all(Array.from({ length: 200 }, open));
    for (const one of many) one.write(" ");
    await waitUntil(() => many.every((one) => one.statuses().length === 1), "all answers");
    assert.deepEqual([...new Set(many.flatMap((one) => one.statuses()))], ["404"]);
    const grown = residentBytes(server.pid) - before;
    assert.ok(grown < 100 * BODY_MAX_BYTES, `the server grew by ${grown} bytes`);
    for (const { close } of many) close();
  });

  test("that nobody reads, beside others that leave no room, harms nobody", async () => {
    const holding = await openConnection(server.url);
    holding.write(head("POST /api/deferred/claim", `content-length: ${BODY_MAX_BYTES}`));
    holding.write(" ".repeat(BODY_MAX_BYTES - 1));
    for (const method of ["GET", "HEAD"]) {
      const connection = await openConnection(server.url);
      const start = head(`${method} /api/deeplink?cid=abcdefgh`, "content-length: 30000");
      connection.write(`${start}${"x".repeat(30_000)}${HEALTH}`);
      await waitUntil(() => connection.statuses().length === 2, "both answers");
      assert.equal(connection.statuses()[1], "200");
      connection.close();
    }
    holding.close();
    assert.equal((await server.request("GET", "/api/health")).status, 200);
  });
});
