// The receiver, a process of its own: a raw TCP server that notes event id and arrival time of every webhook and
// answers 200 with fixed bytes. Started by processes.ts; obeys its parent's messages, one reply each, and ends with
// it. It can also refuse with 503 or never answer, for the backlog scenario.
import { createServer, type Socket } from "node:net";
import { createRecorder, type EventLog } from "./event-log.ts";
import { createMessageReader, findAfter } from "./http-message.ts";
import { now } from "./measure.ts";

const OK = Buffer.from("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok");
const UNAVAILABLE = Buffer.from("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
/** Every signed webhook carries `…-signature: sha256=<hex>` in its head. */
const SIGNATURE = Buffer.from(": sha256=");

export type SinkMode = "ok" | "503" | "hang";
/** `reset` empties the log and says what to note: the `key_bytes` bytes after the first `marker` in a body. */
export type SinkCommand =
  | { do: "reset"; marker: string; key_bytes: number }
  | { do: "mode"; mode: SinkMode }
  | { do: "count" }
  | { do: "take" };
export type SinkReport = { count: number; unsigned: number; unkeyed: number; cpu_us: number; log: EventLog | null };

export type Sink = { accept: (socket: Socket) => void; command: (command: SinkCommand) => SinkReport };

export function createSink(): Sink {
  let recorder = createRecorder(0);
  let marker = [Buffer.from("?")];
  let keyBytes = 0;
  let mode: SinkMode = "ok";
  let unsigned = 0;
  let unkeyed = 0;

  function receive(bytes: Buffer, start: number, body: number, end: number): void {
    const at = now();
    const key = findAfter(bytes, marker, body, end);
    if (key < 0 || key + keyBytes > end) unkeyed += 1;
    else recorder.append(bytes, key, at);
    const signature = bytes.indexOf(SIGNATURE, start);
    if (signature < 0 || signature > body) unsigned += 1;
  }

  return {
    accept(socket) {
      socket.setNoDelay(true);
      const read = createMessageReader((bytes, start, body, end) => {
        if (mode === "ok") receive(bytes, start, body, end);
        if (mode !== "hang") socket.write(mode === "ok" ? OK : UNAVAILABLE);
      });
      socket.on("data", read);
      // The sender may drop a connection whenever it likes; what it had not sent counts as not received.
      socket.on("error", () => socket.destroy());
    },
    command(command) {
      if (command.do === "mode") mode = command.mode;
      if (command.do === "reset") {
        keyBytes = command.key_bytes;
        marker = [Buffer.from(command.marker)];
        recorder = createRecorder(keyBytes);
        unsigned = 0;
        unkeyed = 0;
      }
      const { user, system } = process.cpuUsage();
      const log = command.do === "take" ? recorder.take() : null;
      return { count: recorder.count(), unsigned, unkeyed, cpu_us: user + system, log };
    },
  };
}

if (import.meta.main) {
  const sink = createSink();
  const server = createServer(sink.accept);
  server.listen(0, "127.0.0.1", () => process.send?.(server.address()));
  // The parent's messages are typed by SinkCommand; nobody else can reach this channel.
  process.on("message", (command: SinkCommand) => process.send?.(sink.command(command)));
  process.on("disconnect", () => process.exit(0));
}
