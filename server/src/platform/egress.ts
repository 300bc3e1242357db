// The one gate through which the server opens outbound connections: every delivery, check and vendor call passes here.
// Called by the dispatcher and by the API's checks. Resolved addresses are judged when the connection is made, all of
// them, and exactly those are connected to, so a name that changes its mind (DNS rebinding) is refused; redirects and
// proxies are never followed; sockets, waiting requests, bodies, headers and time are bounded. `send` never rejects.
// What goes over a connection is written and read by our own code (request-text.ts, response-reader.ts), for it is the
// product's hottest path; why no library does it is told in ADR 14.
import { isIPv6, type LookupFunction, connect as openTcp, type Socket } from "node:net";
import { connect as openTls } from "node:tls";
import { WHAT_IS_ACCEPTED } from "#contract/target-url.ts";
import { type AddressRule, createAddressRule, isLoopbackName, readTarget, type Target } from "./addresses.ts";
import { type BoundedMap, createBoundedMap } from "./bounded-map.ts";
import { createCall, settleFailure, since } from "./call.ts";
import { attach, createConnections, fail, ready, receive } from "./connection.ts";
import { EgressError, type Exchange, type OutboundRequest } from "./exchange.ts";
import {
  type ActiveCall,
  assign,
  type Connection,
  createUnkept,
  dropAll,
  dropRested,
  expire,
  type Pools,
} from "./pools.ts";
import { createRequestWriter, type RequestBytes, type WriteRequest } from "./request-text.ts";
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
  /** The same as far as no name has to be looked up. */
  checkAtOnce(url: string): string | null;
  /** Closes every connection; what is still in flight ends as "aborted". Drain before. */
  close(): Promise<void>;
}

const MAX_SOCKETS = 2048;
const MAX_REMEMBERED_TARGETS = 2048;
const MAX_TLS_SESSIONS = 512;
/** How often connections are looked at that may have rested for too long. */
const REST_CHECK_MS = 1_000;
/** What is read of a socket at once; all sockets share the buffer, for what arrives is read before the next one is. */
const READ_BUFFER_BYTES = 64 * 1024;
/** Per address when a name has several: long enough for a far continent, short enough to pass over a dead family. */
const ADDRESS_ATTEMPT_MS = 500;

/** @throws when `allow` holds something other than networks. */
export function createEgress(options: EgressOptions): Egress {
  const refuse = createAddressRule(options.allow);
  const connections = createConnections({
    pools: () => gate.pools,
    connect: (connection, call) => openSocket(gate, connection, call),
  });
  const gate: Gate = {
    refuse,
    write: createRequestWriter(),
    plain_http: options.allow.length > 0,
    resolve: createResolver(refuse, options.resolve),
    now: options.now ?? Date.now,
    targets: createBoundedMap(MAX_REMEMBERED_TARGETS),
    tls_sessions: createBoundedMap(MAX_TLS_SESSIONS),
    read_buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
    pools: {
      by_key: new Map(),
      ...connections,
      max_sockets: options.max_sockets ?? MAX_SOCKETS,
      sockets: 0,
      unkept_until: createUnkept(),
    },
    resting: setInterval(() => dropRested(gate.pools), REST_CHECK_MS).unref(),
    closed: false,
  };
  return {
    send: (request) => send(gate, request),
    check: (url) => check(gate, url),
    checkAtOnce: (url) => checkAtOnce(gate, readTarget(url)),
    close: () => close(gate),
  };
}

interface Gate {
  readonly refuse: AddressRule;
  readonly write: WriteRequest;
  readonly plain_http: boolean;
  readonly resolve: Resolver;
  readonly now: () => number;
  readonly targets: BoundedMap<Target>;
  readonly tls_sessions: BoundedMap<Buffer>;
  readonly read_buffer: Buffer;
  readonly pools: Pools;
  readonly resting: NodeJS.Timeout;
  closed: boolean;
}

function send(gate: Gate, request: OutboundRequest): Promise<Exchange> {
  return new Promise((resolve) => {
    const found = findTarget(gate, request.url);
    const target = "error" in found ? NO_TARGET : found;
    const written = "error" in found ? found.error : gate.write(found, request);
    const bytes = typeof written === "string" ? NOTHING : written;
    const call: ActiveCall = createCall({ request, target, bytes }, gate.now(), resolve);
    if (gate.closed) settleFailure(call, "aborted", STOPPING);
    else if (typeof written === "string") settleFailure(call, "protocol", written);
    else {
      call.timer = setTimeout(expire, request.timeout_ms, gate.pools, call);
      assign(gate.pools, call);
    }
  });
}

async function check(gate: Gate, url: string): Promise<string | null> {
  const target = readTarget(url);
  const problem = checkAtOnce(gate, target);
  if (problem !== null || "error" in target || addressOf(target) !== null) return problem;
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

function checkAtOnce(gate: Gate, target: Target | { error: string }): string | null {
  if ("error" in target) return target.error;
  const address = addressOf(target);
  const refusal = address === null ? null : gate.refuse(address, target.secure, target.host);
  if (refusal !== null) return `${refusal}, is refused. ${WHAT_IS_ACCEPTED}.`;
  if (target.secure || gate.plain_http) return null;
  return `Plain http is not accepted, unless the setting LINKME_EGRESS_ALLOW names the network: that of ${target.host}, or, for a receiver on this machine, start the server again with LINKME_EGRESS_ALLOW=127.0.0.0/8. ${WHAT_IS_ACCEPTED}.`;
}

/** Where no name has to be looked up. */
function addressOf({ literal, host }: Target): string | null {
  return literal ?? (isLoopbackName(host) ? "127.0.0.1" : null);
}

async function close(gate: Gate): Promise<void> {
  gate.closed = true;
  clearInterval(gate.resting);
  await dropAll(gate.pools, STOPPING);
}

/** Connects, to checked addresses only. Every outbound socket of the server is made in this function. */
function openSocket(gate: Gate, connection: Connection, call: ActiveCall): void {
  const { pools } = gate;
  const { target } = connection.pool;
  const refusal = refuseLiteral(gate, target);
  if (refusal !== null) {
    // Later, so that a thousand calls that wait for this origin are not refused inside each other.
    process.nextTick(fail, pools, connection, new EgressError("refused_address", `Refused: ${refusal}`));
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
    onread: {
      buffer: gate.read_buffer,
      callback(size: number): boolean {
        receive(pools, connection, gate.read_buffer.subarray(0, size));
        return true;
      },
    },
  };
  const socket = target.secure ? openTls({ ...tcp, ...tlsOptions(gate, target) }) : openTcp(tcp);
  attach(pools, connection, socket);
  socket.once("connect", () => {
    call.connect = since(opened) - (call.dns ?? 0);
    if (target.secure) call.phase = "securing";
    else ready(connection);
  });
  if (!target.secure) return;
  socket.once("secureConnect", () => {
    call.tls = since(opened) - (call.dns ?? 0) - (call.connect ?? 0);
    ready(connection);
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

const NOTHING: RequestBytes = { head: "", body: null };
/** Stands in for a URL that could not be read; nothing is ever sent to it. */
const NO_TARGET: Target = { origin: "", secure: true, host: "", port: 0, path: "", literal: null };
