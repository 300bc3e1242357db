// What one connection may ask for, and what is answered where there is no request to answer. Called by app.ts.
import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { log } from "../platform/log.ts";

/**
 * Requests of one connection that are under way at once, and what was read together with the last of them, which is not looked at.
 * Node stops reading when answers are not taken, but only once they are there: until then one connection made 15,000 requests of
 * the 60,000 that it had sent, with 370 MB. No client in use sends more than a few ahead of its answers.
 */
export const PIPELINED_MAX = 256;

/** Who does that does it again and again. */
const TELL_EVERY_MS = 10_000;

/** Ends connections on which more requests wait for those before them. One that sends no request ahead of an answer costs a glance. */
export function boundPipelining(server: Server): void {
  const waiting = new WeakMap<Socket, number>();
  let told_at = Number.NEGATIVE_INFINITY;

  function end(socket: Socket): void {
    if (socket.destroyed) return;
    socket.destroy();
    const at = performance.now();
    if (at - told_at < TELL_EVERY_MS) return;
    told_at = at;
    log("connection.ended", { reason: `${PIPELINED_MAX} requests were sent ahead of their answers` }, "warn");
  }

  server.prependListener("request", ({ socket }, response) => {
    // The response that is being sent has the socket; those behind it wait for it.
    if (response.socket !== null) return;
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    if (count >= PIPELINED_MAX) end(socket);
    response.once("close", () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
  });
}

/** For what is not even HTTP, or came too slowly: there is no request to answer by, only a socket. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  // Bytes behind a request that said it was the last: they are no request, and its answer is still to come (RFC 9112, 9.6). It
  // ends the connection, so who goes on sending may still lose it.
  if (error.code === "HPE_CLOSED_CONNECTION") return;
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const [status, code, message] = describeBroken(error.code);
  const body = JSON.stringify({ error: code, message, request_id: `req_${randomBytes(6).toString("hex")}` });
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\nx-content-type-options: nosniff\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
}

function describeBroken(code: string | undefined): [string, string, string] {
  if (code === "HPE_HEADER_OVERFLOW")
    return ["431 Request Header Fields Too Large", "too_large", "The headers are larger than 16 KiB."];
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return ["408 Request Timeout", "invalid_request", "The request came too slowly."];
  return ["400 Bad Request", "invalid_request", "This is not a valid HTTP/1.1 request."];
}
