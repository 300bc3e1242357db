import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { composePrivateKey, jwkOf, preparePrivateKey, publicKeyOf, signAsymmetric } from "./key-pair.ts";

interface Vector {
  name: string;
  public_keys: string[];
  id: string;
  timestamp: string;
  body: string;
  body_encoding: "utf8" | "base64";
  body_repeat: number;
  header: string | null;
  valid: boolean;
}

const path = new URL("../../spec/vectors/signatures.json", import.meta.url);
const { ed25519 } = JSON.parse(readFileSync(path, "utf8")) as { ed25519: Vector[] }; // our own file
/** The vectors' keys, by what they are called in their generator. */
const PRIVATE_KEYS = ["current", "next"].map((name) =>
  composePrivateKey(createHash("sha256").update(`LinkMe signature vectors: the key ${name}`).digest()),
);

for (const vector of ed25519) {
  test(`v1a, ${vector.name}: ${vector.valid ? "made" : "never made"}`, () => {
    const once = Buffer.from(vector.body, vector.body_encoding);
    const body = Buffer.concat(Array.from({ length: vector.body_repeat }, () => once));
    const known = PRIVATE_KEYS.filter((key) => vector.public_keys.includes(publicKeyOf(key)));
    const made = known.map((key) => signAsymmetric(preparePrivateKey(key), `${vector.id}.${vector.timestamp}.`, body));
    const sent = vector.header?.split(" ") ?? [];
    assert.equal(
      made.some((signature) => sent.includes(signature)),
      vector.valid || MADE_BESIDE_A_MISTAKE.has(vector.name),
    );
  });
}

/** Well signed: it is the receiver whose keys are wrong. */
const MADE_BESIDE_A_MISTAKE: ReadonlySet<string> = new Set(["empty key beside a good one"]);

// Source: RFC 8032, section 7.1, TEST 1 to 3.
const RFC_8032: [seed: string, public_key: string, message: string, signature: string][] = [
  [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  ],
  [
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ],
  [
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  ],
];
for (const [seed, public_key, message, signature] of RFC_8032) {
  test(`the vector of RFC 8032 with the message "${message}" comes out as written there`, () => {
    const key = composePrivateKey(Buffer.from(seed, "hex"));
    assert.equal(publicKeyOf(key), `whpk_${Buffer.from(public_key, "hex").toString("base64")}`);
    const made = signAsymmetric(preparePrivateKey(key), "", Buffer.from(message, "hex"));
    assert.equal(made, `v1a,${Buffer.from(signature, "hex").toString("base64")}`);
  });
}

test("a public key as a JSON Web Key has the thumbprint of RFC 8037 as its kid, and verifies", () => {
  const key = composePrivateKey(Buffer.from(RFC_8032[0]?.[0] ?? "", "hex"));
  const jwk = jwkOf(publicKeyOf(key));
  // Source: RFC 8037, appendices A.2 and A.3, whose key is that of TEST 1.
  assert.equal(jwk.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  assert.equal(jwk.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  const signature = Buffer.from(signAsymmetric(preparePrivateKey(key), "a.1.", "{}").slice(4), "base64");
  assert.ok(verify(null, Buffer.from("a.1.{}"), createPublicKey({ key: jwk, format: "jwk" }), signature));
});

test("a body given as text is signed like its UTF-8 bytes", () => {
  const key = preparePrivateKey(PRIVATE_KEYS[0] ?? "");
  const body = "Größe 👟\u2028";
  assert.equal(signAsymmetric(key, "a.1.", body), signAsymmetric(key, "a.1.", Buffer.from(body)));
});

for (const text of ["", "whsk_", `whsec_${"A".repeat(43)}=`, "A".repeat(43), "whsk_AAAA"]) {
  test(`${JSON.stringify(text)} is no private key`, () => {
    assert.throws(() => preparePrivateKey(text), /a private key is whsk_/);
  });
}
