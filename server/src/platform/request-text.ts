// Writes an outbound request as HTTP/1.1. No I/O; called by the egress gate for every request, before a connection is chosen.
// Source: RFC 9112. What could end a line and begin another header is refused here, whoever has let it pass before.
import type { Target } from "./addresses.ts";
import type { OutboundRequest } from "./exchange.ts";

/** Bytes for the wire. Where the body is text both are one text, so that one write takes them. */
export interface RequestBytes {
  readonly head: string;
  /** Null when the body is already part of `head`, or there is none. */
  readonly body: Uint8Array | null;
}

const METHOD = /^[A-Z]+$/;
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e]*$/;
const PATH = /^\/[\x21-\x7e]*$/;
const DEFAULT_PORT = { secure: 443, plain: 80 };
/** The gate sets these itself; twice would be two readings of one request. */
const RESERVED: ReadonlySet<string> = new Set(["host", "connection", "content-length", "transfer-encoding"]);
/** Names that are remembered as good. */
const GOOD_NAMES_MAX = 500;

/** The request, or why it cannot be written; the reason never shows a value, which may be secret. */
export type WriteRequest = (target: Target, request: OutboundRequest) => RequestBytes | string;

export function createRequestWriter(): WriteRequest {
  // A server writes the same few names over and over.
  const good_names = new Set<string>();
  const isGoodName = (name: string): boolean => {
    if (good_names.has(name)) return true;
    if (!FIELD_NAME.test(name) || RESERVED.has(name.toLowerCase())) return false;
    if (good_names.size < GOOD_NAMES_MAX) good_names.add(name);
    return true;
  };
  return (target, request) => write(target, request, isGoodName);
}

function write(target: Target, request: OutboundRequest, isGoodName: (name: string) => boolean): RequestBytes | string {
  const { method, headers, body } = request;
  if (!METHOD.test(method)) return unwritable("the method");
  if (!PATH.test(target.path)) return unwritable("the path");
  let head = `${method} ${target.path} HTTP/1.1\r\nhost: ${authorityOf(target)}\r\nconnection: keep-alive\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? "";
    const value = headers[index + 1] ?? "";
    if (!isGoodName(name)) return unwritable("the name of a header");
    if (!FIELD_VALUE.test(value)) return unwritable("the value of a header");
    head += `${name}: ${value}\r\n`;
  }
  if (body === null) {
    const length = method === "GET" || method === "HEAD" ? "" : "content-length: 0\r\n";
    return { head: `${head}${length}\r\n`, body: null };
  }
  head += `content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return typeof body === "string" ? { head: head + body, body: null } : { head, body };
}

function unwritable(what: string): string {
  return `The request could not be written: ${what} holds what HTTP does not allow there. Change the webhook's settings`;
}

function authorityOf({ host, port, secure }: Target): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === (secure ? DEFAULT_PORT.secure : DEFAULT_PORT.plain) ? name : `${name}:${port}`;
}
