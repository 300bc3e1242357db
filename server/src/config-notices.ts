// The settings of operator notices: rows of the table in config.ts, and the rules that tie them to each other.
import { z } from "zod";
import { createAddressRule, isLoopbackName, readTarget } from "./platform/addresses.ts";
import type { SmtpServer } from "./platform/smtp.ts";
import { setting, showValue, wholeNumber } from "./setting.ts";

const RECIPIENTS_MAX = 20;
const ADDRESS_MAX_CHARS = 254;
const SECRET_MIN_BYTES = 24;
const SECRET_MAX_BYTES = 64;
const SMTP_PORT = 587;
const SMTPS_PORT = 465;
const LOW_DISK_DEFAULT_BYTES = 1_073_741_824;

const text = z.string();
/** No spaces and no line ends, so that nothing of it can become a header of its own. */
const mailAddress = text.max(ADDRESS_MAX_CHARS).regex(/^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/);
const mailAddresses = text
  .transform((list) => list.split(",").map((address) => address.trim()))
  .refine((list) => list.length <= RECIPIENTS_MAX && list.every((one) => mailAddress.safeParse(one).success));
const smtpUrl = text.transform(readSmtpUrl).refine((server) => server !== null);
const webhookUrl = text.refine((url) => !("error" in readTarget(url)));
const signingSecret = text.refine(isSigningSecret);

export const NOTICE_SETTINGS = {
  operator_webhook_url: setting({
    name: "LINKME_OPERATOR_WEBHOOK_URL",
    fallback: null,
    default_is: "none: notices are in the log and at `GET /api/notices`",
    unit: "URL",
    accepts: "an https URL, or an http URL inside LINKME_EGRESS_ALLOW",
    description: "Gets operator notices as signed events: webhooks paused or disabled, a backlog, a full disk.",
    schema: webhookUrl,
  }),
  operator_webhook_secret: setting({
    name: "LINKME_OPERATOR_WEBHOOK_SECRET",
    fallback: null,
    default_is: "derived from the seal key; `GET /api/notices/secret` shows it",
    unit: "text",
    accepts: `whsec_ and ${SECRET_MIN_BYTES} to ${SECRET_MAX_BYTES} bytes in base64`,
    description: "Signs what the operator's webhook gets.",
    secret: true,
    schema: signingSecret,
  }),
  smtp_url: setting({
    name: "LINKME_SMTP_URL",
    fallback: null,
    default_is: "none: no mail is sent",
    unit: "URL",
    accepts:
      "smtp:// or smtps://, user:password@ if need be, a host and a port, like smtps://user:password@mail.example.com:465",
    description:
      "The mail server for operator notices. With `smtp://`, TLS begins by STARTTLS where it is offered, and must when there is a password, on this machine excepted.",
    secret: true,
    schema: smtpUrl,
  }),
  smtp_from: setting({
    name: "LINKME_SMTP_FROM",
    fallback: null,
    default_is: "none",
    unit: "mail address",
    accepts: "one mail address, like linkme@example.com",
    description: "The sender of operator notices by mail.",
    schema: mailAddress,
  }),
  smtp_to: setting({
    name: "LINKME_SMTP_TO",
    fallback: null,
    default_is: "none",
    unit: "mail addresses",
    accepts: `1 to ${RECIPIENTS_MAX} mail addresses, separated by commas`,
    description: "Who gets operator notices by mail.",
    schema: mailAddresses,
  }),
  backlog_notice_seconds: setting({
    name: "LINKME_BACKLOG_NOTICE_SECONDS",
    fallback: "900",
    unit: "seconds",
    accepts: "a whole number from 60 to 31536000",
    description: "How long a delivery that is due may wait before the operator gets a notice.",
    schema: wholeNumber(60, 31_536_000),
  }),
  low_disk_bytes: setting({
    name: "LINKME_LOW_DISK_BYTES",
    fallback: String(LOW_DISK_DEFAULT_BYTES),
    unit: "bytes",
    accepts: "a whole number from 0 to 999999999999999; 0 watches no disk",
    description: "Less free space than this, in the data directory or beside the SQLite file, is a notice.",
    schema: wholeNumber(0, 999_999_999_999_999),
  }),
};

/** What is missing here could not be read, which is told elsewhere: it breaks no rule. */
interface NoticeConfig {
  egress_allow?: readonly string[];
  operator_webhook_url?: string | null;
  operator_webhook_secret?: string | null;
  smtp_url?: SmtpServer | null;
  smtp_from?: string | null;
  smtp_to?: readonly string[] | null;
}

/** A sentence for each way in which good values do not go together. */
export function noticeProblems(config: NoticeConfig): string[] {
  const problems: string[] = [];
  const { operator_webhook_url: url, egress_allow, operator_webhook_secret, smtp_url, smtp_from, smtp_to } = config;
  const refusal = url && egress_allow !== undefined ? refuseUrl(url, egress_allow) : null;
  if (url && refusal !== null) {
    problems.push(`LINKME_OPERATOR_WEBHOOK_URL ${showValue({}, url)}, which ${refusal}.`);
  }
  if (url === null && operator_webhook_secret) {
    problems.push("LINKME_OPERATOR_WEBHOOK_SECRET is set without LINKME_OPERATOR_WEBHOOK_URL; set both, or neither.");
  }
  const mail = { LINKME_SMTP_URL: smtp_url, LINKME_SMTP_FROM: smtp_from, LINKME_SMTP_TO: smtp_to };
  const missing = Object.entries(mail).flatMap(([name, value]) => (value === null ? [name] : []));
  const count = Object.keys(mail).length;
  if (missing.length > 0 && missing.length < count) {
    const names = Object.keys(mail).join(", ");
    problems.push(
      `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing; set all of ${names}, or none.`,
    );
  }
  return problems;
}

/** What can be told without looking up a name; the egress gate judges each connection anyway. */
function refuseUrl(url: string, allow: readonly string[]): string | null {
  const target = readTarget(url);
  if ("error" in target) return null;
  if (!target.secure && allow.length === 0)
    return "is plain http; accepted is https, or a URL whose network is named in LINKME_EGRESS_ALLOW";
  const address = target.literal ?? (isLoopbackName(target.host) ? "127.0.0.1" : null);
  const refusal = address === null ? null : createAddressRule(allow)(address, target.secure);
  return refusal === null ? null : `leads to ${refusal}; use a public https address, or name its network there`;
}

function readSmtpUrl(text: string): SmtpServer | null {
  const url = /^smtps?:\/\//i.test(text) ? URL.parse(text) : null;
  if (url === null || url.hostname === "" || url.port === "0") return null;
  if (!["", "/"].includes(url.pathname) || url.search !== "" || url.hash !== "") return null;
  if ((url.username === "") !== (url.password === "")) return null;
  const secure = url.protocol === "smtps:";
  try {
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (secure ? SMTPS_PORT : SMTP_PORT) : Number(url.port),
      secure,
      login:
        url.username === ""
          ? null
          : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) },
    };
  } catch {
    // A % that is no escape: the password has to be encoded.
    return null;
  }
}

function isSigningSecret(secret: string): boolean {
  const encoded = /^whsec_([A-Za-z0-9+/]+)={0,2}$/.exec(secret)?.[1];
  if (encoded === undefined) return false;
  const bytes = Buffer.from(encoded, "base64");
  const is_whole = bytes.toString("base64").replace(/=+$/, "") === encoded;
  return is_whole && bytes.length >= SECRET_MIN_BYTES && bytes.length <= SECRET_MAX_BYTES;
}
