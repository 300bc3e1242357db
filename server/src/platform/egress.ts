// The one gate through which the server opens outbound connections: every delivery, check and vendor call passes here.
// Called by the dispatcher and by the API's checks. Resolved addresses are judged when the connection is made, all of
// them, and exactly those are connected to, so a name that changes its mind (DNS rebinding) is refused; redirects and
// proxies are never followed; sockets, waiting requests, bodies, headers and time are bounded. `send` never rejects.
//
// Each connection is an undici Client of its own rather than a slot of undici's Pool: a deadline must be able to
// end the lookup or handshake that its own request waits for, and a request that gave up must leave the queue.
import { isIPv6, type LookupFunction, connect as openTcp, type Socket } from "node:net";
import { connect as openTls } from "node:tls";
import { Client, type Dispatcher } from "undici";
import {
  type AddressRule,
  createAddressRule,
  isLoopbackName,
  readTarget,
  type Target,
  WHAT_IS_ACCEPTED,
} from "./addresses.ts";
import { type BoundedMap, createBoundedMap } from "./bounded-map.ts";
import { createCall, receiveBody, receiveHeaders, settleBroken, settleFailure, settleResponse, since } from "./call.ts";
import { EgressError, type Exchange, type OutboundRequest } from "./exchange.ts";
import {
  type ActiveCall,
  assign,
  type Connection,
  drop,
  dropAll,
  expire,
  type Pool,
  type Pools,
  release,
} from "./pools.ts";
import { createResolver, type Resolver } from "./resolver.ts";

export type { Exchange, FailureCode, OutboundRequest, Timings } from "./exchange.ts";

export interface EgressOptions {
  /** Networks that may be targets although private, and over plain http. */
  allow: readonly string[];
  /** Every address of a host name; the system's resolver unless a test brings its own. */
  resolve?: (hostname: string) => Promise<string[]>;
  /** Milliseconds since the epoch, for `started_at`. Durations come from a monotonic clock. */
  now?: () => number;
  /** Connections open at the same time, over all origins. */
  max_sockets?: number;
}

export interface Egress {
  /** Performs one request; every ending, a refusal included, is an Exchange. */
  send(request: OutboundRequest): Promise<Exchange>;
  /** Null when the URL may be saved as a target, else sentences for whoever typed it. */
  check(url: string): Promise<string | null>;
  /** Closes every connection; what is still in flight ends as "aborted". Drain before. */
  close(): Promise<void>;
}

const MAX_SOCKETS = 2048;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_REMEMBERED_TARGETS = 2048;
const MAX_TLS_SESSIONS = 512;
/** Shorter than the idle limit of common servers, so that we rarely write into a connection they are closing. */
const IDLE_MS = 4_000;
/** A server may ask for more in its Keep-Alive header, up to this. */
const MAX_IDLE_MS = 60_000;
/** Per address when a name has several: long enough for a far continent, short enough to pass over a dead family. */
const ADDRESS_ATTEMPT_MS = 500;

/** @throws when `allow` holds something other than networks. */
export function createEgress(options: EgressOptions): Egress {
  const refuse = createAddressRule(options.allow);
  const gate: Gate = {
    refuse,
    plain_http: options.allow.length > 0,
    resolve: createResolver(refuse, options.resolve),
    now: options.now ?? Date.now,
    targets: createBoundedMap(MAX_REMEMBERED_TARGETS),
    tls_sessions: createBoundedMap(MAX_TLS_SESSIONS),
    pools: {
      by_origin: new Map(),
      open: (pool) => openConnection(gate, pool),
      max_sockets: options.max_sockets ?? MAX_SOCKETS,
      sockets: 0,
    },
    closed: false,
  };
  return {
    send: (request) => send(gate, request),
    check: (url) => check(gate, url),
    close: () => close(gate),
  };
}

interface Gate {
  readonly refuse: AddressRule;
  readonly plain_http: boolean;
  readonly resolve: Resolver;
  readonly now: () => number;
  readonly targets: BoundedMap<Target>;
  readonly tls_sessions: BoundedMap<Buffer>;
  readonly pools: Pools;
  closed: boolean;
}

function send(gate: Gate, request: OutboundRequest): Promise<Exchange> {
  return new Promise((resolve) => {
    const target = findTarget(gate, request.url);
    const readable = !("error" in target);
    const call: ActiveCall = createCall(request, readable ? target : NO_TARGET, gate.now(), resolve);
    if (!readable) {
      settleFailure(call, "protocol", target.error);
    } else if (gate.closed) {
      settleFailure(call, "aborted", STOPPING);
    } else {
      call.timer = setTimeout(expire, request.timeout_ms, gate.pools, call);
      assign(gate.pools, call);
    }
  });
}

async function check(gate: Gate, url: string): Promise<string | null> {
  const target = readTarget(url);
  if ("error" in target) return target.error;
  if (!target.secure && !gate.plain_http) return `Plain http is not accepted. ${WHAT_IS_ACCEPTED}.`;
  const address = target.literal ?? (isLoopbackName(target.host) ? "127.0.0.1" : null);
  if (address !== null) {
    const refusal = gate.refuse(address, target.secure);
    return refusal === null ? null : `${refusal}, is refused. ${WHAT_IS_ACCEPTED}.`;
  }
  // An https name is judged when a connection is made: today's answer says nothing about tomorrow's.
  if (target.secure) return null;
  try {
    await gate.resolve(target);
    return null;
  } catch (error) {
    // A name that cannot be found or is refused is the answer here; anything else is a bug.
    if (error instanceof EgressError) return `${error.message}. ${WHAT_IS_ACCEPTED}.`;
    throw error;
  }
}

async function close(gate: Gate): Promise<void> {
  gate.closed = true;
  await dropAll(gate.pools, STOPPING);
}

function openConnection(gate: Gate, pool: Pool): Connection {
  const client = new Client(pool.target.origin, {
    connect: (_options, callback) => openSocket(gate, connection, callback),
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: MAX_IDLE_MS,
    // The call's own deadline covers every phase.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const connection: Connection = {
    pool,
    client,
    handler: createHandler(gate, () => connection),
    call: null,
    socket: null,
    answered: 0,
    dropped: false,
  };
  // With a call waiting, the client reconnects by itself, through the same checks: the last response said "close".
  client.on("disconnect", () => {
    if (connection.call === null) drop(gate.pools, connection);
  });
  return connection;
}

/** One handler per connection, not per request: it serves one call at a time, and closures cost on the hot path. */
function createHandler(gate: Gate, own: () => Connection): Dispatcher.DispatchHandler {
  return {
    onRequestStart() {
      const { call } = own();
      if (call) call.phase = "sent";
    },
    onResponseStart(_controller, status, headers) {
      const { call } = own();
      if (call) receiveHeaders(call, status, headers);
    },
    onResponseData(_controller, chunk) {
      const connection = own();
      const { call } = connection;
      if (call === null || receiveBody(call, chunk)) return;
      settleResponse(call, true);
      drop(gate.pools, connection);
    },
    onResponseEnd() {
      const connection = own();
      if (connection.call === null) return;
      settleResponse(connection.call, false);
      connection.answered++;
      release(connection);
    },
    onResponseError(_controller, error) {
      const connection = own();
      if (connection.call === null) return;
      settleBroken(connection.call, error, connection.answered > 0);
      drop(gate.pools, connection);
    },
  };
}

type SocketCallback = (...result: [null, Socket] | [Error, null]) => void;

/** Connects, to checked addresses only. Every outbound socket of the server is made in this function. */
function openSocket(gate: Gate, connection: Connection, callback: SocketCallback): void {
  const { target } = connection.pool;
  const { call } = connection;
  // A client connects for a dispatched call only; without one the connection is being dropped.
  const refusal = call === null ? "no request is waiting" : refuseLiteral(gate, target);
  if (call === null || refusal !== null) {
    process.nextTick(callback, new EgressError("refused_address", `Refused: ${refusal}`), null);
    return;
  }
  const opened = performance.now();
  call.phase = target.literal === null ? "resolving" : "connecting";
  const tcp = {
    host: target.host,
    port: target.port,
    lookup: createLookup(gate, call),
    noDelay: true,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
  };
  const socket = target.secure ? openTls({ ...tcp, ...tlsOptions(gate, target) }) : openTcp(tcp);
  connection.socket = socket;
  let settled = false;
  function settle(error: Error | null): void {
    // undici listens too once it has the socket, so this speaks only once; the listener stays, or Node would throw.
    if (settled) return;
    settled = true;
    if (error) callback(error, null);
    else callback(null, socket);
  }
  socket.on("error", settle);
  socket.once("connect", () => {
    call.connect = since(opened) - (call.dns ?? 0);
    if (target.secure) call.phase = "securing";
    else settle(null);
  });
  if (!target.secure) return;
  socket.once("secureConnect", () => {
    call.tls = since(opened) - (call.dns ?? 0) - (call.connect ?? 0);
    settle(null);
  });
  rememberSession(gate, target.origin, socket);
}

/** Addresses skip the lookup, so this is where they are judged. */
function refuseLiteral(gate: Gate, target: Target): string | null {
  return target.literal === null ? null : gate.refuse(target.literal, target.secure);
}

/** The lookup that the socket itself uses: what it judged good is what is connected to. */
function createLookup(gate: Gate, call: ActiveCall): LookupFunction {
  const begun = performance.now();
  return (_hostname, options, found) => {
    gate.resolve(call.target).then(
      (addresses) => {
        call.phase = "connecting";
        call.dns = since(begun);
        const list = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
        if (options.all) found(null, list);
        else found(null, list[0]?.address ?? "", list[0]?.family);
      },
      (error) => found(error, []),
    );
  };
}

function tlsOptions(gate: Gate, target: Target) {
  return {
    // SNI carries names only.
    ...(target.literal === null ? { servername: target.host } : {}),
    session: gate.tls_sessions.get(target.origin),
    ALPNProtocols: ["http/1.1"],
    // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED in the environment cannot switch it off.
    rejectUnauthorized: true,
  };
}

function rememberSession(gate: Gate, origin: string, socket: Socket): void {
  socket.on("session", (session: Buffer) => {
    // Node checks no host name on a resumed session, so only a verified one may be resumed.
    if (!("authorized" in socket) || socket.authorized !== true) return;
    gate.tls_sessions.set(origin, session);
  });
}

/** Parsing a URL costs more than all else here, and targets repeat. */
function findTarget(gate: Gate, url: string): Target | { error: string } {
  const known = gate.targets.get(url);
  if (known) return known;
  const target = readTarget(url);
  if (!("error" in target)) gate.targets.set(url, target);
  return target;
}

const STOPPING = "This server is stopping";

/** Stands in for a URL that could not be read; nothing is ever sent to it. */
const NO_TARGET: Target = { origin: "", secure: true, host: "", port: 0, path: "", literal: null };
