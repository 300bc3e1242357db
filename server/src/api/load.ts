// How much of requests the server takes in at a time. A request weighs what its body does, from its head until it is
// answered: parsed, composed and on its way to the database thread a body is in memory several times, so the sum of all
// is what has to be bounded. Beyond it a request is refused before its body is read. Called by bind.ts for every route.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Scope } from "#contract/route.ts";
import { unavailable } from "../errors.ts";

/**
 * Bodies of callers with a token. Measured with 300 calls of 0.8 MB at once beside a locked database: the process grows by
 * 150 to 280 MiB, and without a limit by 1,100 MiB.
 */
export const BODIES_MAX_BYTES = 16 * 1024 * 1024;
/** Bodies of anybody, kept apart so that a stranger cannot take the room of ingest. */
export const PUBLIC_BODIES_MAX_BYTES = 8 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 1;

export interface Load {
  /**
   * Counts a request until its answer is out or its connection is gone.
   * @throws AppError temporarily_unavailable when there is no room for its body
   */
  enter(scope: Scope, request: IncomingMessage, response: ServerResponse): void;
}

/** @param body_max_bytes what a body weighs whose length is not told */
export function createLoad(body_max_bytes: number): Load {
  const known = { bytes: 0, max: BODIES_MAX_BYTES };
  const strangers = { bytes: 0, max: PUBLIC_BODIES_MAX_BYTES };

  function enter(scope: Scope, request: IncomingMessage, response: ServerResponse): void {
    const weight = weightOf(request, body_max_bytes);
    if (weight === 0) return;
    const held = scope === "public" || scope === "sdk" ? strangers : known;
    if (held.bytes + weight > held.max) {
      // The body that is still coming is nobody's, so nothing may follow it.
      response.setHeader("connection", "close");
      throw unavailable(
        "The server has as much work as it can hold. Send the same request again.",
        RETRY_AFTER_SECONDS,
      );
    }
    held.bytes += weight;
    response.once("close", () => {
      held.bytes -= weight;
    });
  }

  return { enter };
}

/** In bytes. What is longer than a body may be is refused for that, and not read either. */
function weightOf({ headers }: IncomingMessage, body_max_bytes: number): number {
  if (headers["transfer-encoding"] !== undefined) return body_max_bytes;
  const length = headers["content-length"];
  return length === undefined ? 0 : Math.min(Number(length), body_max_bytes);
}
