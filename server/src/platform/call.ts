// One outbound request in progress: what has been seen of it so far, and how that becomes its Exchange.
// Used by the egress gate only, which moves a call along as the connection reports.
// A call settles exactly once; whatever is reported after that is ignored.
import type { Target } from "./addresses.ts";
import {
  describeError,
  describeTimeout,
  type Exchange,
  type FailureCode,
  isSilence,
  joinHostPort,
  type OutboundRequest,
  type Phase,
  PLAIN_HTTP,
  readSnippet,
  SNIPPET_BYTES,
  type Timings,
} from "./exchange.ts";
import type { RequestBytes } from "./request-text.ts";

const MAX_BODY_BYTES = 64 * 1024;

/** Timings are in milliseconds of the monotonic clock; `Connection` is whatever the gate calls one. */
export interface Call<Connection> {
  readonly request: OutboundRequest;
  readonly target: Target;
  readonly bytes: RequestBytes;
  readonly resolve: (exchange: Exchange) => void;
  readonly started_at: number;
  readonly begun: number;
  timer: NodeJS.Timeout | undefined;
  connection: Connection | null;
  phase: Phase;
  settled: boolean;
  dns: number | null;
  connect: number | null;
  tls: number | null;
  first_byte: number | null;
  status: number;
  headers: Readonly<Record<string, string>>;
  chunks: Uint8Array[];
  body_bytes: number;
}

export type AnyCall = Call<unknown>;

export function createCall<Connection>(
  { request, target, bytes }: Pick<AnyCall, "request" | "target" | "bytes">,
  started_at: number,
  resolve: (exchange: Exchange) => void,
): Call<Connection> & { previous: null; next: null } {
  return {
    request,
    target,
    bytes,
    resolve,
    started_at,
    begun: performance.now(),
    timer: undefined,
    connection: null,
    phase: "waiting",
    settled: false,
    dns: null,
    connect: null,
    tls: null,
    first_byte: null,
    status: 0,
    headers: {},
    chunks: [],
    body_bytes: 0,
    // While it waits for a connection it is in a list.
    previous: null,
    next: null,
  };
}

export function receiveHeaders(call: AnyCall, status: number, headers: Readonly<Record<string, string>>): void {
  if (call.settled) return;
  call.phase = "receiving";
  call.first_byte = since(call.begun);
  call.status = status;
  call.headers = headers;
}

function keptOf({ request }: AnyCall): number {
  return request.answer_bytes ?? SNIPPET_BYTES;
}

/** Keeps a copy of what the snippet needs; false when the body has outgrown what is read at all. */
export function receiveBody(call: AnyCall, chunk: Buffer): boolean {
  const wanted = keptOf(call) - call.body_bytes;
  if (wanted > 0) call.chunks.push(Buffer.from(chunk.subarray(0, wanted)));
  call.body_bytes += chunk.length;
  return call.body_bytes <= MAX_BODY_BYTES;
}

/** `cut`: the body did not come to its end. */
export function settleResponse(call: AnyCall, cut: boolean): void {
  const { status, headers, chunks, started_at } = call;
  const truncated = cut || call.body_bytes > keptOf(call);
  const snippet = chunks.length === 0 ? "" : readSnippet(chunks, truncated, keptOf(call));
  const timings_ms = takeTimings(call);
  const duration_ms = timings_ms.total;
  settle(call, { kind: "response", status, headers, snippet, truncated, started_at, duration_ms, timings_ms });
}

export function settleFailure(
  call: AnyCall,
  code: FailureCode,
  message: string,
  is_silence = isSilence(code, call.phase),
): void {
  const timings_ms = takeTimings(call);
  const { started_at, phase } = call;
  const told = { is_silence, is_sent: phase === "sent" || phase === "receiving" };
  settle(call, { kind: "failure", code, message, ...told, started_at, duration_ms: timings_ms.total, timings_ms });
}

/** The connection broke. Once headers are in the status stands, and only the body is cut short. */
export function settleBroken(call: AnyCall, error: unknown, reused: boolean): void {
  if (call.phase === "receiving") {
    settleResponse(call, true);
    return;
  }
  const { code, message, is_silence } = describeError(error, call.phase, peerOf(call));
  settleFailure(call, code, message + noteOn(call, code, reused), is_silence);
}

function noteOn({ phase, target }: AnyCall, code: FailureCode, reused: boolean): string {
  if (reused) return code === "reset" ? "; it had been kept open after an earlier request" : "";
  // What speaks TLS ends the connection.
  return !target.secure && phase === "sent" && code === "reset" ? `; ${PLAIN_HTTP}` : "";
}

/** The deadline passed. As above, headers that are in decide. */
export function settleLate(call: AnyCall): void {
  if (call.phase === "receiving") settleResponse(call, true);
  else settleFailure(call, "timeout", describeTimeout(call.phase, peerOf(call), call.request.timeout_ms));
}

export function since(begun: number): number {
  return Math.round(performance.now() - begun);
}

function settle(call: AnyCall, exchange: Exchange): void {
  if (call.settled) return;
  call.settled = true;
  clearTimeout(call.timer);
  call.resolve(exchange);
}

function takeTimings(call: AnyCall): Timings {
  const { dns, connect, tls, first_byte, begun } = call;
  return { dns, connect, tls, first_byte, total: since(begun) };
}

/** `host:port`, for sentences. */
export function peerOf(call: AnyCall): string {
  return joinHostPort(call.target.host, call.target.port);
}
