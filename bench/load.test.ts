// Generator and sink against real sockets on loopback, in this process: every request is accounted for, whatever the
// other side does.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { type LoadPlan, runLoad } from "./generator.ts";
import { createMessageReader } from "./http-message.ts";
import { createSink } from "./sink.ts";

const REQUEST = Buffer.from("POST / HTTP/1.1\r\ncontent-length: 12\r\n\r\n000000000000");
const plan = {
  host: "127.0.0.1",
  requests: [{ bytes: REQUEST, digits_at: REQUEST.length - 12 }],
  expected_status: 202,
  key_markers: ["key="],
  key_bytes: 12,
  connections: 4,
  seconds: 0.2,
  rate: 500,
};

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

async function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    accept(socket);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port; // a TCP server's address is never a path
}

/** A server that answers request number n as `answer` says; null closes the connection. */
async function serve(answer: (number: number, body: string) => string | null): Promise<number> {
  let number = 0;
  return await listen((socket) => {
    const read = createMessageReader((bytes, _start, body, end) => {
      const text = answer(number++, bytes.toString("latin1", body, end));
      if (text === null) socket.destroy();
      else socket.write(text);
    });
    socket.on("data", read);
  });
}

const accept = (body: string) => `HTTP/1.1 202 Accepted\r\ncontent-length: 16\r\n\r\nkey=${body}`;
const keysOf = (log: { keys: Uint8Array }) => Buffer.from(log.keys).toString().match(/.{12}/g) ?? [];

test("An open loop sends each due request once and takes its key from the answer", async () => {
  const result = await runLoad({ ...plan, port: await serve((_, body) => accept(body)) });
  const expected = Array.from({ length: 100 }, (_, i) => String(i).padStart(12, "0"));
  assert.deepEqual(keysOf(result.accepted).sort(), expected);
  assert.equal(result.accept_ms.length, 100);
  assert.deepEqual({ ...result.refused, failed: result.failed, unsent: result.unsent }, { failed: 0, unsent: 0 });
});

test("Numbers begin where the plan says, and begin again when there are no more", async () => {
  const port = await serve((_, body) => accept(body));
  const result = await runLoad({ ...plan, port, first_number: 70, numbers: 100 });
  const expected = Array.from({ length: 100 }, (_, i) => String((70 + i) % 100).padStart(12, "0"));
  assert.deepEqual(keysOf(result.accepted).sort(), expected.sort());
});

test("One popular number is the only one that is wanted", async () => {
  const port = await serve((_, body) => accept(body));
  const result = await runLoad({ ...plan, port, first_number: 170, numbers: 100, popularity: "one" });
  assert.deepEqual([...new Set(keysOf(result.accepted))], ["000000000070"]);
});

test("Open-loop times count from when a request was due, so waiting for a connection is part of them", async () => {
  const held_ms = 300;
  let clock_ms = 1_000;
  // While the first request waits for its answer the moment of the last one passes.
  const port = await serve((number) => {
    if (number === 0) clock_ms += held_ms;
    return accept("000000000000");
  });
  const result = await runLoad({ ...plan, connections: 1, port }, () => clock_ms);
  assert.equal(result.accepted.count, 100);
  const due = Array.from(result.accepted.at, (at) => at - result.started_at);
  due.forEach((at, i) => {
    assert.ok(Math.abs(at - i * 2) < 0.001, `request ${i} counts from ${at} ms`);
  });
  result.accept_ms.forEach((ms, i) => {
    assert.ok(Math.abs(ms - (held_ms - i * 2)) < 0.001, `request ${i} waited for ${ms} ms`);
  });
});

test("A closed loop keeps every connection busy until the time is over", async () => {
  const load: LoadPlan = { ...plan, rate: null, port: await serve((_, body) => accept(body)) };
  const result = await runLoad(load);
  assert.ok(result.accepted.count > load.connections);
  assert.equal(new Set(keysOf(result.accepted)).size, result.accepted.count);
  assert.equal(result.failed, 0);
});

test("Refusals, lost answers and answers without a key are counted apart", async () => {
  const port = await serve((number, body) => {
    if (number % 10 === 1) return "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    if (number % 10 === 2) return "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    return number === 13 ? null : accept(body);
  });
  const result = await runLoad({ ...plan, port });
  assert.deepEqual(result.refused, { 503: 10 });
  assert.equal(result.unkeyed, 10);
  assert.equal(result.failed, 1);
  assert.equal(result.accepted.count, 79);
});

test("A server that nobody can reach fails the run", async () => {
  const port = await listen(() => undefined);
  const server = servers.pop()!;
  server.close();
  await once(server, "close");
  await assert.rejects(runLoad({ ...plan, port }), /ECONNREFUSED/);
});

test("The sink notes each webhook's key, and counts what is unsigned or carries none", async () => {
  const sink = createSink();
  const port = await listen(sink.accept);
  sink.command({ do: "reset", marker: '"id":"', key_bytes: 12 });
  const webhook = (head: string, prefix: string) => {
    const body = `{"${prefix}":"000000000000"}`;
    const text = `POST /webhook HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n${body}`;
    return { bytes: Buffer.from(text), digits_at: Buffer.byteLength(text) - 14 };
  };
  const signed = "X-LinkMe-Signature: sha256=00\r\n";
  const requests = [webhook(signed, "id"), webhook("", "id"), webhook(signed, "no")];
  const load = { ...plan, port, requests, expected_status: 200 };
  const result = await runLoad({ ...load, seconds: 0.12 });
  assert.equal(result.unkeyed, 60);
  const report = sink.command({ do: "take" });
  assert.deepEqual([report.count, report.unsigned, report.unkeyed], [40, 20, 20]);
  const sent = Array.from({ length: 60 }, (_, i) => String(i).padStart(12, "0"));
  assert.deepEqual(
    keysOf(report.log!).sort(),
    sent.filter((_, i) => i % 3 !== 2),
  );
  sink.command({ do: "mode", mode: "503" });
  assert.deepEqual((await runLoad({ ...load, seconds: 0.12 })).refused, { 503: 60 });
  assert.equal(sink.command({ do: "count" }).count, 40);
});
