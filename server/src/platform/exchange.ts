// What one outbound request is and what the network did with it, as plain values, and how both are put into words.
// Used by the egress gate, which fills these values in, and by everyone who reads an Exchange.
// Pure. Nothing here repeats a request's path, headers or body: a message names the host, the address and the cause.
import type { FailureCode } from "#contract/deliveries.ts";

export type { FailureCode };

/** One request. `headers` is the flat list name, value, name, value…; host and content-length are set by the gate. */
export interface OutboundRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers: string[];
  body: string | Uint8Array | null;
  /** One deadline for waiting, DNS, connect, TLS, headers and body together. */
  timeout_ms: number;
  /** How much is kept of the body of the answer, at most what is read of it at all; absent: SNIPPET_BYTES. */
  answer_bytes?: number;
  /**
   * Whose connections it uses: nobody waits for a connection that somebody else holds at the same origin, or is given an
   * answer over it. Absent: the calls that name nobody share theirs.
   */
  owner?: string;
  /** Open another connection of this owner to the origin only while fewer than this many are open. */
  connections?: number;
}

/** Milliseconds each; null where the step did not happen, as on a connection that was already open. */
export interface Timings {
  dns: number | null;
  connect: number | null;
  tls: number | null;
  first_byte: number | null;
  total: number;
}

export interface Response {
  kind: "response";
  status: number;
  /** Lower-case names; repeated headers joined with ", ". */
  headers: Readonly<Record<string, string>>;
  /** The start of the body as text; never NUL or half a character. */
  snippet: string;
  /** True when the body had more than the snippet shows, or was cut off. */
  truncated: boolean;
  started_at: number;
  duration_ms: number;
  timings_ms: Timings;
}

export interface Failure {
  kind: "failure";
  code: FailureCode;
  message: string;
  /** The receiver was asked and said nothing. False: it was not asked, for a reason of this server's own, or it said something. */
  is_silence: boolean;
  /** The request, or a part of it, may have come there. Absent: not known. */
  is_sent?: boolean;
  started_at: number;
  duration_ms: number;
  timings_ms: Timings;
}

export type Exchange = Response | Failure;

/** How far a request has come: decides what an error or a deadline means. */
export type Phase = "waiting" | "resolving" | "connecting" | "securing" | "sent" | "receiving";

/** A failure the gate itself decides on, carried through the socket's error path. */
export class EgressError extends Error {
  readonly failure: FailureCode;
  constructor(failure: FailureCode, message: string) {
    super(message);
    this.failure = failure;
  }
}

export const SNIPPET_BYTES = 4 * 1024;
/** Longer values are cut off. */
export const HEADER_VALUE_CHARACTERS = 1024;
const HEADERS_CHARACTERS = 8 * 1024;

/** Keeps what an engineer needs of the response headers, within bounds, and safe to store as text. */
export function keepHeaders(raw: ReadonlyMap<string, string>): Record<string, string> {
  const kept: Record<string, string> = {};
  let left = HEADERS_CHARACTERS;
  for (const [name, value] of raw) {
    // As a key of a plain object this name would set the prototype instead.
    if (name === "__proto__") continue;
    const text = visible(value.length > HEADER_VALUE_CHARACTERS ? value.slice(0, HEADER_VALUE_CHARACTERS) : value);
    left -= name.length + text.length;
    if (left < 0) break;
    kept[name] = text;
  }
  return kept;
}

/** Decodes the start of a body; what is not UTF-8 becomes U+FFFD, and a character cut at the end is left out. */
export function readSnippet(chunks: readonly Uint8Array[], truncated: boolean, max_bytes = SNIPPET_BYTES): string {
  const bytes = Buffer.concat(chunks, Math.min(max_bytes, totalLength(chunks)));
  // Making a decoder costs a microsecond, and only a cut needs one: it can hold half a character back.
  const text = truncated
    ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true })
    : bytes.toString("utf8");
  // PostgreSQL text cannot hold NUL.
  return text.includes("\0") ? text.replaceAll("\0", "") : text;
}

function totalLength(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/**
 * Whether a request that failed so far along tells of a receiver that does not answer. What this server refuses, cannot look up or
 * has no connection for never came to it, and what is not HTTP is an answer.
 */
export function isSilence(code: FailureCode, phase: Phase): boolean {
  if (phase === "waiting" || phase === "resolving") return false;
  return code === "connect" || code === "tls" || code === "timeout" || code === "reset";
}

/** Errors of a socket that say more of this machine than of the receiver. */
const OWN_ERRORS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"]);
/** How a connection breaks. Any other end of a handshake is a judgement: on a certificate, or on what is spoken there. */
const BREAKS: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]);

type Described = Pick<Failure, "code" | "message" | "is_silence">;

/** Says what a socket, TLS or HTTP error means, given the `host:port` it happened with and how far the request was. */
export function describeError(error: unknown, phase: Phase, peer: string): Described {
  if (error instanceof EgressError) {
    return { code: error.failure, message: error.message, is_silence: isSilence(error.failure, phase) };
  }
  const cause = firstCause(error);
  const is_ours = OWN_ERRORS.has(cause.code) || (phase === "securing" && !BREAKS.has(cause.code));
  const described = describeCause(cause, phase, peer);
  return { ...described, is_silence: !is_ours && isSilence(described.code, phase) };
}

function describeCause(cause: Cause, phase: Phase, peer: string): Pick<Failure, "code" | "message"> {
  const at = typeof cause.address === "string" ? joinHostPort(cause.address, cause.port) : peer;
  switch (phase) {
    case "waiting":
    case "resolving":
    case "connecting":
      return describeConnectError(cause.code, at);
    case "securing":
      return { code: "tls", message: describeTlsError(cause.code, peer) };
    case "sent":
    case "receiving":
      return describeHttpError(cause.code, peer);
  }
}

/** Says what a failed lookup means, given the resolver's error code. */
export function describeDnsError(code: string, host: string): string {
  const known: Record<string, string> = {
    ENOTFOUND: `The name ${host} does not exist in DNS`,
    ENODATA: `The name ${host} has no address in DNS`,
    EAI_AGAIN: `DNS did not answer for ${host}`,
    ETIMEOUT: `DNS did not answer for ${host}`,
  };
  return known[code] ?? `The name ${host} could not be resolved (${code === "" ? "unknown error" : code})`;
}

/** The sentence for a deadline that passed before response headers were in. */
export function describeTimeout(phase: Phase, peer: string, timeout_ms: number): string {
  const doing: Record<Phase, string> = {
    waiting: `Still waiting for a free connection to ${peer}`,
    resolving: `Still looking up the address of ${peer}`,
    connecting: `${peer} did not accept the connection`,
    securing: `${peer} did not finish the TLS handshake`,
    sent: `${peer} sent no response headers`,
    receiving: `${peer} did not finish its response`,
  };
  return `${doing[phase]} (timeout of ${timeout_ms} ms)`;
}

export function joinHostPort(host: string, port: unknown): string {
  return `${host.includes(":") ? `[${host}]` : host}:${String(port)}`;
}

interface Cause {
  code: string;
  address?: unknown;
  port?: unknown;
}

/** Connecting to several addresses fails with one AggregateError; the first error speaks for all. */
function firstCause(error: unknown): Cause {
  const inner: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  if (!(inner instanceof Error)) return { code: "UNKNOWN" };
  const { code, address, port } = inner as NodeJS.ErrnoException & { address?: unknown; port?: unknown }; // all optional
  return { code: code ?? inner.name, address, port };
}

function describeConnectError(code: string, at: string): { code: FailureCode; message: string } {
  const known: Record<string, string> = {
    ECONNREFUSED: `Connection refused by ${at}`,
    ECONNRESET: `Connection reset by ${at} while connecting`,
    ETIMEDOUT: `${at} did not answer the connection attempt`,
    EHOSTUNREACH: `No route to ${at}`,
    ENETUNREACH: `No route to the network of ${at}`,
    EMFILE: "This server has reached its limit of open files",
  };
  return { code: "connect", message: known[code] ?? `Could not connect to ${at} (${code})` };
}

/** In the message of a failure with the code `tls`: a certificate would not help. */
export const SPEAKS_NO_TLS = "does not speak TLS";

/** In the message of a failure that a port which speaks TLS would end with as well. */
export const PLAIN_HTTP = "the request was in plain http";

function describeTlsError(code: string, peer: string): string {
  const known: Record<string, string> = {
    DEPTH_ZERO_SELF_SIGNED_CERT: `${peer} presents a self-signed certificate`,
    SELF_SIGNED_CERT_IN_CHAIN: `${peer} presents a certificate of an authority that is not trusted`,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `${peer} presents a certificate of an authority that is not trusted`,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: `${peer} does not send its intermediate certificates`,
    CERT_HAS_EXPIRED: `The certificate of ${peer} has expired`,
    CERT_NOT_YET_VALID: `The certificate of ${peer} is not valid yet`,
    ERR_TLS_CERT_ALTNAME_INVALID: `The certificate of ${peer} is for another host name`,
    ERR_SSL_WRONG_VERSION_NUMBER: `${peer} ${SPEAKS_NO_TLS}: something else listens there, such as plain http`,
    ERR_SSL_PACKET_LENGTH_TOO_LONG: `${peer} ${SPEAKS_NO_TLS}: something else listens there, such as plain http`,
    ECONNRESET: `${peer} closed the connection during the TLS handshake`,
  };
  return known[code] ?? `The TLS handshake with ${peer} failed (${code})`;
}

function describeHttpError(code: string, peer: string): { code: FailureCode; message: string } {
  if (code === "ECONNRESET" || code === "EPIPE") {
    return { code: "reset", message: `${peer} reset the connection before it answered` };
  }
  return { code: "reset", message: `The connection to ${peer} broke before an answer came (${code})` };
}

/** Control characters, which no log line or JSON viewer should have to survive, become U+FFFD. */
function visible(text: string): string {
  return /[\p{Cc}]/u.test(text) ? text.replace(/[\p{Cc}]/gu, (c) => (c === "\t" ? c : "\ufffd")) : text;
}
