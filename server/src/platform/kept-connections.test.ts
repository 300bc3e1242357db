// Receivers that promise to keep a connection and close it: the request on it is lost, and the next ones are not risked.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { listenRaw } from "../../test/support/receivers.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createEgress, type Egress } from "./egress.ts";
import { UNKEPT_MS } from "./pools.ts";

const ANSWER = "HTTP/1.1 204 No Content\r\n\r\n";
const LOST = /it had been kept open after an earlier request$/;

/** Sends to a receiver that answers the first request of each connection when it is ready, and does that with each further one. */
async function open(t: TestContext, then: (socket: Socket) => void, ready = Promise.resolve()) {
  const egress: Egress = createEgress({ allow: ["127.0.0.0/8"] });
  t.after(() => egress.close());
  const seen = { connections: 0 };
  const answered = new Set<Socket>();
  const port = await listenRaw(t, (socket) => {
    if (answered.has(socket)) return then(socket);
    answered.add(socket);
    seen.connections++;
    void ready.then(() => socket.write(ANSWER));
  });
  const url = `http://127.0.0.1:${port}/`;
  const send = async (owner = "dst_1") => {
    const exchange = await egress.send({ method: "POST", url, headers: [], body: "{}", timeout_ms: 20_000, owner });
    return exchange.kind === "response" ? String(exchange.status) : exchange.message;
  };
  return { send, seen };
}

test("a request that is lost with a kept connection says so, and those after it get connections of their own", async (t) => {
  const { send, seen } = await open(t, (socket) => socket.end());
  assert.equal(await send(), "204");
  assert.match(await send(), LOST);
  for (let left = 3; left > 0; left--) assert.equal(await send(), "204");
  assert.equal(seen.connections, 4);
});

test("of several kept connections one is lost, and the others are not tried", async (t) => {
  const first = Promise.withResolvers<void>();
  const { send, seen } = await open(t, (socket) => socket.end(), first.promise);
  const sent = [send(), send(), send()];
  await waitUntil(() => seen.connections === 3, "three connections");
  first.resolve();
  assert.deepEqual(await Promise.all(sent), ["204", "204", "204"]);
  assert.match(await send(), LOST);
  for (let left = 3; left > 0; left--) assert.equal(await send(), "204");
});

test("after a while connections are kept again, and those of another webhook are all the time", async (t) => {
  const { send, seen } = await open(t, (socket) => socket.end());
  assert.equal(await send(), "204");
  assert.match(await send(), LOST);
  assert.equal(await send("dst_2"), "204");
  assert.match(await send("dst_2"), LOST);
  const later = performance.now() + UNKEPT_MS;
  t.mock.method(performance, "now", () => later);
  assert.equal(await send(), "204");
  assert.match(await send(), LOST, "the connection was used again");
  assert.equal(seen.connections, 3);
});
