// What every adapter has to do, as tests over real sockets: given to each of them by its own test file. `open` starts a server in
// which other routes have the framework's own parser, and `/webhooks/linkme` is the receiver's.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import type { Receiver, ReceiverOptions } from "../../src/receiver/index.ts";
import { exchange, sendSigned } from "./post.ts";
import { CLICK, openReceiver, SECRET, type Told } from "./receiver.ts";

export interface Running {
  port: number;
  close(): Promise<unknown> | unknown;
}

export interface AdapterUnderTest {
  name: string;
  open(receiver: Receiver): Promise<Running> | Running;
  /** The same with the mistake: a parser in front of the receiver. */
  openParsed?(receiver: Receiver): Promise<Running> | Running;
  /** What the error of that mistake names. */
  fix?: RegExp;
  /** Whether the platform itself reads bodies, and so answers for those that are too large or do not come. */
  reads_itself?: boolean;
}

const MAX_BYTES = 64 * 1024;

export function testAdapter({ name, open, openParsed, fix, reads_itself = false }: AdapterUnderTest): void {
  /** Runs a test with a server of its own, whose clock is the real one. */
  async function withServer(
    run: (port: number, seen: string[], told: Told[]) => Promise<void>,
    start = open,
    options: Partial<ReceiverOptions> = {},
  ): Promise<void> {
    const { receiver, told } = openReceiver({ now: Date.now, max_body_bytes: MAX_BYTES, ...options });
    const seen: string[] = [];
    receiver.on("link.click", (event) => seen.push(event.data.dest_url));
    const server = await start(receiver);
    try {
      await run(server.port, seen, told);
    } finally {
      await server.close();
    }
  }

  test(`${name}: a signed event reaches its handler once, byte for byte`, () =>
    withServer(async (port, seen, told) => {
      const event = { ...CLICK, data: { ...CLICK.data, dest_url: "https://shop.example/größe/👟" } };
      // Spaces that no printer of JSON would make.
      const text = JSON.stringify(event, null, 3);
      const first = await sendSigned(port, { event: text });
      assert.deepEqual([first.status, JSON.parse(first.body)], [200, { outcome: "processed", id: CLICK.id }]);
      assert.match(String(first.headers["content-type"]), /^application\/json/);
      assert.equal(JSON.parse((await sendSigned(port, { event: text })).body).outcome, "duplicate");
      assert.deepEqual([seen, told], [[event.data.dest_url], []]);
    }));

  test(`${name}: forged, replayed, unparseable and unsigned requests are refused`, () =>
    withServer(async (port, seen) => {
      const of = async (changed: Parameters<typeof sendSigned>[1]) => (await sendSigned(port, changed)).status;
      assert.equal(await of({ body: JSON.stringify({ ...CLICK, id: "2" }) }), 401, "another body");
      assert.equal(await of({ headers: { "webhook-timestamp": "1769851801" } }), 401, "another time");
      assert.equal(await of({ headers: { "x-linkme-signature": `sha256=${"0".repeat(64)}` } }), 401);
      assert.equal(await of({ event: "{" }), 400, "signed, but no JSON");
      assert.equal(await of({ event: "[]" }), 400, "signed, but no envelope");
      assert.equal(await of({ event: { id: "3", event: "link.shared" } }), 200, "of a type of the future");
      const json = { "content-type": "application/json" };
      assert.equal((await exchange(port, { headers: json, body: JSON.stringify(CLICK) })).status, 401);
      assert.equal((await exchange(port, { headers: json })).status, 401, "no body at all");
      assert.deepEqual(seen, []);
    }));

  test(`${name}: another method and another content type are told apart`, () =>
    withServer(async (port) => {
      const got = await exchange(port, { method: "GET" });
      assert.deepEqual([got.status, got.headers["allow"]], [405, "POST"]);
      assert.equal((await sendSigned(port, { headers: { "content-type": "text/plain" } })).status, 415);
      const charset = { "content-type": "application/json; charset=utf-8" };
      assert.equal((await sendSigned(port, { headers: charset })).status, 200);
    }));

  test(`${name}: a handler that fails is answered 503 with Retry-After`, () =>
    withServer(
      async (port, _seen, told) => {
        const { status, headers } = await sendSigned(port);
        assert.deepEqual([status, headers["retry-after"], told.length], [503, "7", 1]);
      },
      open,
      {
        forward: [
          {
            name: "busy",
            forward: async () => ({ kind: "refused", retriable: true, message: "429", retry_after_ms: 7_000 }),
          },
        ],
      },
    ));

  test(`${name}: a body over the limit is answered 413, announced or not, and the server lives on`, () =>
    withServer(async (port) => {
      const event = { ...CLICK, data: { ...CLICK.data, note: "x".repeat(4 * MAX_BYTES) } };
      assert.equal((await sendSigned(port, { event })).status, 413);
      assert.equal((await sendSigned(port, { event, headers: { "transfer-encoding": "chunked" } })).status, 413);
      assert.equal((await sendSigned(port)).status, 200);
    }));

  if (!reads_itself) {
    test(`${name}: a body that never ends is answered 413 as soon as it is over the limit`, () =>
      withServer(async (port) => {
        const head =
          "POST /webhooks/linkme HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n";
        const chunk = "x".repeat(MAX_BYTES + 1);
        const begun = `${head}\r\n${chunk.length.toString(16)}\r\n${chunk}\r\n`;
        assert.match(await converse(port, begun, false), /^HTTP\/1\.1 413 /);
      }));

    test(`${name}: a body that does not come is answered 408, and one that is cut off does no harm`, () =>
      withServer(
        async (port) => {
          const head =
            "POST /webhooks/linkme HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
          assert.match(await converse(port, head, false), /^HTTP\/1\.1 408 /);
          await converse(port, head, true);
          assert.equal((await sendSigned(port)).status, 200);
        },
        open,
        { body_timeout_ms: 100 },
      ));
  }

  if (openParsed !== undefined && fix !== undefined) {
    test(`${name}: a parser in front is answered 500, and onError is told how to mend it`, () =>
      withServer(async (port, seen, told) => {
        const { status, body } = await sendSigned(port);
        assert.deepEqual([status, JSON.parse(body).error, seen, told.length], [500, "misconfigured", [], 1]);
        assert.match(String(told[0]?.error), fix);
        assert.ok(!body.includes(SECRET) && !String(told[0]?.error).includes(CLICK.id));
      }, openParsed));
  }
}

/** Sends a piece of a request, and resolves with what comes back until the end of the connection, or of the answer. */
function converse(port: number, text: string, is_cut: boolean): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("connect", () => {
      if (is_cut) socket.end(text, () => socket.destroy());
      else socket.write(text);
    });
    socket.on("data", (chunk) => {
      answer += chunk;
      if (answer.includes("}")) socket.destroy();
    });
    // A cut connection may end in any way.
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}
