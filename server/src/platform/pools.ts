// Which connection carries which call: one pool per origin and owner, bounded in sockets and in waiting calls.
// Used by the egress gate only, which makes the connections and reports what happens on them.
// A connection serves one call at a time and is reused only after a complete response; a call that ends leaves the queue.
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Target } from "./addresses.ts";
import { type BoundedMap, createBoundedMap } from "./bounded-map.ts";
import { type Call, settleFailure, settleLate } from "./call.ts";
import { append, createLinkedList, type LinkedList, type Listed, remove, takeFirst } from "./linked-list.ts";
import type { ResponseReader } from "./response-reader.ts";

const CONNECTIONS_DEFAULT = 64;
const WAITING_MAX = 1024;
/** For so long connections of a pool serve one request each after a kept one was closed with a request on it. */
export const UNKEPT_MS = 10_000;
const UNKEPT_MAX = 1_000;

export interface Pools {
  readonly by_key: Map<string, Pool>;
  /** Makes a connection, which connects when its first call is sent. */
  readonly open: (pool: Pool) => Connection;
  /** Sends the call that the connection was given. */
  readonly send: (connection: Connection) => void;
  readonly max_sockets: number;
  sockets: number;
  /** By the key of a pool: until when nothing is kept open, in milliseconds of the monotonic clock. */
  readonly unkept_until: BoundedMap<number>;
}

export function createUnkept(): Pools["unkept_until"] {
  return createBoundedMap(UNKEPT_MAX);
}

/** All connections of one owner to one origin, and the requests that wait for one. */
export interface Pool {
  readonly key: string;
  readonly target: Target;
  readonly open: Set<Connection>;
  /** Last in, first out: the busiest connections stay warm and the rest grow idle. */
  readonly idle: Connection[];
  readonly waiting: LinkedList<ActiveCall>;
}

/** Serves one request at a time. After anything but a complete response it is dropped, never reused. */
export interface Connection {
  readonly pool: Pool;
  readonly reader: ResponseReader;
  call: ActiveCall | null;
  /** Null until its first call is sent. */
  socket: Socket | null;
  /** Connected, and secured where that is asked for. */
  connected: boolean;
  answered: number;
  /** While idle: when it has rested for too long, in milliseconds of the monotonic clock. */
  rests_until: number;
  dropped: boolean;
}

export interface ActiveCall extends Call<Connection>, Listed<ActiveCall> {}

/** Gives the call a connection: an idle one, else a new one within the bounds, else a place in the queue. */
export function assign(pools: Pools, call: ActiveCall): void {
  const pool = findPool(pools, call);
  const idle = pool.idle.pop();
  const limit = Math.max(1, call.request.connections ?? CONNECTIONS_DEFAULT);
  if (idle) {
    run(pools, idle, call);
  } else if (pool.open.size < limit && makeRoom(pools)) {
    pools.sockets++;
    const connection = pools.open(pool);
    pool.open.add(connection);
    run(pools, connection, call);
  } else if (pool.open.size > 0 && pool.waiting.size < WAITING_MAX) {
    append(pool.waiting, call);
  } else {
    const cause =
      pool.open.size > 0
        ? `${WAITING_MAX} requests to this receiver wait for a connection already`
        : "This server has as many connections open as it allows itself, and all are busy";
    forgetPool(pools, pool);
    settleFailure(call, "connect", `${cause}; nothing was sent`);
  }
}

function run(pools: Pools, connection: Connection, call: ActiveCall): void {
  connection.call = call;
  call.connection = connection;
  pools.send(connection);
}

/** After a complete response: the next waiting request goes out, else the connection rests for so long. */
export function release(pools: Pools, connection: Connection, rest_ms: number): void {
  const { pool } = connection;
  connection.call = null;
  if (rest_ms === 0 || isUnkept(pools, pool)) {
    drop(pools, connection);
    return;
  }
  const next = takeFirst(pool.waiting);
  if (next) {
    run(pools, connection, next);
    return;
  }
  connection.rests_until = performance.now() + rest_ms;
  pool.idle.push(connection);
}

function isUnkept({ unkept_until }: Pools, { key }: Pool): boolean {
  const until = unkept_until.get(key);
  return until !== undefined && performance.now() < until;
}

/**
 * A request that had left was lost with a connection that an earlier answer had promised to keep. Some receivers promise that and
 * close each time; then every request but the first would be such an attempt. Those that rest now were promised the same.
 */
export function distrust(pools: Pools, { key, idle }: Pool): void {
  pools.unkept_until.set(key, performance.now() + UNKEPT_MS);
  for (const connection of [...idle]) drop(pools, connection);
}

/** Closes the connections that have rested for too long: their servers are about to. */
export function dropRested(pools: Pools): void {
  const now = performance.now();
  for (const pool of pools.by_key.values()) {
    for (const connection of pool.idle.filter(({ rests_until }) => rests_until <= now)) drop(pools, connection);
  }
}

/** Ends a connection for good, and lets a waiting request open another. */
export function drop(pools: Pools, connection: Connection): void {
  if (connection.dropped) return;
  connection.dropped = true;
  connection.call = null;
  pools.sockets--;
  const { pool } = connection;
  pool.open.delete(connection);
  const place = pool.idle.indexOf(connection);
  if (place !== -1) pool.idle.splice(place, 1);
  connection.socket?.destroy();
  // Usually one round: it opens the connection that the others will share. More only when none could be opened.
  do {
    const next = takeFirst(pool.waiting);
    if (next) assign(pools, next);
  } while (pool.open.size === 0 && pool.waiting.size > 0);
  forgetPool(pools, pool);
}

/** The deadline of a call passed, wherever it stands. */
export function expire(pools: Pools, call: ActiveCall): void {
  settleLate(call);
  if (call.connection) drop(pools, call.connection);
  else {
    const pool = pools.by_key.get(keyOf(call));
    if (pool) remove(pool.waiting, call);
  }
}

/** Ends every call with this reason and every connection; resolves when the sockets are gone. */
export async function dropAll(pools: Pools, reason: string): Promise<void> {
  const connections: Connection[] = [];
  for (const pool of pools.by_key.values()) {
    for (let call = takeFirst(pool.waiting); call !== null; call = takeFirst(pool.waiting)) {
      settleFailure(call, "aborted", reason);
    }
    connections.push(...pool.open);
  }
  for (const connection of connections) {
    if (connection.call) settleFailure(connection.call, "aborted", reason);
    drop(pools, connection);
  }
  await Promise.all(connections.map(({ socket }) => (socket === null || socket.closed ? null : once(socket, "close"))));
}

function keyOf({ target, request }: ActiveCall): string {
  return request.owner === undefined ? target.origin : `${target.origin} ${request.owner}`;
}

function findPool(pools: Pools, call: ActiveCall): Pool {
  const key = keyOf(call);
  const known = pools.by_key.get(key);
  if (known) return known;
  const pool: Pool = { key, target: call.target, open: new Set(), idle: [], waiting: createLinkedList() };
  pools.by_key.set(key, pool);
  return pool;
}

function forgetPool(pools: Pools, pool: Pool): void {
  if (pool.open.size === 0 && pool.waiting.size === 0) pools.by_key.delete(pool.key);
}

/** At the limit an idle connection of any pool gives way; false when all are busy. */
function makeRoom(pools: Pools): boolean {
  if (pools.sockets < pools.max_sockets) return true;
  for (const pool of pools.by_key.values()) {
    const idle = pool.idle[0];
    if (idle) {
      drop(pools, idle);
      return true;
    }
  }
  return false;
}
