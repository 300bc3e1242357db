// The reader against a table of answers, each cut at every place, and against Node's own HTTP parser on random ones.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { createResponseReader } from "./response-reader.ts";

interface Seen {
  status: number | null;
  headers: Record<string, string>;
  body: string;
  /** Null while the response is not complete. */
  rest_ms: number | null;
  trouble: string | null;
}

/** Feeds the pieces one after another, through one buffer that is overwritten each time, as a socket does. */
function readAll(pieces: readonly Buffer[], method = "POST", ends = true): Seen {
  return readOn([pieces], method, ends)[0] as Seen;
}

/** Several responses of one connection, each in its pieces. */
function readOn(responses: readonly (readonly Buffer[])[], method = "POST", ends = true): Seen[] {
  let seen: Seen;
  const reader = createResponseReader({
    headers(status, headers) {
      assert.equal(seen.status, null, "one response has one head");
      seen.status = status;
      seen.headers = Object.fromEntries(headers);
    },
    data(piece) {
      seen.body += piece.toString("latin1");
      return true;
    },
    end(rest_ms) {
      assert.equal(seen.rest_ms, null, "one response ends once");
      seen.rest_ms = rest_ms;
    },
  });
  const shared = Buffer.alloc(Math.max(1, ...responses.flat().map((piece) => piece.length)));
  return responses.map((pieces) => {
    seen = { status: null, headers: {}, body: "", rest_ms: null, trouble: null };
    reader.expect(method);
    for (const piece of pieces) {
      piece.copy(shared);
      seen.trouble = reader.read(shared.subarray(0, piece.length));
      shared.fill("#");
      if (seen.trouble !== null) return seen;
    }
    if (ends) reader.finish();
    return seen;
  });
}

const bytes = (text: string) => Buffer.from(text, "latin1");
const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;

const complete: [title: string, text: string, seen: Partial<Seen>][] = [
  ["a counted body", `${OK}Content-Length: 2\r\nX-A:  b \r\n\r\nok`, { body: "ok", rest_ms: 4_000 }],
  ["no reason phrase", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", { rest_ms: 4_000 }],
  ["an empty reason phrase", "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n", { status: 299, rest_ms: 4_000 }],
  ["no content", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, rest_ms: 4_000 }],
  ["a length that 204 cannot have", "HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\n", { status: 204, rest_ms: 4_000 }],
  ["not modified", "HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n", { status: 304, rest_ms: 4_000 }],
  [
    "several 1xx before it",
    `HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 H\r\nlink: x\r\n\r\n${OK}content-length: 1\r\n\r\n!`,
    { body: "!" },
  ],
  ["chunks", `${CHUNKED}3\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\n`, { body: "abc0123456789", rest_ms: 4_000 }],
  ["chunks and trailers", `${CHUNKED}1\r\na\r\n000\r\nx-sum: 1\r\ny: 2\r\n\r\n`, { body: "a", rest_ms: 4_000 }],
  ["chunks of another coding", `${OK}transfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`, { body: "a" }],
  [
    "chunks and a length",
    `${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
    { body: "a", rest_ms: 0 },
  ],
  ["a coding that has no end", `${OK}transfer-encoding: gzip\r\n\r\nabc`, { body: "abc", rest_ms: 0 }],
  ["no length at all", `${OK}\r\nall of it`, { body: "all of it", rest_ms: 0 }],
  ["the same length twice", `${OK}content-length: 1\r\ncontent-length: 1\r\n\r\na`, { body: "a" }],
  ["an old server", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", { body: "a", rest_ms: 0 }],
  [
    "an old server that goes on",
    "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\na",
    { rest_ms: 4_000 },
  ],
  ["a server that closes", `${OK}connection: x, Close\r\ncontent-length: 0\r\n\r\n`, { rest_ms: 0 }],
  ["a promise to stay", `${OK}keep-alive: timeout=9, max=3\r\ncontent-length: 0\r\n\r\n`, { rest_ms: 7_000 }],
  ["a long promise", `${OK}keep-alive: timeout=999999\r\ncontent-length: 0\r\n\r\n`, { rest_ms: 60_000 }],
  ["a short promise", `${OK}keep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n`, { rest_ms: 0 }],
  [
    "a header twice",
    `${OK}set-cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-length: 0\r\n\r\n`,
    { headers: { "set-cookie": "a=1, b=2", "content-length": "0" } },
  ],
  ["a header that names a prototype", `${OK}__proto__: x\r\ncontent-length: 0\r\n\r\n`, { rest_ms: 4_000 }],
  ["an empty header", `${OK}x:\r\ncontent-length: 0\r\n\r\n`, { headers: { x: "", "content-length": "0" } }],
];

for (const [title, text, expected] of complete) {
  test(`a response with ${title} is read, however its bytes are cut`, () => {
    const whole = readAll([bytes(text)]);
    assert.equal(whole.trouble, null);
    assert.notEqual(whole.rest_ms, null, "complete");
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(whole[name as keyof Seen], value, name);
    for (let cut = 1; cut < text.length; cut++) {
      assert.deepEqual(readAll([bytes(text.slice(0, cut)), bytes(text.slice(cut))]), whole, `cut at ${cut}`);
    }
    assert.deepEqual(readAll([...text].map(bytes)), whole, "byte by byte");
  });
}

test("what came before on the connection changes no response, whichever two follow each other", () => {
  const texts = complete.map(([, text]) => text);
  for (const first of texts) {
    const again = bytes(first);
    for (const second of [...texts, first.replace("content-length: 1", "content-length: 01")]) {
      const alone = readAll([bytes(second)]);
      for (const cut of [second.length, second.indexOf("\r\n\r\n") + 2, second.length - 1]) {
        const pieces = [bytes(second.slice(0, cut)), bytes(second.slice(cut))].filter((piece) => piece.length > 0);
        assert.deepEqual(readOn([[again], pieces, [again]])[1], alone, `${JSON.stringify(first)}, then ${cut} of it`);
      }
    }
  }
});

test("the same head again is read for what was asked, and its body is its own", () => {
  const head = `${OK}content-length: 2\r\n\r\n`;
  const seen = readOn([[bytes(`${head}ab`)], [bytes(head), bytes("cd")], [bytes(`${head}ef`)]]);
  assert.deepEqual(
    seen.map(({ body, rest_ms, trouble }) => [body, rest_ms, trouble]),
    [
      ["ab", 4_000, null],
      ["cd", 4_000, null],
      ["ef", 4_000, null],
    ],
  );
  const more = readOn([[bytes(`${head}ab`)], [bytes(`${head}cd!`)]]);
  assert.equal(more[1]?.trouble, "unasked");
});

const troubled: [title: string, text: string, trouble: string][] = [
  ["another protocol", "SSH-2.0-OpenSSH_9.6\r\n", "syntax"],
  ["another protocol, at its first byte", "2", "syntax"],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", "syntax"],
  ["no status", "HTTP/1.1 OK\r\n\r\n", "syntax"],
  ["a status of four digits", "HTTP/1.1 2000 X\r\n\r\n", "syntax"],
  ["a status below 100", "HTTP/1.1 099 X\r\n\r\n", "syntax"],
  ["a header without a colon", `${OK}nonsense\r\n\r\n`, "syntax"],
  ["a header without a name", `${OK}: x\r\n\r\n`, "syntax"],
  ["a space before the colon", `${OK}x : y\r\n\r\n`, "syntax"],
  ["a continued header", `${OK}x: y\r\n z\r\n\r\n`, "syntax"],
  ["a lone line feed", `${OK}x: y\nz: 1\r\n\r\n`, "syntax"],
  ["a lone carriage return", `${OK}x: y\rz: 1\r\n\r\n`, "syntax"],
  ["a lone line feed before a value", `${OK}x:\nTransfer-Encoding: chunked\r\ncontent-length: 2\r\n\r\nok`, "syntax"],
  ["a lone carriage return after a value", `${OK}content-length: 2\r\r\n\r\nok`, "syntax"],
  ["a length after a space of another script", `${OK}content-length:\xa02\r\n\r\nok`, "syntax"],
  ["a length before a vertical tab", `${OK}content-length: 2\x0b\r\n\r\nok`, "syntax"],
  ["NUL", `${OK}x: a\0b\r\n\r\n`, "syntax"],
  ["two lengths", `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\na`, "syntax"],
  ["a negative length", `${OK}content-length: -1\r\n\r\n`, "syntax"],
  ["a length in hex", `${OK}content-length: 0x1\r\n\r\n`, "syntax"],
  ["a length beyond all bounds", `${OK}content-length: 1${"0".repeat(15)}\r\n\r\n`, "syntax"],
  ["a chunk without a size", `${CHUNKED};x\r\n`, "syntax"],
  ["a chunk whose size is no number", `${CHUNKED}zz\r\n`, "syntax"],
  ["a chunk beyond all bounds", `${CHUNKED}1${"0".repeat(12)}\r\n`, "syntax"],
  ["a chunk that is longer than it said", `${CHUNKED}1\r\nab\r\n`, "syntax"],
  ["a chunk's line that ends with a line feed alone", `${CHUNKED}1\na`, "syntax"],
  ["an endless chunk's line", `${CHUNKED}1;${"x".repeat(1_100)}`, "syntax"],
  ["endless trailers", `${CHUNKED}0\r\n${`x: ${"y".repeat(1_000)}\r\n`.repeat(70)}`, "syntax"],
  ["informational responses without end", "HTTP/1.1 102 P\r\n\r\n".repeat(17), "headers_too_large"],
  ["chunks that are extensions more than data", `${CHUNKED}${`1;${"e".repeat(900)}\r\na\r\n`.repeat(80)}`, "syntax"],
  ["endless headers", `${OK}x: ${"y".repeat(17_000)}`, "headers_too_large"],
  ["headers that end behind the bound", `${OK}x: ${"y".repeat(16_400)}\r\n\r\n`, "headers_too_large"],
  ["a switch of protocols", "HTTP/1.1 101 X\r\nupgrade: x\r\n\r\n", "unasked"],
  ["more than one response", `${OK}content-length: 0\r\n\r\n${OK}`, "unasked"],
];

for (const [title, text, trouble] of troubled) {
  test(`${title} is told as ${trouble}, however the bytes are cut`, () => {
    assert.equal(readAll([bytes(text)]).trouble, trouble);
    const step = Math.max(1, Math.floor(text.length / 200));
    for (let cut = 1; cut < text.length; cut += step) {
      assert.equal(readAll([bytes(text.slice(0, cut)), bytes(text.slice(cut))]).trouble, trouble, `cut at ${cut}`);
    }
  });
}

test("an answer to HEAD has no body, whatever length it tells", () => {
  const seen = readAll([bytes(`${OK}content-length: 5\r\n\r\n`)], "HEAD");
  assert.deepEqual([seen.trouble, seen.rest_ms, seen.headers["content-length"]], [null, 4_000, "5"]);
});

test("what was not asked for is trouble, before a request and after a response", () => {
  const ended: number[] = [];
  const reader = createResponseReader({ headers: () => {}, data: () => true, end: (rest_ms) => ended.push(rest_ms) });
  assert.equal(reader.read(bytes(OK)), "unasked");
  for (let round = 0; round < 2; round++) {
    reader.expect("POST");
    assert.equal(reader.read(bytes(`${OK}content-length: 0\r\n\r\n`)), null);
  }
  assert.deepEqual(ended, [4_000, 4_000]);
  assert.equal(reader.read(bytes("x")), "unasked");
});

test("a reader that is told to stop wants no more of the body and reports no end", () => {
  let pieces = 0;
  const end = () => assert.fail("it did not end");
  const reader = createResponseReader({ headers: () => {}, data: () => ++pieces < 2, end });
  reader.expect("POST");
  assert.equal(reader.read(bytes(`${CHUNKED}1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n`)), null);
  assert.equal(pieces, 2);
});

for (const text of [`${OK}content-length: 3\r\n\r\nab`, `${CHUNKED}3\r\nab`, `${CHUNKED}1\r\na\r\n`, OK]) {
  test(`${JSON.stringify(text)} is not complete when the connection ends`, () => {
    const seen = readAll([bytes(text)]);
    assert.deepEqual([seen.trouble, seen.rest_ms], [null, null]);
  });
}

/** Reproducible noise: a failing seed is one number. */
function createNoise(seed: number) {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const int = (below: number) => Math.floor(next() * below);
  return { int, pick: <Value>(values: readonly Value[]): Value => values[int(values.length)] as Value };
}

/** A valid response, as many servers could have written it. */
function composeResponse(noise: ReturnType<typeof createNoise>): string {
  const body = Array.from({ length: noise.int(300) }, () => String.fromCharCode(32 + noise.int(200))).join("");
  const lines = [`HTTP/1.1 ${noise.pick([200, 201, 404, 500, 503])} ${noise.pick(["", "OK", "No \xe9t\xe9"])}`];
  for (let count = noise.int(5); count > 0; count--) {
    lines.push(
      `${noise.pick(["X-A", "etag", "Retry-After", "x_b"])}:${noise.pick(["", " "])}${noise.pick(["1", "a b", "\xfc"])}`,
    );
  }
  const form = noise.int(3);
  if (form === 0) lines.push(`${noise.pick(["Content-Length", "content-length"])}: ${body.length}`);
  if (form === 1) lines.push("Transfer-Encoding: chunked");
  if (form === 2) lines.push("Connection: close");
  const head = `${noise.pick(["", "HTTP/1.1 102 Processing\r\nx-early: 1\r\n\r\n"])}${lines.join("\r\n")}\r\n\r\n`;
  return form === 1 ? head + chunk(body, noise) : head + body;
}

function chunk(body: string, noise: ReturnType<typeof createNoise>): string {
  let text = "";
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + noise.int(60));
    text += `${size.toString(16)}${noise.pick(["", ";a=b"])}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${noise.pick(["", "x-trailer: 1\r\n"])}\r\n`;
}

/** What Node's own client makes of the same bytes. */
async function readWithNode(text: string): Promise<Pick<Seen, "status" | "body">> {
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const sent = request({ method: "POST", createConnection: () => wire });
  sent.end();
  wire.push(bytes(text));
  wire.push(null);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let body = "";
  for await (const piece of response) body += (piece as Buffer).toString("latin1");
  return { status: response.statusCode ?? null, body };
}

test("500 random responses in random pieces are what Node's own client makes of them", async () => {
  for (let seed = 1; seed <= 500; seed++) {
    const noise = createNoise(seed);
    const text = composeResponse(noise);
    const pieces: Buffer[] = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + noise.int(noise.pick([3, 40, 2_000]));
      pieces.push(bytes(text.slice(at, at + size)));
      at += size;
    }
    const seen = readAll(pieces);
    assert.equal(seen.trouble, null, `seed ${seed}`);
    assert.notEqual(seen.rest_ms, null, `seed ${seed}`);
    assert.deepEqual({ status: seen.status, body: seen.body }, await readWithNode(text), `seed ${seed}`);
  }
});

test("2,000 random responses with spoilt bytes never throw, and never end twice", () => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const noise = createNoise(seed);
    const spoilt = bytes(composeResponse(noise));
    for (let count = 1 + noise.int(3); count > 0; count--) spoilt[noise.int(spoilt.length)] = noise.int(256);
    const cut = noise.int(spoilt.length);
    const pieces = [spoilt.subarray(0, cut), spoilt.subarray(cut)].filter((piece) => piece.length > 0);
    assert.deepEqual(readAll(pieces), readAll([spoilt]), `seed ${seed}`);
  }
});
