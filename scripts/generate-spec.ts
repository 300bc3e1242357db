// Makes the generated files below spec/: the signature vectors that the server's suite and both SDK suites read.
// scripts/generate.ts writes what generateSpec returns; a test compares it with what is committed. Deterministic:
// no clock, no random, so a difference is always a change that somebody made.
import { createHash, createHmac } from "node:crypto";
import { type AsymmetricVector, asymmetricVectors } from "./generate-asymmetric.ts";
import { type Body, bodyBytes, text } from "./vector-bodies.ts";

/** Line width up to which an array of plain values stays on one line, as the formatter wants it. */
const LINE_WIDTH_CHARS = 120;

export type LinkMeVector = {
  name: string;
  /** Accepted secrets. More than one: a receiver during a rotation. */
  secrets: string[];
  /** The body, or its base64 form when `body_encoding` is `base64`. */
  body: string;
  body_encoding: "utf8" | "base64";
  /** How many times the body stands in a row. */
  body_repeat: number;
  /** `X-LinkMe-Signature`; null: the header is absent. */
  header: string | null;
  valid: boolean;
  why: string;
  /** True: these secrets are a mistake of the receiver, so an SDK raises instead of answering. */
  raises?: true;
};

export type StandardVector = Omit<LinkMeVector, "raises"> & { id: string; timestamp: string };

export type SignatureVectors = {
  about: string;
  x_linkme_signature: LinkMeVector[];
  standard_webhooks: StandardVector[];
  ed25519: AsymmetricVector[];
};

const SECRET = secretOf("current");
const NEXT_SECRET = secretOf("next");
const OTHER_SECRET = secretOf("of somebody else");

const ASCII = text(
  '{"id":"019c1363-4b5c-71f1-84b7-8073442bd4c8","event":"link.click","ts":"2026-01-31T09:30:00.412Z","app_id":"shop",' +
    '"data":{"link_id":"lnk_h2v9x4tq7k3m","platform":"ios","dest_url":"https://shop.example/?a=1&b=2"}}',
);
const UNICODE = text('{"note":"Größe “M” 👟👨‍👩‍👧 日本語","nfd":"e\u0301","separators":"\u2028\u2029"}');
const NEWLINES = text('{\r\n\t"id": "1",\n  "event": "link.click"\n}\n');
const EMPTY = text("");
const LARGE: Body = { body: "LinkMe 🔗\n", body_encoding: "utf8", body_repeat: 20_000 };
const NOT_UTF8: Body = { body: "/wD+gIDAr+2ggA==", body_encoding: "base64", body_repeat: 1 };

/** The generated files below spec/, by path from the root of the repository. */
export function generateSpec(): Record<string, string> {
  return { "spec/vectors/signatures.json": formatJson(signatureVectors()) };
}

export function signatureVectors(): SignatureVectors {
  return {
    about:
      "x_linkme_signature: the header X-LinkMe-Signature is `sha256=` and the lower-case hex HMAC-SHA256 of the raw " +
      "body; the key is the whole secret, as UTF-8. standard_webhooks: the header webhook-signature is, for each " +
      "secret, `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`, joined by spaces; the key is the " +
      "base64-decoded rest of the secret after `whsec_`. The body is `body`, decoded when `body_encoding` is base64, " +
      "`body_repeat` times in a row. A null header is an absent one. `raises`: no secret to check with, an error of " +
      "the receiver. ed25519: the header webhook-signature holds, among others, `v1a,` and the base64 Ed25519 signature of " +
      "`id.timestamp.body`; a public key is `whpk_` and the base64 of its 32 bytes.",
    x_linkme_signature: [...validLinkMe(), ...wrongSecretOrBody(), ...wrongForm(), ...missing()],
    standard_webhooks: [...validStandard(), ...wrongStandard()],
    ed25519: asymmetricVectors({ ascii: ASCII, unicode: UNICODE, empty: EMPTY, large: LARGE, not_utf8: NOT_UTF8 }),
  };
}

/** A secret in the server's own form, made from a public sentence: it protects nothing. */
function secretOf(name: string): string {
  return `whsec_${createHash("sha256").update(`LinkMe signature vectors: the secret ${name}`).digest("base64")}`;
}

function linkMeHex(secret: string, body: Body): string {
  return createHmac("sha256", Buffer.from(secret, "utf8")).update(bodyBytes(body)).digest("hex");
}

function linkMeHeader(secret: string, body: Body): string {
  return `sha256=${linkMeHex(secret, body)}`;
}

function standardHeader(secret: string, id: string, timestamp: string, body: Body): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.`).update(bodyBytes(body)).digest("base64")}`;
}

function validLinkMe(): LinkMeVector[] {
  const accented = "sécret-🔑";
  const valid = (name: string, secrets: string[], signer: string, body: Body, why: string): LinkMeVector => ({
    name,
    secrets,
    ...body,
    header: linkMeHeader(signer, body),
    valid: true,
    why,
  });
  return [
    valid("ascii", [SECRET], SECRET, ASCII, "the plain case: the whole secret, prefix included, is the key"),
    valid("unicode", [SECRET], SECRET, UNICODE, "the bytes of the UTF-8 text are signed, nothing is normalised"),
    valid("newlines", [SECRET], SECRET, NEWLINES, "white space counts: parsing and printing again would break it"),
    valid("empty body", [SECRET], SECRET, EMPTY, "no byte at all is a body too"),
    valid("large body", [SECRET], SECRET, LARGE, "240,000 bytes, nearly as large as an envelope can be"),
    valid("not UTF-8", [SECRET], SECRET, NOT_UTF8, "bytes are signed; decoding them to text first would change them"),
    valid(
      "plain secret",
      ["correct horse"],
      "correct horse",
      ASCII,
      "a secret needs no whsec_ prefix and may have spaces",
    ),
    valid("unicode secret", [accented], accented, ASCII, "the key is the UTF-8 form of the secret"),
    valid(
      "long secret",
      ["k".repeat(200)],
      "k".repeat(200),
      ASCII,
      "longer than a block of SHA-256: HMAC hashes it first",
    ),
    valid("rotation, old secret", [SECRET, NEXT_SECRET], SECRET, ASCII, "the first of two accepted secrets signed"),
    valid(
      "rotation, new secret",
      [SECRET, NEXT_SECRET],
      NEXT_SECRET,
      ASCII,
      "the second of two accepted secrets signed",
    ),
    valid("three secrets", [OTHER_SECRET, SECRET, NEXT_SECRET], SECRET, ASCII, "one in the middle signed"),
  ];
}

function wrongSecretOrBody(): LinkMeVector[] {
  const good = linkMeHeader(SECRET, ASCII);
  const wrong = (name: string, secrets: string[], body: Body, header: string, why: string): LinkMeVector => ({
    name,
    secrets,
    ...body,
    header,
    valid: false,
    why,
  });
  const decoded = createHmac("sha256", Buffer.from(SECRET.slice(6), "base64"))
    .update(bodyBytes(ASCII))
    .digest("hex");
  const sha1 = createHmac("sha1", SECRET).update(bodyBytes(ASCII)).digest("hex");
  const respaced = text(ASCII.body.replaceAll(":", ": "));
  return [
    wrong("wrong secret", [OTHER_SECRET], ASCII, good, "signed with another secret"),
    wrong("wrong secrets", [OTHER_SECRET, NEXT_SECRET], ASCII, good, "signed with none of the accepted secrets"),
    wrong("secret in lower case", [SECRET.toLowerCase()], ASCII, good, "secrets are compared byte by byte"),
    wrong(
      "secret with newline",
      [`${SECRET}\n`],
      ASCII,
      good,
      "a line break at the end of the secret is part of the key",
    ),
    wrong("secret without prefix", [SECRET.slice(6)], ASCII, good, "the prefix whsec_ is part of the key"),
    wrong(
      "decoded secret",
      [SECRET],
      ASCII,
      `sha256=${decoded}`,
      "the key is the text, not what its base64 stands for",
    ),
    wrong("wrong body", [SECRET], text(`${ASCII.body} `), good, "one space more than what was signed"),
    wrong("printed again", [SECRET], respaced, good, "the same JSON, printed differently"),
    wrong("truncated body", [SECRET], text(ASCII.body.slice(0, -1)), good, "the last byte is missing"),
    wrong("empty instead of signed body", [SECRET], EMPTY, good, "the body was lost on the way"),
    wrong("sha1 in the header", [SECRET], ASCII, `sha256=${sha1}`, "40 digits: made with SHA-1"),
    wrong("all zeros", [SECRET], ASCII, `sha256=${"0".repeat(64)}`, "the right form, but no signature"),
  ];
}

function wrongForm(): LinkMeVector[] {
  const hex = linkMeHex(SECRET, ASCII);
  const form = (name: string, header: string, why: string): LinkMeVector => ({
    name,
    secrets: [SECRET],
    ...ASCII,
    header,
    valid: false,
    why,
  });
  const base64 = Buffer.from(hex, "hex").toString("base64");
  return [
    form("upper-case hex", `sha256=${hex.toUpperCase()}`, "the digits are lower case: one signature has one form"),
    form("upper-case name", `SHA256=${hex}`, "the name of the algorithm is lower case"),
    form("missing prefix", hex, "the digits alone"),
    form("other prefix", `sha512=${hex}`, "another algorithm is named"),
    form("version prefix", `v1=${hex}`, "the form of other services"),
    form("spaces inside", `sha256= ${hex}`, "a space after the equals sign"),
    form("space before", ` sha256=${hex}`, "a space before the name"),
    form("space after", `sha256=${hex} `, "a space after the digits"),
    form("newline after", `sha256=${hex}\n`, "a line break after the digits"),
    form(
      "two signatures",
      `sha256=${hex}, sha256=${hex}`,
      "the header was sent twice and joined, though both are right",
    ),
    form("two signatures, spaced", `sha256=${hex} sha256=${hex}`, "exactly one signature is allowed"),
    form("truncated", `sha256=${hex.slice(0, 32)}`, "half of the digits: a prefix must not count"),
    form("63 digits", `sha256=${hex.slice(0, 63)}`, "one digit is missing"),
    form("65 digits", `sha256=${hex}0`, "one digit too many"),
    form("rubbish after", `sha256=${hex}zz`, "a lenient hex decoder would stop before the rubbish and accept"),
    form("non-hex", `sha256=${hex.slice(0, 63)}g`, "g is not a hex digit"),
    form("wide digits", `sha256=${"\uff10".repeat(64)}`, "full-width digits are digits to some languages, not here"),
    form("base64", `sha256=${base64}`, "the right signature in base64"),
    form("only prefix", "sha256=", "no digit at all"),
    form("quoted", `"sha256=${hex}"`, "quotes around the value"),
  ];
}

function missing(): LinkMeVector[] {
  const unsigned = { ...ASCII, valid: false };
  return [
    { name: "empty header", secrets: [SECRET], ...unsigned, header: "", why: "the header is there, but has no value" },
    { name: "absent header", secrets: [SECRET], ...unsigned, header: null, why: "not signed: never accepted" },
    {
      name: "empty secret",
      secrets: [""],
      ...unsigned,
      header: linkMeHeader("", ASCII),
      why: "anybody can sign with an empty key, so a secret that was left empty must not accept that",
      raises: true,
    },
    {
      name: "empty secret beside a good one",
      secrets: [SECRET, ""],
      ...unsigned,
      header: linkMeHeader("", ASCII),
      why: "the same when only one of the secrets was left empty",
      raises: true,
    },
    {
      name: "no secret",
      secrets: [],
      ...unsigned,
      header: linkMeHeader(SECRET, ASCII),
      why: "nothing to check with is never success",
      raises: true,
    },
  ];
}

const EVENT_ID = "019c1363-4b5c-71f1-84b7-8073442bd4c8";
const TIMESTAMP = "1769851801";

function validStandard(): StandardVector[] {
  const valid = (name: string, secrets: string[], signers: string[], body: Body, why: string): StandardVector => ({
    name,
    secrets,
    id: EVENT_ID,
    timestamp: TIMESTAMP,
    ...body,
    header: signers.map((secret) => standardHeader(secret, EVENT_ID, TIMESTAMP, body)).join(" "),
    valid: true,
    why,
  });
  return [
    valid("ascii", [SECRET], [SECRET], ASCII, "the plain case"),
    valid("unicode", [SECRET], [SECRET], UNICODE, "the bytes of the UTF-8 text are signed"),
    valid("newlines", [SECRET], [SECRET], NEWLINES, "white space counts"),
    valid("empty body", [SECRET], [SECRET], EMPTY, "id and time are signed even when there is no body"),
    valid("large body", [SECRET], [SECRET], LARGE, "240,000 bytes, nearly as large as an envelope can be"),
    valid(
      "rotation, receiver has the old secret",
      [SECRET],
      [SECRET, NEXT_SECRET],
      ASCII,
      "one of two signatures fits",
    ),
    valid("rotation, receiver has the new secret", [NEXT_SECRET], [SECRET, NEXT_SECRET], ASCII, "the second one fits"),
    valid("rotation, receiver has both", [SECRET, NEXT_SECRET], [NEXT_SECRET], ASCII, "one of two secrets fits"),
  ];
}

function wrongStandard(): StandardVector[] {
  const good = standardHeader(SECRET, EVENT_ID, TIMESTAMP, ASCII);
  const base = { secrets: [SECRET], id: EVENT_ID, timestamp: TIMESTAMP, ...ASCII, header: good, valid: false };
  const wholeKey = createHmac("sha256", SECRET).update(`${EVENT_ID}.${TIMESTAMP}.${ASCII.body}`).digest("base64");
  const hex = Buffer.from(good.slice(3), "base64").toString("hex");
  return [
    { ...base, name: "wrong secret", secrets: [OTHER_SECRET], why: "signed with another secret" },
    { ...base, name: "wrong body", body: `${ASCII.body} `, why: "one space more than what was signed" },
    { ...base, name: "wrong id", id: "019c1363-4b5c-7c17-a23b-ec5cc306d672", why: "the id is signed" },
    { ...base, name: "wrong timestamp", timestamp: "1769851802", why: "the time of the attempt is signed" },
    { ...base, name: "undecoded secret", header: `v1,${wholeKey}`, why: "the key is what the base64 stands for" },
    { ...base, name: "missing version", header: good.slice(3), why: "the signature alone" },
    { ...base, name: "other version", header: `v1a,${good.slice(3)}`, why: "v1a is the asymmetric scheme" },
    { ...base, name: "hex", header: `v1,${hex}`, why: "the right signature in hex" },
    { ...base, name: "truncated", header: good.slice(0, -8), why: "a prefix of the right signature" },
    { ...base, name: "empty header", header: "", why: "the header is there, but has no value" },
    { ...base, name: "absent header", header: null, why: "not signed: never accepted" },
  ];
}

/** JSON as the project's formatter prints it: two spaces, and short arrays of plain values on one line. */
function formatJson(value: unknown): string {
  const expanded = JSON.stringify(value, null, 2);
  const joined = expanded.replace(/^( *.*)\[\n([^[\]{}]*?)\n *\](,?)$/gm, (whole, before, items, comma) => {
    const line = `${before}[${items.replace(/^ +/gm, "").replaceAll("\n", " ")}]${comma}`;
    return line.length <= LINE_WIDTH_CHARS ? line : whole;
  });
  return `${joined}\n`;
}
