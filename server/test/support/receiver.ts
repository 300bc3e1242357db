// A real HTTP receiver on a loopback port, for tests that look at what the product sends: it keeps every request with its
// raw body and answers as it is told, hanging up or never answering included.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { waitUntil } from "./wait.ts";

const BODY_MAX_BYTES = 32 * 1024 * 1024;

export interface ReceivedRequest {
  method: string;
  /** Path and query, as sent. */
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  at: Date;
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** "hang" never answers; "reset" closes the connection instead of answering. */
export type Answer = Reply | "hang" | "reset";
export type Answerer = (request: ReceivedRequest) => Answer | Promise<Answer>;

export interface Receiver {
  url: string;
  /** Every request so far, oldest first. */
  received: ReceivedRequest[];
  /** Resolves with all requests when there are at least so many, or when the predicate holds for them. */
  waitFor(wanted: number | ((received: ReceivedRequest[]) => boolean), what?: string): Promise<ReceivedRequest[]>;
  setAnswer(answer: Answerer): void;
  close(): Promise<void>;
}

/** Starts a receiver that answers 200 with an empty body unless `answer` says otherwise. */
export async function startReceiver(answer: Answerer = () => ({})): Promise<Receiver> {
  let current = answer;
  const received: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    receive(request)
      .then(async (kept) => {
        received.push(kept);
        send(response, await current(kept));
      })
      // An answer that throws, or a request that breaks off, must look like a broken receiver and not end the test process.
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    async waitFor(wanted, what = typeof wanted === "number" ? `${wanted} requests` : "the expected requests") {
      const isMet = () => (typeof wanted === "number" ? received.length >= wanted : wanted(received));
      await waitUntil(isMet, `${what} to arrive at the receiver`).catch((error: Error) => {
        const list = received.map(({ method, path }) => `${method} ${path}`).join(", ");
        throw new Error(`${error.message} It has ${received.length}: ${list}`);
      });
      return received;
    },
    setAnswer(next) {
      current = next;
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function receive(request: IncomingMessage): Promise<ReceivedRequest> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_MAX_BYTES) throw new Error(`a request body over ${BODY_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const { method = "", url: path = "", headers } = request;
  return { method, path, headers, body: Buffer.concat(chunks), at: new Date() };
}

function send(response: ServerResponse, answer: Answer): void {
  if (answer === "hang") return;
  if (answer === "reset") {
    response.socket?.resetAndDestroy();
    return;
  }
  response.writeHead(answer.status ?? 200, answer.headers);
  response.end(answer.body);
}
