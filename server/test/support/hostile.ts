// Receivers that behave badly on the wire, each as what it does with a connection once a request has come, and what the
// product must make of it. Read by the suite of hostile receivers.
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { gzipSync } from "node:zlib";
import type { FailureCode, OutcomeKind } from "#contract/deliveries.ts";
import { elsewhere_pair, expired_pair, type KeyPair, untrusted_pair } from "./tls-keys.ts";

export interface Hostile {
  title: string;
  /** Called with the head of each request; absent: the port is closed. */
  answer?: (socket: Socket) => void;
  /** A server of TLS with this certificate. */
  tls?: KeyPair;
  /** The URL says https, whatever listens. */
  is_https?: boolean;
  state: "succeeded" | "pending" | "failed";
  outcome: OutcomeKind;
  status?: number;
  cause?: FailureCode;
  error?: RegExp;
  next_step?: RegExp;
  truncated?: boolean;
  /** The webhook's, where it is not the suite's. */
  timeout_ms?: number;
  /** Seconds to the next attempt, at least and at most. */
  delay_seconds?: readonly [number, number];
}

/** The schedule of every webhook of the suite, and its bounds with jitter. */
export const DELAY_SECONDS = 100;
const USUAL_DELAY: readonly [number, number] = [DELAY_SECONDS * 0.8 - 1, DELAY_SECONDS * 1.2 + 1];
const DAY_SECONDS = 86_400;
const TRICKLE_MS = 50;
/** Longer than any silence of a receiver that sends a byte a second: only the whole takes too long. */
const SECOND_MS = 1_000;
const SECONDS_TIMEOUT_MS = 6_000;
const CHUNK_BYTES = 64 * 1024;
const OK = "HTTP/1.1 200 OK\r\n";
const ACCEPTED = { state: "succeeded", outcome: "accepted", status: 200 } as const;
const UNREACHABLE = { state: "pending", outcome: "unreachable", delay_seconds: USUAL_DELAY } as const;

const write = (text: string) => (socket: Socket) => void socket.write(text, "latin1");
/** What comes after it on the same connection finds it closed, which is a case of its own: so it says that it is the last. */
const end = (text: string) => (socket: Socket) => void socket.end(lastOnItsConnection(text), "latin1");

/** As fast as the other side reads, up to so many bytes. */
function pour(socket: Socket, head: string, bytes_max: number): void {
  const chunk = Buffer.alloc(CHUNK_BYTES, "x");
  let left = bytes_max;
  const more = () => {
    while (left > 0 && !socket.destroyed) {
      left -= chunk.length;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on("drain", more);
  socket.write(head);
  more();
}

/** A byte at a time for as long as the connection lives. */
function trickle(socket: Socket, head: string, byte: string, every_ms = TRICKLE_MS): void {
  socket.write(head);
  const timer = setInterval(() => socket.write(byte), every_ms);
  socket.on("close", () => clearInterval(timer));
}

function resetAfter(text: string) {
  return (socket: Socket) => void socket.write(lastOnItsConnection(text), () => socket.resetAndDestroy());
}

function lastOnItsConnection(text: string): string {
  return text.replace(/\r\ncontent-length:/, "\r\nconnection: close$&");
}

/** With other answers nobody heeds it. */
const ADVICE_ON_PAUSE: Readonly<Record<number, RegExp>> = {
  429: /rate_per_second/,
  503: /^Let the receiver come back: it asked for a pause until /,
};

function asksToWait(header: string, delay_seconds: readonly [number, number], status = 429): Hostile {
  const answer = end(`HTTP/1.1 ${status} X\r\nretry-after: ${header}\r\ncontent-length: 0\r\n\r\n`);
  const what = header === "" ? "nothing" : `"${header}"`;
  const title = `answers ${status} with ${what} as Retry-After`;
  const next_step = ADVICE_ON_PAUSE[status] ?? /receiver's log/;
  return { title, answer, state: "pending", outcome: "refused", status, next_step, delay_seconds };
}

function dates(at_ms: number): string[] {
  const date = new Date(at_ms);
  const [day = "", number, month, year = "", time] = date.toUTCString().replace(",", "").split(" ");
  const long = { Sun: "Sunday", Mon: "Monday", Tue: "Tuesday", Wed: "Wednesday", Thu: "Thursday", Fri: "Friday" };
  const name = Object.hasOwn(long, day) ? long[day as keyof typeof long] : "Saturday";
  return [
    date.toUTCString(),
    `${name}, ${number}-${month}-${year.slice(2)} ${time} GMT`,
    `${day} ${month} ${String(Number(number)).padStart(2)} ${time} ${year}`,
  ];
}

/** @param trap where a redirect leads that nobody may follow */
export function hostileReceivers(trap: string, now: number): Hostile[] {
  const in_an_hour = dates(now + 3_600_000);
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024));
  const bomb_head = Buffer.from(`${OK}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
  const timeout = /did not|sent no response headers/;
  const faster = /Answer before the work is done/;
  const reset = {
    ...UNREACHABLE,
    cause: "reset",
    error: /before it answered/,
    next_step: /closed the connection/,
  } as const;
  const odd = { ...UNREACHABLE, cause: "protocol", next_step: /HTTP\/1\.1 server/ } as const;
  const bad_tls = { ...UNREACHABLE, cause: "tls", next_step: /valid certificate/ } as const;
  const silent = { ...UNREACHABLE, cause: "timeout", error: timeout, next_step: faster } as const;
  return [
    { title: "never answers", answer: () => {}, ...silent },
    { title: "sends its headers byte by byte", answer: (socket) => trickle(socket, `${OK}x: `, "y"), ...silent },
    {
      title: "sends one byte of its headers a second",
      answer: (socket) => trickle(socket, `${OK}x: `, "y", SECOND_MS),
      timeout_ms: SECONDS_TIMEOUT_MS,
      ...silent,
    },
    {
      title: "sends one byte of its body a second",
      answer: (socket) => trickle(socket, `${OK}\r\n`, "z", SECOND_MS),
      timeout_ms: SECONDS_TIMEOUT_MS,
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "sends 1xx answers without end",
      answer: write("HTTP/1.1 102 P\r\n\r\n".repeat(1_000)),
      ...odd,
      error: /more response headers/,
    },
    {
      title: "sends one byte of its body at a time",
      answer: (socket) => trickle(socket, `${OK}\r\n`, "z"),
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "sends a body without end",
      answer: (socket) => pour(socket, `${OK}\r\n`, Number.POSITIVE_INFINITY),
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "sends 100 MB",
      answer: (socket) => pour(socket, `${OK}content-length: 104857600\r\n\r\n`, 104_857_600),
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "sends a gzip bomb",
      answer: (socket) => void socket.write(Buffer.concat([bomb_head, bomb])),
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "fails with a body without end",
      answer: (socket) => pour(socket, "HTTP/1.1 500 X\r\n\r\n", Number.POSITIVE_INFINITY),
      state: "pending",
      outcome: "refused",
      status: 500,
      next_step: /receiver's log/,
      truncated: true,
      delay_seconds: USUAL_DELAY,
    },
    { title: "resets before it answers", answer: (socket) => void socket.resetAndDestroy(), ...reset },
    { title: "resets within its headers", answer: resetAfter(OK), ...reset },
    { title: "closes within its headers", answer: end(`${OK}x: y`), ...reset },
    {
      title: "resets within its body",
      answer: resetAfter(`${OK}content-length: 9\r\n\r\nabc`),
      ...ACCEPTED,
      truncated: true,
    },
    { title: "resets after its whole body", answer: resetAfter(`${OK}content-length: 3\r\n\r\nabc`), ...ACCEPTED },
    { title: "closes within its body", answer: end(`${OK}content-length: 9\r\n\r\nabc`), ...ACCEPTED, truncated: true },
    {
      title: "breaks its chunks",
      answer: end(`${OK}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`),
      ...ACCEPTED,
      truncated: true,
    },
    {
      title: "sends early hints first",
      answer: end(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${OK}content-length: 0\r\n\r\n`),
      ...ACCEPTED,
    },
    {
      title: "sends headers in Latin-1",
      answer: end(`${OK}x-name: Z\xfcrich \xe9\r\ncontent-length: 0\r\n\r\n`),
      ...ACCEPTED,
    },
    {
      title: "sends headers in UTF-8",
      answer: end(`${OK}x-name: ${Buffer.from("東京 🚀").toString("latin1")}\r\ncontent-length: 0\r\n\r\n`),
      ...ACCEPTED,
    },
    {
      title: "sends 40 KiB of headers",
      answer: write(`${OK}x: ${"y".repeat(40_000)}`),
      ...odd,
      error: /response headers/,
    },
    {
      title: "switches protocols",
      answer: write("HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
      ...odd,
    },
    { title: "speaks SSH", answer: write("SSH-2.0-OpenSSH_9.6\r\n"), ...odd },
    { title: "answers in HTTP/1.0", answer: end("HTTP/1.0 200 OK\r\n\r\nfine"), ...ACCEPTED },
    {
      title: "answers 204 with a body",
      answer: end("HTTP/1.1 204 X\r\ncontent-length: 3\r\n\r\nabc"),
      ...ACCEPTED,
      status: 204,
    },
    {
      title: "redirects to a private address",
      answer: end("HTTP/1.1 302 X\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n"),
      state: "failed",
      outcome: "refused",
      status: 302,
      error: /redirect to 169\.254\.169\.254/,
      next_step: /never followed/,
    },
    {
      title: "redirects to a server beside it",
      answer: end(`HTTP/1.1 307 X\r\nlocation: ${trap}\r\ncontent-length: 0\r\n\r\n`),
      state: "failed",
      outcome: "refused",
      status: 307,
      next_step: /never followed/,
    },
    {
      title: "wants credentials",
      answer: end("HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n"),
      state: "failed",
      outcome: "refused",
      status: 401,
      next_step: /signing secret/,
    },
    {
      title: "does not listen",
      state: "pending",
      outcome: "unreachable",
      cause: "connect",
      error: /refused/,
      next_step: /Start the receiver/,
      delay_seconds: USUAL_DELAY,
    },
    {
      title: "has a certificate that expired",
      answer: end(`${OK}\r\n`),
      tls: expired_pair,
      ...bad_tls,
      error: /has expired/,
    },
    {
      title: "has a certificate that it made itself",
      answer: end(`${OK}\r\n`),
      tls: untrusted_pair,
      ...bad_tls,
      error: /self-signed/,
    },
    {
      title: "has a certificate for another host",
      answer: end(`${OK}\r\n`),
      tls: elsewhere_pair,
      ...bad_tls,
      error: /another host name/,
    },
    {
      title: "speaks plain http where https is wanted",
      answer: end(`${OK}\r\n`),
      is_https: true,
      ...bad_tls,
      error: /does not speak TLS/,
      next_step: /Turn TLS on/,
    },
    asksToWait("7200", [7_190, 7_200]),
    asksToWait("7200", [7_190, 7_200], 503),
    asksToWait("7200.5", USUAL_DELAY),
    asksToWait("-5", USUAL_DELAY),
    asksToWait("0", USUAL_DELAY),
    asksToWait("", USUAL_DELAY),
    asksToWait("soon", USUAL_DELAY),
    asksToWait("99999999999999999999", [DAY_SECONDS - 10, DAY_SECONDS]),
    ...in_an_hour.map((date) => asksToWait(date, [3_500, 3_601])),
    ...dates(now - 3_600_000).map((date) => asksToWait(date, USUAL_DELAY)),
    asksToWait("7200", USUAL_DELAY, 500),
  ];
}

/** Listens on a free loopback port; the URL is what a webhook is set to. */
export async function startHostile(hostile: Hostile): Promise<{ url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => hostile.answer?.(socket));
    socket.resume();
  };
  const server: Server =
    hostile.tls === undefined
      ? createTcpServer(serve)
      : createTlsServer({ ...hostile.tls }, serve).on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  if (hostile.answer === undefined) await close();
  const scheme = hostile.tls !== undefined || hostile.is_https === true ? "https" : "http";
  return { url: `${scheme}://127.0.0.1:${port}/`, close: hostile.answer === undefined ? async () => {} : close };
}
