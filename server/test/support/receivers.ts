// Servers on the loopback interface for tests that need a real peer: scripted down to the byte, or plain HTTP.
// Every server and every open socket is closed when its test ends.
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import type { KeyPair } from "./tls-keys.ts";

/** Answers like `node:http` does; returns the port. */
export function listenHttp(t: TestContext, listener: RequestListener): Promise<number> {
  return listen(t, createHttpServer({ keepAliveTimeout: 60_000 }, listener));
}

/** Calls `serve` with each socket once the request's head has arrived. Returns the port. */
export function listenRaw(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  return listen(
    t,
    createTcpServer((socket) => answer(socket, serve)),
  );
}

export function listenTls(t: TestContext, pair: KeyPair, serve: (socket: Socket) => void): Promise<number> {
  return listen(
    t,
    createTlsServer(pair, (socket) => answer(socket, serve)).on("tlsClientError", () => {}),
  );
}

/** A port on which nothing listens any more. */
export async function findClosedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind
  await new Promise((closed) => server.close(closed));
  return port;
}

function answer(socket: Socket, serve: (socket: Socket) => void): void {
  socket.on("error", () => {});
  let head = "";
  socket.on("data", (chunk) => {
    head += chunk.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    head = "";
    serve(socket);
  });
}

async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  t.after(async () => {
    const closed = new Promise((done) => server.close(done));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind
  return port;
}
