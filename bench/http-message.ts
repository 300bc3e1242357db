// Splits a byte stream into HTTP/1.1 messages: requests for the sink, responses for the generator. It knows heads and
// Content-Length and nothing else, because both ends of every benchmark connection frame their bodies that way; it
// refuses a chunked body rather than miscount. It must cost next to nothing: harness and server share the cores.
import assert from "node:assert/strict";

const HEAD_END = Buffer.from("\r\n\r\n");
const MESSAGE_MAX_BYTES = 1024 * 1024;
const CONTENT_LENGTH = /\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r\n|$)/i;
const TRANSFER_ENCODING = /\r\ntransfer-encoding:/i;

/** One whole message: its head is `bytes[start, body)`, its body `bytes[body, end)`. Valid only during the call. */
export type OnMessage = (bytes: Buffer, start: number, body: number, end: number) => void;

/**
 * Returns a function that takes the chunks of one connection in order and calls `onMessage` for each whole message.
 * A message that arrives in one chunk is never copied.
 * @throws AssertionError for a chunked body or a message above 1 MiB
 */
export function createMessageReader(onMessage: OnMessage): (chunk: Buffer) => void {
  let rest: Buffer | null = null;
  return (chunk) => {
    const bytes: Buffer = rest === null ? chunk : Buffer.concat([rest, chunk]);
    rest = null;
    let start = 0;
    while (start < bytes.length) {
      const headEnd = bytes.indexOf(HEAD_END, start);
      if (headEnd < 0) break;
      const body = headEnd + HEAD_END.length;
      const end = body + contentLength(bytes.toString("latin1", start, headEnd));
      if (end > bytes.length) break;
      onMessage(bytes, start, body, end);
      start = end;
    }
    if (start === bytes.length) return;
    assert(bytes.length - start <= MESSAGE_MAX_BYTES, `a message is longer than ${MESSAGE_MAX_BYTES} bytes`);
    // A copy: the caller may read the next chunk into the same memory.
    rest = Buffer.from(bytes.subarray(start));
  };
}

/** Bytes of the body that a head announces; 0 when it announces none. */
function contentLength(head: string): number {
  const match = CONTENT_LENGTH.exec(head);
  if (match !== null) return Number(match[1]);
  assert(!TRANSFER_ENCODING.test(head), "a chunked message: the benchmark reads Content-Length bodies only");
  return 0;
}

/** The status of a response that starts at `start` (`HTTP/1.1 202 …`); NaN when it is not one. */
export function statusAt(bytes: Buffer, start: number): number {
  const digit = (at: number) => bytes[start + at]! - 48;
  const status = digit(9) * 100 + digit(10) * 10 + digit(11);
  return status >= 100 && status <= 599 && bytes[start] === 72 ? status : Number.NaN;
}

/** Where the text after the first marker that occurs in `bytes[start, end)` begins, or -1. */
export function findAfter(bytes: Buffer, markers: readonly Buffer[], start: number, end: number): number {
  for (const marker of markers) {
    const at = bytes.indexOf(marker, start);
    if (at >= 0 && at + marker.length < end) return at + marker.length;
  }
  return -1;
}
