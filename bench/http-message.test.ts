import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessageReader, findAfter, statusAt } from "./http-message.ts";

const accepted =
  'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{"accepted":["ä"]}';
const redirected = "HTTP/1.1 302 Found\r\nLocation: https://a.example/?cid=0f\r\nContent-Length: 0\r\n\r\n";
const empty = "HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n";
const request = "POST /w HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH:4\r\nx-after: 1\r\n\r\nbody";

/** Reads `text` in chunks of `size` bytes, all in the same memory, as the generator does. */
function read(text: string, size: number): string[] {
  const messages: string[] = [];
  const reader = createMessageReader((bytes, start, _body, end) => messages.push(bytes.toString("utf8", start, end)));
  const bytes = Buffer.from(text);
  const memory = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    const copied = bytes.copy(memory, 0, at, at + size);
    reader(memory.subarray(0, copied));
  }
  return messages;
}

test("A stream yields the same messages however it is cut into chunks", () => {
  const messages = [accepted, redirected, empty, request, accepted];
  const text = messages.join("");
  for (let size = 1; size <= Buffer.byteLength(text); size++) assert.deepEqual(read(text, size), messages);
});

test("An unfinished message is not reported", () => {
  for (const text of ["", "HTTP/1.1 202", accepted.slice(0, -1), request.slice(0, -1), "\r\n\r"]) {
    assert.deepEqual(read(text, 7), [], JSON.stringify(text));
  }
});

test("Where a message's body begins and ends is told to the byte", () => {
  const bodies: string[] = [];
  const reader = createMessageReader((bytes, _start, body, end) => bodies.push(bytes.toString("utf8", body, end)));
  reader(Buffer.from(accepted + redirected + request));
  assert.deepEqual(bodies, ['{"accepted":["ä"]}', "", "body"]);
});

test("A chunked body is refused, because it would be miscounted", () => {
  const text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  assert.throws(() => read(text, 64), /chunked/);
});

test("A message without an end is refused after 1 MiB", () => {
  assert.throws(() => read("x".repeat(1024 * 1024 + 1), 64 * 1024), /longer than/);
});

test("The status is read from the status line, and anything else is no status", () => {
  const cases: [string, number][] = [
    ["HTTP/1.1 202 Accepted\r\n", 202],
    ["HTTP/1.1 503 \r\n", 503],
    ["HTTP/1.1 099 Odd\r\n", Number.NaN],
    ["POST /w HTTP/1.1\r\n", Number.NaN],
    ["", Number.NaN],
  ];
  for (const [line, status] of cases) assert.equal(statusAt(Buffer.from(line), 0), status, line);
});

test("A key is found after the first marker that occurs, and only inside the message", () => {
  const markers = [Buffer.from("cid="), Buffer.from("cid%3D")];
  const bytes = Buffer.from("Location: ?a=1&cid=0f and then cid%3D1e");
  const cases: [number, number, number][] = [
    [0, bytes.length, 19],
    [20, bytes.length, 37],
    [0, 12, -1],
    [38, bytes.length, -1],
  ];
  for (const [start, end, at] of cases) assert.equal(findAfter(bytes, markers, start, end), at);
});
