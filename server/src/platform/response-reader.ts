// Reads HTTP/1.1 responses from the bytes of a connection: one at a time, each only after `expect`. Pure: no socket, no
// clock. Called by connection.ts, which owns the socket. Source of the rules: RFC 9112 (message syntax and framing).
// Strict where a doubt could be read in two ways; whatever is wrong ends the connection, and nothing is ever guessed.

/** What came instead of a response. `unasked`: nothing had been asked for, or the protocol was to be switched. */
export type ReadTrouble = "syntax" | "headers_too_large" | "unasked";

export interface ResponseEvents {
  /** The response proper; informational ones (1xx) are passed over. Names are lower case, repeated ones joined. */
  headers(status: number, headers: ReadonlyMap<string, string>): void;
  /** A piece of the body. The bytes are only lent: whoever keeps them copies them. False: no more is wanted. */
  data(piece: Buffer): boolean;
  /** The response is complete. For how long the connection may rest before it is used again, in ms; 0: not at all. */
  end(rest_ms: number): void;
}

export interface ResponseReader {
  /** The next bytes belong to the answer to a request that is about to be written. */
  expect(method: string): void;
  /** Null when all is well; otherwise the connection must be closed, whatever events came before. */
  read(bytes: Buffer): ReadTrouble | null;
  /** The peer will send nothing more: completes a response whose end is the end of the connection. */
  finish(): void;
}

const HEAD_MAX_BYTES = 16 * 1024;
/** Informational responses (1xx) before the response proper; servers send one or two. */
const INFORMATIONAL_MAX = 16;
/** What the chunked coding adds to a body: sizes, extensions, line ends and trailers. */
const FRAMING_MAX_CHARS = 64 * 1024;
/** A chunk's size in hex digits, and whatever extensions follow it. */
const CHUNK_LINE_MAX_CHARS = 1_024;
const CHUNK_SIZE = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?$/;
const STATUS_BEGINNING = "HTTP/1.";
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LENGTH_MAX_DIGITS = 15;
/** Where a server does not say how long it keeps a connection: shorter than the idle limit of common servers. */
const REST_MS = 4_000;
const REST_MAX_MS = 60_000;
/** Kept from what a server promises, so that we rarely write into a connection that it is closing. */
const REST_MARGIN_MS = 2_000;
/**
 * A connection under load brings the same head again until its date changes. Bounds what was read together with it too, for
 * V8 keeps the whole text alive for a piece of it.
 */
const REMEMBERED_MAX_CHARS = 2_048;

type State =
  | { kind: "idle" }
  | { kind: "head" }
  /** A body of so many bytes; inside chunked coding that of one chunk. */
  | { kind: "counted"; left: number; chunked: boolean }
  | { kind: "chunk_size" | "chunk_end" | "trailers" }
  | { kind: "until_close" };

interface Framing {
  kind: "none" | "counted" | "chunked" | "until_close";
  length: number;
  rest_ms: number;
}

export function createResponseReader(events: ResponseEvents): ResponseReader {
  let state: State = { kind: "idle" };
  /** What is there of a head, a chunk's line or a trailer that is not complete yet, a character for each byte. */
  let held = "";
  let framing_chars = 0;
  let informational = 0;
  let rest_ms = 0;
  let has_body = true;
  /** The last head, with its end. */
  let recent: { text: string; head: Head; framing: Framing } | null = null;

  function expect(method: string): void {
    state = { kind: "head" };
    held = "";
    framing_chars = 0;
    informational = 0;
    has_body = method !== "HEAD";
  }

  function read(bytes: Buffer): ReadTrouble | null {
    let at = 0;
    while (at < bytes.length) {
      const next = step(bytes, at);
      if (typeof next === "string") return next;
      at = next;
    }
    return null;
  }

  /** Takes bytes from a place on; answers the place behind them. */
  function step(bytes: Buffer, at: number): number | ReadTrouble {
    switch (state.kind) {
      case "idle":
        return "unasked";
      case "head":
        return readHead(bytes, at);
      case "counted":
        return readCounted(bytes, at, state);
      case "until_close":
        return events.data(at === 0 ? bytes : bytes.subarray(at)) ? bytes.length : stop(bytes);
      default:
        return readLine(bytes, at, state.kind);
    }
  }

  function readHead(bytes: Buffer, at: number): number | ReadTrouble {
    // The end of the head may lie across two reads.
    const before = held.length;
    held += bytes.toString("latin1", at, Math.min(bytes.length, at + HEAD_MAX_BYTES + 4));
    if (recent !== null && held.startsWith(recent.text)) {
      const { text, head, framing } = recent;
      held = "";
      begin(head, framing);
      return at + text.length - before;
    }
    if (!isBeginning(held)) return "syntax";
    const end = held.indexOf("\r\n\r\n", Math.max(0, before - 3));
    if (end < 0) return held.length > HEAD_MAX_BYTES ? "headers_too_large" : bytes.length;
    if (end > HEAD_MAX_BYTES) return "headers_too_large";
    const trouble = takeHead(held.slice(0, end + 4));
    held = "";
    return trouble ?? at + end + 4 - before;
  }

  /** `text` goes to its empty line. */
  function takeHead(text: string): ReadTrouble | null {
    const head = parseHead(text.slice(0, -4));
    if (head === null) return "syntax";
    if (head.status === 101) return "unasked";
    if (head.status < 200) return ++informational > INFORMATIONAL_MAX ? "headers_too_large" : null;
    const framing = framingOf(head);
    if (framing === null) return "syntax";
    recent = held.length <= REMEMBERED_MAX_CHARS ? { text, head, framing } : null;
    begin(head, framing);
    return null;
  }

  function begin(head: Head, framing: Framing): void {
    rest_ms = framing.rest_ms;
    events.headers(head.status, head.headers);
    if (!has_body || framing.kind === "none" || (framing.kind === "counted" && framing.length === 0)) complete();
    else if (framing.kind === "counted") state = { kind: "counted", left: framing.length, chunked: false };
    else if (framing.kind === "chunked") startChunk();
    else state = { kind: "until_close" };
  }

  function readCounted(bytes: Buffer, at: number, counted: State & { kind: "counted" }): number | ReadTrouble {
    const end = Math.min(bytes.length, at + counted.left);
    counted.left -= end - at;
    if (!events.data(bytes.subarray(at, end))) return stop(bytes);
    if (counted.left > 0) return end;
    if (counted.chunked) state = { kind: "chunk_end" };
    else complete();
    return end;
  }

  /** A line of the chunked coding: the size of a chunk, the empty one behind it, a trailer. */
  function readLine(bytes: Buffer, at: number, kind: "chunk_size" | "chunk_end" | "trailers"): number | ReadTrouble {
    const feed = bytes.indexOf(0x0a, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    if (held.length + end - at > CHUNK_LINE_MAX_CHARS) return "syntax";
    held += bytes.toString("latin1", at, end);
    if (feed < 0) return end;
    if (!held.endsWith("\r\n")) return "syntax";
    const line = held.slice(0, -2);
    held = "";
    framing_chars += line.length + 2;
    if (framing_chars > FRAMING_MAX_CHARS) return "syntax";
    return takeLine(line, kind) ? end : "syntax";
  }

  function takeLine(line: string, kind: "chunk_size" | "chunk_end" | "trailers"): boolean {
    if (kind === "chunk_end") {
      startChunk();
      return line === "";
    }
    if (kind === "trailers") {
      if (line === "") complete();
      return true;
    }
    const digits = CHUNK_SIZE.exec(line)?.[1];
    if (digits === undefined) return false;
    const size = Number.parseInt(digits, 16);
    state = size === 0 ? { kind: "trailers" } : { kind: "counted", left: size, chunked: true };
    return true;
  }

  function startChunk(): void {
    state = { kind: "chunk_size" };
  }

  function complete(): void {
    state = { kind: "idle" };
    events.end(rest_ms);
  }

  /** The rest of the response is not wanted; the caller closes the connection. */
  function stop(bytes: Buffer): number {
    state = { kind: "idle" };
    return bytes.length;
  }

  function finish(): void {
    if (state.kind === "until_close") complete();
  }

  return { expect, read, finish };
}

/** Whether a response can begin like this; told as early as possible, for other protocols wait for us to speak. */
function isBeginning(text: string): boolean {
  return text.length < STATUS_BEGINNING.length ? STATUS_BEGINNING.startsWith(text) : text.startsWith(STATUS_BEGINNING);
}

interface Head {
  status: number;
  /** HTTP/1.0, whose connections end by default. */
  is_old: boolean;
  headers: Map<string, string>;
}

/** Null when it is not the head of a response. */
function parseHead(text: string): Head | null {
  const lines = text.split("\r\n");
  const status_line = STATUS_LINE.exec(lines[0] ?? "");
  if (status_line === null) return null;
  const headers = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    const value = line.slice(colon + 1);
    // A lone line end or NUL could be read in two ways, and so could a line that continues the one before.
    if (!FIELD_NAME.test(name) || /[\0\r\n]/.test(value)) return null;
    const known = headers.get(name);
    headers.set(name, known === undefined ? withoutSpace(value) : `${known}, ${withoutSpace(value)}`);
  }
  return { status: Number(status_line[2]), is_old: status_line[1] === "0", headers };
}

/** Space and tab are all that may surround a value; `trim` would take more away, and another reader would not. */
function withoutSpace(value: string): string {
  return value.replace(/^[ \t]+|[ \t]+$/g, "");
}

/** RFC 9112, section 6.3. Null when the length cannot be told. */
function framingOf({ status, is_old, headers }: Head): Framing | null {
  const rest_ms = restOf(headers, is_old);
  const coding = headers.get("transfer-encoding");
  const lengths = headers.get("content-length");
  if (status === 204 || status === 304) return { kind: "none", length: 0, rest_ms };
  if (coding !== undefined) {
    const is_chunked = /(?:^|,)[ \t]*chunked$/i.test(coding);
    // Both at once is how requests and responses are smuggled past each other: nothing may follow on such a connection.
    if (is_chunked) return { kind: "chunked", length: 0, rest_ms: lengths === undefined && !is_old ? rest_ms : 0 };
    return { kind: "until_close", length: 0, rest_ms: 0 };
  }
  if (lengths === undefined) return { kind: "until_close", length: 0, rest_ms: 0 };
  const length = readLength(lengths);
  return length === null ? null : { kind: "counted", length, rest_ms };
}

/** A length that is given several times must be the same each time. */
function readLength(text: string): number | null {
  const [first = "", ...others] = text.split(",").map(withoutSpace);
  if (!/^\d+$/.test(first) || first.length > LENGTH_MAX_DIGITS) return null;
  return others.every((other) => other === first) ? Number(first) : null;
}

function restOf(headers: ReadonlyMap<string, string>, is_old: boolean): number {
  const wishes = headers.get("connection")?.toLowerCase() ?? "";
  if (/(?:^|,)[ \t]*close[ \t]*(?:,|$)/.test(wishes)) return 0;
  if (is_old && !/(?:^|,)[ \t]*keep-alive[ \t]*(?:,|$)/.test(wishes)) return 0;
  const promise = headers.get("keep-alive");
  const seconds = promise === undefined ? undefined : /(?:^|[,; \t])timeout=(\d{1,6})/i.exec(promise)?.[1];
  if (seconds === undefined) return REST_MS;
  return Math.min(Math.max(0, Number(seconds) * 1_000 - REST_MARGIN_MS), REST_MAX_MS);
}
