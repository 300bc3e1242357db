// The Ed25519 part of the signature vectors. Called by generate-spec.ts. Signatures of Ed25519 are deterministic, so these
// are made anew each time like the others; the keys come from public sentences and protect nothing.
import { createHash, createHmac } from "node:crypto";
import { composePrivateKey, preparePrivateKey, publicKeyOf, signAsymmetric } from "#destination-types/key-pair.ts";
import type { StandardVector } from "./generate-spec.ts";
import { type Body, bodyBytes, text } from "./vector-bodies.ts";

export type AsymmetricVector = Omit<StandardVector, "secrets"> & {
  /** Accepted keys. More than one: a receiver that has read the key document during a rotation. */
  public_keys: string[];
  /** True: these keys are a mistake of the receiver, so an SDK raises instead of answering. */
  raises?: true;
};

export type Bodies = Record<"ascii" | "unicode" | "empty" | "large" | "not_utf8", Body>;

const PRIVATE = keyOf("current");
const NEXT = keyOf("next");
const OTHER = keyOf("of somebody else");
const PUBLIC = publicKeyOf(PRIVATE);
const ID = "019c1363-4b5c-71f1-84b7-8073442bd4c8";
const TIMESTAMP = "1769851801";

export function asymmetricVectors(bodies: Bodies): AsymmetricVector[] {
  return [...valid(bodies), ...wrongMessage(bodies), ...wrongHeader(bodies), ...wrongKeys(bodies)];
}

function keyOf(name: string): string {
  return composePrivateKey(createHash("sha256").update(`LinkMe signature vectors: the key ${name}`).digest());
}

function signatureBy(private_key: string, body: Body, id = ID, timestamp = TIMESTAMP): string {
  return signAsymmetric(preparePrivateKey(private_key), `${id}.${timestamp}.`, bodyBytes(body));
}

type Case = [name: string, header: string | null, why: string, changes?: Partial<AsymmetricVector>];

function vectorsOf(is_valid: boolean, body: Body, cases: readonly Case[]): AsymmetricVector[] {
  return cases.map(([name, header, why, changes]) => ({
    ...{ name, public_keys: [PUBLIC], id: ID, timestamp: TIMESTAMP },
    ...body,
    ...{ header, valid: is_valid, why },
    ...changes,
  }));
}

function valid({ ascii, unicode, empty, large, not_utf8 }: Bodies): AsymmetricVector[] {
  const by = (body: Body, why: string, name: string): Case => [name, signatureBy(PRIVATE, body), why, body];
  const both = [PUBLIC, publicKeyOf(NEXT)];
  const symmetric = `v1,${createHmac("sha256", "k").update("x").digest("base64")}`;
  return vectorsOf(true, ascii, [
    by(ascii, "the plain case", "ascii"),
    by(unicode, "the bytes of the UTF-8 text are signed", "unicode"),
    by(empty, "no byte at all is a body too", "empty body"),
    by(large, "240,000 bytes, nearly as large as an envelope can be", "large body"),
    by(not_utf8, "bytes are signed, whatever they mean", "not UTF-8"),
    ["rotation, old key", signatureBy(PRIVATE, ascii), "the first of two known keys signed", { public_keys: both }],
    ["rotation, new key", signatureBy(NEXT, ascii), "the second of two known keys signed", { public_keys: both }],
    [
      "two signatures",
      `${signatureBy(NEXT, ascii)} ${signatureBy(PRIVATE, ascii)}`,
      "both keys signed, the receiver knows one",
    ],
    ["beside a symmetric one", `${signatureBy(PRIVATE, ascii)} ${symmetric}`, "other versions are passed over"],
    ["behind a symmetric one", `${symmetric} ${signatureBy(PRIVATE, ascii)}`, "in whatever order"],
    ["behind a version of the future", `v9,abc ${signatureBy(PRIVATE, ascii)}`, "also those that nobody knows yet"],
  ]);
}

function wrongMessage({ ascii, empty }: Bodies): AsymmetricVector[] {
  const good = signatureBy(PRIVATE, ascii);
  return vectorsOf(false, ascii, [
    ["wrong key", signatureBy(OTHER, ascii), "signed by somebody else"],
    ["wrong body", good, "one space more than what was signed", text(`${ascii.body} `)],
    ["empty instead of signed body", good, "the body was lost on the way", empty],
    ["wrong id", good, "the id is part of what is signed", { id: ID.replace("019c", "019d") }],
    ["wrong timestamp", good, "so is the time", { timestamp: "1769851802" }],
    [
      "body alone",
      signAsymmetric(preparePrivateKey(PRIVATE), "", ascii.body),
      "signed without the id and the timestamp",
    ],
  ]);
}

function wrongHeader({ ascii }: Bodies): AsymmetricVector[] {
  const good = signatureBy(PRIVATE, ascii);
  const base64 = good.slice("v1a,".length);
  const hex = Buffer.from(base64, "base64").toString("hex");
  const hmac = createHmac("sha256", Buffer.from(PUBLIC.slice("whpk_".length), "base64"))
    .update(`${ID}.${TIMESTAMP}.${ascii.body}`)
    .digest("base64");
  return vectorsOf(false, ascii, [
    ["symmetric with the public key", `v1,${hmac}`, "anybody knows the public key: an HMAC with it says nothing"],
    ["symmetric as asymmetric", `v1a,${hmac}`, "32 bytes are no Ed25519 signature"],
    ["named v1", `v1,${base64}`, "the right signature under the name of the symmetric one"],
    ["no version", base64, "the signature alone"],
    ["upper-case version", `V1A,${base64}`, "versions are lower case"],
    ["hex", `v1a,${hex}`, "the right signature in hex"],
    ["truncated", good.slice(0, -20), "half of a signature must not count"],
    ["rubbish after", `${good}zz`, "a lenient decoder would stop before the rubbish"],
    ["joined by commas", `${good},${good}`, "signatures are separated by spaces"],
    ["all zeros", `v1a,${Buffer.alloc(64).toString("base64")}`, "the right form, but no signature"],
    ["empty header", "", "the header is there, but has no value"],
    ["absent header", null, "not signed: never accepted"],
  ]);
}

function wrongKeys({ ascii }: Bodies): AsymmetricVector[] {
  const good = signatureBy(PRIVATE, ascii);
  const why = "nothing to check with is never success";
  return [
    ...vectorsOf(false, ascii, [
      ["wrong keys", good, "none of the known keys signed", { public_keys: [publicKeyOf(NEXT), publicKeyOf(OTHER)] }],
    ]),
    ...vectorsOf(false, ascii, [
      ["no key", good, why, { public_keys: [], raises: true }],
      ["empty key", good, why, { public_keys: [""], raises: true }],
      [
        "empty key beside a good one",
        good,
        "the same when only one is empty",
        { public_keys: [PUBLIC, ""], raises: true },
      ],
      [
        "a secret as key",
        good,
        "a symmetric secret is no public key",
        { public_keys: [`whsec_${PUBLIC.slice(5)}`], raises: true },
      ],
      ["a key without prefix", good, "the prefix says what it is", { public_keys: [PUBLIC.slice(5)], raises: true }],
      [
        "a key of 31 bytes",
        good,
        "a public key has 32",
        { public_keys: [`whpk_${Buffer.alloc(31).toString("base64")}`], raises: true },
      ],
    ]),
  ];
}
