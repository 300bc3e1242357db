// How much of requests the server takes in at a time. A request weighs what has come of its body, until it is answered:
// parsed, composed and on its way to the database thread a body is in memory several times, so the sum of all is what has to
// be bounded. Beyond it a request is refused in the midst of its body. Nobody may hold all of it: not with large bodies, and
// not with slow ones, which weigh no more than what they have sent. Called by bind.ts for every route.
import type { IncomingMessage, ServerResponse } from "node:http";
import { unavailable } from "../errors.ts";

/** Of one request; more is answered 413. */
export const BODY_MAX_BYTES = 1024 * 1024;
/**
 * Bodies of callers with a token. Measured with 300 calls of 0.8 MB at once beside a locked database: the process grows by
 * 150 to 280 MiB, and without a limit by 1,100 MiB.
 */
export const BODIES_MAX_BYTES = 16 * 1024 * 1024;
/** Of these, what one app may hold, or the operator. */
export const APP_BODIES_MAX_BYTES = 8 * 1024 * 1024;
/** Bodies of anybody, kept apart so that strangers cannot take the room of ingest, and what one address may hold. */
export const PUBLIC_BODIES_MAX_BYTES = 8 * 1024 * 1024;
export const ADDRESS_BODIES_MAX_BYTES = 1024 * 1024;
const RETRY_AFTER_SECONDS = 1;

/** Whose share a body is counted to. */
export type Caller = { kind: "app"; id: string } | { kind: "address"; id: string };

export interface Load {
  /** Counts the body of a request as it comes, until the answer is out or the connection gone; fails it beyond the limits. */
  watch(caller: Caller, request: IncomingMessage, response: ServerResponse): void;
}

interface Room {
  readonly max: number;
  readonly share_max: number;
  bytes: number;
  /** What each caller holds, as long as that is anything. */
  readonly shares: Map<string, number>;
}

export function createLoad(): Load {
  const rooms: Record<Caller["kind"], Room> = {
    app: { max: BODIES_MAX_BYTES, share_max: APP_BODIES_MAX_BYTES, bytes: 0, shares: new Map() },
    address: { max: PUBLIC_BODIES_MAX_BYTES, share_max: ADDRESS_BODIES_MAX_BYTES, bytes: 0, shares: new Map() },
  };

  function watch({ kind, id }: Caller, request: IncomingMessage, response: ServerResponse): void {
    const { headers } = request;
    if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) return;
    const room = rooms[kind];
    let weight = 0;
    const letGo = () => {
      hold(room, id, -weight);
      weight = 0;
    };
    request.on("data", (chunk: Buffer) => {
      // Who reads a body listens for its errors. One that nobody reads, because its method has none or because it was refused,
      // is dropped as it comes, and an error that nobody listens for would end the process.
      if (response.headersSent || request.listenerCount("error") === 0) return letGo();
      weight += chunk.length;
      hold(room, id, chunk.length);
      // One that is too large by itself gets 413 from its reader: a 503 would let it come again.
      if (weight > BODY_MAX_BYTES) return;
      if (room.bytes <= room.max && (room.shares.get(id) ?? 0) <= room.share_max) return;
      letGo();
      const message = "The server has as much work as it can hold. Send the same request again.";
      request.emit("error", unavailable(message, RETRY_AFTER_SECONDS));
    });
    // The answer is out, or nobody is there to take it.
    for (const end of ["finish", "close"]) response.once(end, letGo);
  }

  return { watch };
}

function hold(room: Room, id: string, bytes: number): void {
  room.bytes += bytes;
  const share = (room.shares.get(id) ?? 0) + bytes;
  if (share === 0) room.shares.delete(id);
  else room.shares.set(id, share);
}
