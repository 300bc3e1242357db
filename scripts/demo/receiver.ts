// The demo's receiver, a process of its own: the few lines that every receiver needs around the SDK. Started by
// receiver-process.ts, told the secret over the channel, and reports each request there before it answers. Ends when the
// channel closes, however its parent ended.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ENVELOPE_MAX_BYTES } from "#contract/events.ts";
import { createReception, type Receipt, type Reception } from "./reception.ts";

export type ToReceiver = { kind: "secret"; secret: string } | { kind: "stop" };
export type FromReceiver =
  | { kind: "listening"; url: string }
  | { kind: "armed" }
  | { kind: "receipt"; receipt: Receipt };

const WEBHOOK_PATH = "/webhooks";
/** Far more than the demo makes; a server that loops must not fill the parent's memory. */
const RECEIPTS_MAX = 1_000;
const REQUEST_TIMEOUT_MS = 10_000;

if (import.meta.main) start();

function start(): void {
  let reception: Reception | undefined;
  let count = 0;
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, async (request, response) => {
    const raw = await readBody(request);
    if (raw === null) return answer(response, 413);
    if (reception === undefined || request.method !== "POST" || request.url !== WEBHOOK_PATH) {
      return answer(response, 404);
    }
    count += 1;
    if (count > RECEIPTS_MAX) return answer(response, 410);
    const receipt = reception(request.headers, raw, performance.timeOrigin + performance.now());
    await report({ kind: "receipt", receipt });
    answer(response, receipt.status);
  });

  process.on("message", (message: ToReceiver) => {
    if (message.kind === "stop") return process.disconnect();
    reception = createReception(message.secret);
    void report({ kind: "armed" });
  });
  process.on("disconnect", () => process.exit(0));
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind
    void report({ kind: "listening", url: `http://127.0.0.1:${port}${WEBHOOK_PATH}` });
  });
}

/** Null when it is longer than any envelope can be, or was not sent to its end. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > ENVELOPE_MAX_BYTES) return null;
      chunks.push(chunk);
    }
  } catch {
    // The sender went away; it has no use for an answer.
    return null;
  }
  return Buffer.concat(chunks);
}

function answer(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "text/plain", connection: status === 413 ? "close" : "keep-alive" });
  response.end(status === 503 ? "busy, please try again" : String(status));
}

/** Resolves when the channel has it, so that the parent knows of a request before its sender has the answer. */
function report(message: FromReceiver): Promise<void> {
  return new Promise((sent) => {
    if (!process.connected) return sent();
    process.send?.(message, () => sent());
  });
}
