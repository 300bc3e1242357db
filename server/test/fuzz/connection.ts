// One connection on which requests are sent as bytes, and what comes back is read as far as the end of an answer. What is
// sent need not be HTTP, so no client does. Called by fuzz.ts.
import { connect, type Socket } from "node:net";

const ANSWER_MAX_BYTES = 8 * 1024 * 1024;
const BODILESS = new Set([204, 304]);

/** How a request ended. */
export type Ending =
  | { kind: "answered"; status: number; head: string }
  /** The connection ended before an answer was whole. */
  | { kind: "closed" }
  /** Nothing more came for as long as it was waited. */
  | { kind: "hung"; received: string };

export interface Connection {
  send(bytes: Buffer, method: string, is_broken: boolean): Promise<Ending>;
  close(): void;
}

/** Connects when it has to: again after each answer with which the server, or a broken request, ended a connection. */
export function createConnection(port: number, deadline_ms: number): Connection {
  let socket: Socket | null = null;

  function open(): Socket {
    const opened = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    // The ending says what became of it.
    opened.on("error", () => {});
    opened.once("close", () => {
      if (socket === opened) socket = null;
    });
    return opened;
  }

  function drop(): void {
    socket?.destroy();
    socket = null;
  }

  async function send(bytes: Buffer, method: string, is_broken: boolean): Promise<Ending> {
    if (socket === null || socket.destroyed) socket = open();
    const ending = await exchange(socket, { bytes, method, is_broken, deadline_ms });
    const stays = ending.kind === "answered" && !is_broken && !/^connection: close/im.test(ending.head);
    if (!stays) drop();
    return ending;
  }

  return { send, close: drop };
}

interface Exchange {
  bytes: Buffer;
  method: string;
  is_broken: boolean;
  deadline_ms: number;
}

function exchange(socket: Socket, { bytes, method, is_broken, deadline_ms }: Exchange): Promise<Ending> {
  return new Promise((resolve) => {
    let received: Buffer = Buffer.alloc(0);
    const end = (ending: Ending) => {
      clearTimeout(timer);
      socket.off("data", take).off("end", closed).off("close", closed);
      resolve(ending);
    };
    const closed = () => end(readAnswer(received, method, true) ?? { kind: "closed" });
    const take = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const answer = readAnswer(received, method, false);
      if (answer !== null) end(answer);
      else if (received.length > ANSWER_MAX_BYTES) end({ kind: "hung", received: "an answer without an end" });
    };
    const timer = setTimeout(() => end({ kind: "hung", received: received.toString("latin1", 0, 500) }), deadline_ms);
    socket.on("data", take).once("end", closed).once("close", closed);
    socket.write(bytes);
    // Of a broken request the server is told that nothing more comes.
    if (is_broken) socket.end();
  });
}

/** The first answer that is not an interim one, once it is whole; a stream without end counts from its head on. */
function readAnswer(received: Buffer, method: string, is_closed: boolean): Ending | null {
  const head_end = received.indexOf("\r\n\r\n");
  if (head_end < 0) return null;
  const head = received.toString("latin1", 0, head_end);
  if (!head.startsWith("HTTP/1.1 ")) return { kind: "answered", status: 0, head };
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  const body = received.subarray(head_end + 4);
  if (status >= 100 && status < 200) return readAnswer(body, method, is_closed);
  const answered: Ending = { kind: "answered", status, head };
  if (method === "HEAD" || BODILESS.has(status)) return answered;
  // Its connection is of no more use.
  if (/^content-type: text\/event-stream/im.test(head)) return { ...answered, head: `${head}\r\nconnection: close` };
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  if (length !== undefined) return body.length >= Number(length) ? answered : null;
  if (/^transfer-encoding: chunked/im.test(head)) return body.includes("0\r\n\r\n") ? answered : null;
  return is_closed ? answered : null;
}
