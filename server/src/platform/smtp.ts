// Sends plain mails over SMTP to the operator. Beside egress.ts the only file that opens outbound connections, by way of
// nodemailer: the mail server is the operator's own setting, like the database, so it may have a private address, and
// nothing that a tenant says decides where a mail goes. Loaded and connected only when there is a mail to send.
// One mail at a time over a connection of its own; each phase and the whole have a limit, and `send` never rejects.
import { isLoopbackName } from "./addresses.ts";
import { createSerial } from "./serial.ts";

export interface SmtpServer {
  host: string;
  port: number;
  /** TLS from the first byte. */
  secure: boolean;
  login: { user: string; password: string } | null;
}

export interface Mail {
  subject: string;
  text: string;
}

export interface Mailer {
  /** Null when the server took it for all recipients, else why not, in words that hold no secret. */
  send(mail: Mail): Promise<string | null>;
  /** Ends what is under way, and sends nothing more. */
  close(): void;
}

export interface MailerOptions {
  server: SmtpServer;
  from: string;
  to: readonly string[];
  /** For one mail, its wait for those before it included. */
  timeout_ms?: number;
}

/** Name lookup and connecting, and the greeting. */
const CONNECT_TIMEOUT_MS = 5_000;
const SILENCE_TIMEOUT_MS = 10_000;
/** One mail as a whole, however slowly the server speaks, and however many are before it. */
const MAIL_TIMEOUT_MS = 15_000;
/** Mails that wait for those before them. */
const WAITING_MAX = 20;
const ANSWER_MAX_BYTES = 16 * 1024;
const ERROR_MAX_CHARS = 500;

export function createMailer(options: MailerOptions): Mailer {
  const timeout_ms = options.timeout_ms ?? MAIL_TIMEOUT_MS;
  const stopping = new AbortController();
  const serially = createSerial();
  let waiting = 0;

  function send(mail: Mail): Promise<string | null> {
    if (waiting >= WAITING_MAX) return Promise.resolve(`${WAITING_MAX} mails wait for the mail server already`);
    waiting++;
    const late = AbortSignal.timeout(timeout_ms);
    return serially(() => sendOne(mail, late)).finally(() => waiting--);
  }

  async function sendOne(mail: Mail, late: AbortSignal): Promise<string | null> {
    const { signal } = stopping;
    try {
      const { createTransport } = await import("nodemailer");
      const transport = createTransport(transportOptions(options.server));
      const message = { from: options.from, to: [...options.to], ...mail, signal: AbortSignal.any([signal, late]) };
      const { rejected } = await transport.sendMail(message);
      return rejected.length === 0
        ? null
        : `The mail server refused ${rejected.length} of ${options.to.length} addresses`;
    } catch (error) {
      if (signal.aborted) return STOPPING;
      if (late.aborted) return `The mail server took longer than ${timeout_ms / 1_000} s`;
      // What a mail server does is an answer here and no bug of ours.
      return describe(error, options.server);
    }
  }

  return { send, close: () => stopping.abort() };
}

const STOPPING = "This server is stopping";

function transportOptions({ host, port, secure, login }: SmtpServer) {
  const is_local = isLoopbackName(host) || host === "::1" || /^127\./.test(host);
  return {
    ...{ host, port, secure, pool: false as const, logger: false },
    // A password is not sent in the clear, but to this very machine.
    requireTLS: !secure && login !== null && !is_local,
    ...(login !== null && { auth: { user: login.user, pass: login.password } }),
    connectionTimeout: CONNECT_TIMEOUT_MS,
    dnsTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    // Nothing waits for a server that does not hang up.
    socketCloseTimeout: 0,
    maxResponseSize: ANSWER_MAX_BYTES,
    // A mail is text of ours; nothing in it may make the library read a file or a URL.
    disableFileAccess: true,
    disableUrlAccess: true,
    // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED in the environment cannot switch it off.
    tls: { rejectUnauthorized: true },
  };
}

/** A server may repeat what it was told, the password in base64 included. */
function describe(error: unknown, { login }: SmtpServer): string {
  let text = error instanceof Error ? error.message : String(error);
  for (const secret of login === null ? [] : secretForms(login)) text = text.replaceAll(secret, "***");
  return text.replaceAll(/\s+/g, " ").slice(0, ERROR_MAX_CHARS);
}

function secretForms({ user, password }: { user: string; password: string }): string[] {
  const base64 = (plain: string) => Buffer.from(plain).toString("base64");
  return [base64(`\u0000${user}\u0000${password}`), base64(password), password];
}
