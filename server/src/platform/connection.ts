// One outbound connection: writes its call's request, reads the response, and says what broke. Used by the egress gate,
// which alone opens sockets; pools.ts decides which call a connection gets. No request leaves before what its server has
// already sent is seen: a connection that was closed meanwhile gives its call to another one instead of losing it.
import type { Socket } from "node:net";
import { peerOf, receiveBody, receiveHeaders, settleBroken, settleResponse } from "./call.ts";
import { EgressError, keepHeaders, PLAIN_HTTP } from "./exchange.ts";
import { type ActiveCall, assign, type Connection, distrust, drop, type Pool, type Pools, release } from "./pools.ts";
import { createResponseReader, type ReadTrouble } from "./response-reader.ts";

export interface Connections {
  open(pool: Pool): Connection;
  /** Sends what the connection was given: connects first, or waits for the rest of this round of the event loop. */
  send(connection: Connection): void;
}

export interface ConnectionsOptions {
  pools(): Pools;
  /** Opens the connection's socket for its first call, and reports through `attach`, `ready` and `fail`. */
  connect(connection: Connection, call: ActiveCall): void;
}

export function createConnections({ pools, connect }: ConnectionsOptions): Connections {
  /** Connections whose request leaves when the sockets that are readable now have been read. */
  let outbox: Connection[] = [];

  function open(pool: Pool): Connection {
    // The reader gives the same map for the same head.
    let seen: ReadonlyMap<string, string> | null = null;
    let kept: Readonly<Record<string, string>> = {};
    const connection: Connection = {
      pool,
      reader: createResponseReader({
        headers(status, headers) {
          if (headers !== seen) kept = keepHeaders(headers);
          seen = headers;
          if (connection.call !== null) receiveHeaders(connection.call, status, kept);
        },
        data: (piece) => keep(pools(), connection, piece),
        end: (rest_ms) => complete(pools(), connection, rest_ms),
      }),
      ...{ call: null, socket: null, connected: false, answered: 0, rests_until: 0, dropped: false },
    };
    return connection;
  }

  function send(connection: Connection): void {
    const { call, socket, connected } = connection;
    if (call === null) return;
    if (socket === null) connect(connection, call);
    else if (connected && outbox.push(connection) === 1) setImmediate(flush);
  }

  function flush(): void {
    const leaving = outbox;
    outbox = [];
    for (const connection of leaving) write(connection);
  }

  return { open, send };
}

/** To be called once, with the socket that was made for the connection. */
export function attach(pools: Pools, connection: Connection, socket: Socket): void {
  connection.socket = socket;
  // The listener stays, or Node would throw what comes after the end of the connection.
  socket.on("error", (error) => fail(pools, connection, error));
  socket.on("end", () => {
    connection.reader.finish();
    fail(pools, connection, null);
  });
  socket.on("close", () => fail(pools, connection, null));
}

/** The socket is connected, and secured where that is asked for. */
export function ready(connection: Connection): void {
  connection.connected = true;
  write(connection);
}

/** Reads what arrived; the bytes are only lent. */
export function receive(pools: Pools, connection: Connection, bytes: Buffer): void {
  if (connection.dropped) return;
  const trouble = connection.reader.read(bytes);
  if (trouble !== null) fail(pools, connection, describe(trouble, connection));
}

/** The connection is of no more use. Without an error the server closed it. */
export function fail(pools: Pools, connection: Connection, error: unknown): void {
  if (connection.dropped) return;
  const { call, answered } = connection;
  const is_unsent = connection.connected && call?.phase === "waiting";
  if (call !== null && !is_unsent) {
    const closed = new EgressError("reset", `${peerOf(call)} closed the connection before it answered`);
    if (answered > 0 && call.phase === "sent") distrust(pools, connection.pool);
    settleBroken(call, error ?? closed, answered > 0);
  }
  drop(pools, connection);
  // Nothing of it was sent, so nothing can happen twice.
  if (call !== null && is_unsent) {
    call.connection = null;
    assign(pools, call);
  }
}

function write({ socket, call, reader, dropped }: Connection): void {
  if (dropped || socket === null || call === null || call.settled) return;
  const { head, body } = call.bytes;
  call.phase = "sent";
  reader.expect(call.request.method);
  if (body === null) {
    socket.write(head, "utf8");
    return;
  }
  socket.cork();
  socket.write(head, "latin1");
  socket.write(body);
  socket.uncork();
}

function keep(pools: Pools, connection: Connection, piece: Buffer): boolean {
  const { call } = connection;
  if (call !== null && receiveBody(call, piece)) return true;
  if (call !== null) settleResponse(call, true);
  drop(pools, connection);
  return false;
}

function complete(pools: Pools, connection: Connection, rest_ms: number): void {
  const { call } = connection;
  if (call === null) return;
  settleResponse(call, false);
  connection.answered++;
  // A peer that answered before it had the whole request may never read the rest: the next call would wait behind it.
  const is_sent = connection.socket?.writableLength === 0;
  release(pools, connection, is_sent ? rest_ms : 0);
}

function describe(trouble: ReadTrouble, { call }: Connection): EgressError | null {
  if (call === null) return null;
  const what: Record<ReadTrouble, string> = {
    // Such as the alert of a port that speaks TLS.
    syntax: `answered with something other than HTTP/1.1${call.target.secure ? "" : `; ${PLAIN_HTTP}`}`,
    headers_too_large: "sent more response headers than this server reads",
    unasked: "answered out of turn",
  };
  return new EgressError("protocol", `${peerOf(call)} ${what[trouble]}`);
}
