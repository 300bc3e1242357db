// A real SMTP server on a loopback port, for tests that look at the mails which the product sends. It keeps every mail, and
// refuses or hangs as it is told.
import { SMTPServer } from "smtp-server";
import { waitUntil } from "./wait.ts";

export interface ReceivedMail {
  from: string;
  to: string[];
  /** Headers and text as they came. */
  source: string;
  /** Its text alone, decoded. */
  text: string;
  subject: string;
  /** Came over TLS. */
  is_secure: boolean;
  user: string | null;
}

export interface MailServerOptions {
  login?: { user: string; password: string };
  tls?: { key: string; cert: string };
  /** Why an address is refused; null takes it. */
  refuse?: (address: string) => string | null;
  /** Never answers to the text of a mail. */
  hangs?: boolean;
}

export interface MailServer {
  port: number;
  received: ReceivedMail[];
  waitFor(wanted: number | ((received: ReceivedMail[]) => boolean)): Promise<ReceivedMail[]>;
  connections(): number;
  /** Mails whose texts were on their way at once, at the most. */
  mostAtOnce(): number;
  close(): Promise<void>;
}

export async function startMailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const received: ReceivedMail[] = [];
  const { login, tls } = options;
  let under_way = 0;
  let most_at_once = 0;
  const server = new SMTPServer({
    ...(tls ?? {}),
    disableReverseLookup: true,
    disabledCommands: [...(login === undefined ? ["AUTH"] : []), ...(tls === undefined ? ["STARTTLS"] : [])],
    allowInsecureAuth: true,
    authOptional: login === undefined,
    onAuth({ username, password }, _session, answer) {
      if (username === login?.user && password === login?.password) return answer(null, { user: username });
      // As some servers do: the answer repeats what was sent.
      answer(new Error(`535 no such login: ${username} ${password}`));
    },
    onRcptTo({ address }, _session, answer) {
      const refusal = options.refuse?.(address) ?? null;
      answer(refusal === null ? null : new Error(refusal));
    },
    onData(stream, session, answer) {
      most_at_once = Math.max(most_at_once, ++under_way);
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        if (options.hangs) return;
        const source = Buffer.concat(chunks).toString("utf8");
        const { mailFrom, rcptTo } = session.envelope;
        received.push({
          from: mailFrom ? mailFrom.address : "",
          to: rcptTo.map(({ address }) => address),
          source,
          ...readMail(source),
          is_secure: session.secure,
          user: typeof session.user === "string" ? session.user : null,
        });
        under_way--;
        answer(null);
      });
    },
  });
  // A client that goes away in the middle is what some tests want.
  server.on("error", () => {});
  const listener = server.listen(0, "127.0.0.1");
  await new Promise<void>((resolve) => listener.once("listening", resolve));
  const address = listener.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    received,
    async waitFor(wanted) {
      const isMet = () => (typeof wanted === "number" ? received.length >= wanted : wanted(received));
      await waitUntil(isMet, "the expected mails to arrive");
      return received;
    },
    connections: () => server.connections.size,
    mostAtOnce: () => most_at_once,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Enough of MIME for one plain text. */
function readMail(source: string): { subject: string; text: string } {
  const [head = "", ...rest] = source.split("\r\n\r\n");
  const headers = head.replaceAll(/\r\n[ \t]+/g, " ");
  const subject = /^subject: (.*)$/im.exec(headers)?.[1] ?? "";
  const body = rest.join("\r\n\r\n");
  const encoding = /^content-transfer-encoding: (\S+)/im.exec(headers)?.[1]?.toLowerCase();
  if (encoding === "base64") return { subject, text: Buffer.from(body, "base64").toString("utf8") };
  if (encoding !== "quoted-printable") return { subject, text: body };
  const joined = body.replaceAll("=\r\n", "");
  const bytes = joined.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return { subject, text: Buffer.from(bytes, "latin1").toString("utf8") };
}
