// What a receiver believes, against the shared vectors and against what strangers and gateways send.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { verifyLinkMeWebhookSignature } from "../../src/index.ts";
import {
  createReceiver,
  type ReceiverHeaders,
  type ReceiverOptions,
  signTestPayload,
} from "../../src/receiver/index.ts";

interface Vector {
  name: string;
  why: string;
  secrets: string[];
  id: string;
  timestamp: string;
  body: string;
  body_encoding: "utf8" | "base64";
  body_repeat: number;
  header: string | null;
  valid: boolean;
  raises?: true;
}

// The file is compared with its generator, whose types these are, in another suite.
const vectors = JSON.parse(
  readFileSync(new URL("../../../../spec/vectors/signatures.json", import.meta.url), "utf8"),
) as {
  x_linkme_signature: Vector[];
  standard_webhooks: Vector[];
};

const SECRET = "whsec_w0LVM2ReVJ/UcoK9x4wGhw1K7DV4VRvA1iy1l8K070g=";
const OTHER = "whsec_rMQec8/P0fXQm3Jw6VCbtxqgqvA24UhsFD6nSIq7/Io=";
const NOW = 1_769_851_801_000;
const CLICK = { id: "1", event: "link.click", data: { note: "👟" } };

/** The code of the refusal, or `believed`, whatever became of the envelope then. */
async function judge(
  body: string | Uint8Array,
  headers: ReceiverHeaders,
  secrets: string | string[] = SECRET,
  options: Partial<ReceiverOptions> = {},
): Promise<string> {
  const receiver = createReceiver({ secrets, now: () => NOW, ...options }).onError(() => {});
  const { status, outcome } = await receiver.receive({ method: "POST", headers, body });
  if (outcome.kind !== "refused" || outcome.code === "envelope_invalid") return "believed";
  assert.equal(status, 401);
  return outcome.code;
}

function bytesOf({ body, body_encoding, body_repeat }: Vector): Buffer {
  return Buffer.concat(Array.from({ length: body_repeat }, () => Buffer.from(body, body_encoding)));
}

const json = { "content-type": "application/json" };

for (const vector of vectors.x_linkme_signature) {
  test(`vector "${vector.name}": ${vector.why}`, async () => {
    if (vector.raises) {
      assert.throws(() => createReceiver({ secrets: vector.secrets }), { code: "secret_missing" });
      return;
    }
    const headers = { ...json, ...(vector.header === null ? {} : { "x-linkme-signature": vector.header }) };
    const answer = await judge(bytesOf(vector), headers, vector.secrets);
    assert.equal(answer === "believed", vector.valid, answer);
  });
}

for (const vector of vectors.standard_webhooks) {
  test(`vector "${vector.name}" of Standard Webhooks: ${vector.why}`, async () => {
    const body = bytesOf(vector);
    const { headers } = await signTestPayload(body.toString("utf8"), { secret: vector.secrets[0] ?? "" });
    const standard = { "webhook-id": vector.id, "webhook-timestamp": vector.timestamp };
    const signature = vector.header === null ? {} : { "webhook-signature": vector.header };
    const all = { ...json, "x-linkme-signature": headers["x-linkme-signature"], ...standard, ...signature };
    const answer = await judge(body, all, vector.secrets);
    assert.equal(answer === "believed", vector.valid, answer);
  });
}

test("the time of a delivery may be five minutes from now in both directions, and no second more", async () => {
  const at = async (seconds: number, tolerance?: number) => {
    const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW + seconds * 1000 });
    return judge(body, headers, SECRET, tolerance === undefined ? {} : { tolerance });
  };
  assert.deepEqual(
    [await at(-301), await at(-300), await at(300), await at(301), await at(5, 4), await at(-4, 4)],
    ["timestamp_outside", "believed", "believed", "timestamp_outside", "timestamp_outside", "believed"],
  );
});

test("the time of the event does not matter: a retry may come days after it", async () => {
  const { body, headers } = await signTestPayload(
    { ...CLICK, ts: "2020-01-01T00:00:00.000Z" },
    { secret: SECRET, at: NOW },
  );
  assert.equal(await judge(body, headers), "believed");
});

test("headers of Standard Webhooks are all there and right, or none of them is there", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const without = (...names: string[]) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
  const standard = ["webhook-id", "webhook-timestamp", "webhook-signature"];
  assert.equal(await judge(body, without(...standard)), "believed", "LinkMe's own servers send none");
  for (const name of standard) {
    assert.equal(await judge(body, without(name)), "signature_malformed", `without ${name}`);
    assert.notEqual(await judge(body, { ...headers, [name]: `${headers[name]}1` }), "believed", `another ${name}`);
  }
  for (const timestamp of ["", "-1", "1e3", "1769851801.5", "NaN", "9".repeat(13)]) {
    assert.equal(await judge(body, { ...headers, "webhook-timestamp": timestamp }), "timestamp_malformed", timestamp);
  }
});

test("a receiver that asks for a signed time refuses what was recorded and sent without one", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const strict = { require_timestamp: true };
  assert.equal(await judge(body, headers, SECRET, strict), "believed");
  const bare = { ...json, "x-linkme-signature": headers["x-linkme-signature"] };
  assert.deepEqual(
    [await judge(body, bare), await judge(body, bare, SECRET, strict)],
    ["believed", "timestamp_missing"],
  );
  const odd = await signTestPayload(CLICK, { secret: "🔑", at: NOW });
  assert.equal(await judge(odd.body, odd.headers, "🔑", strict), "timestamp_missing", "no key to verify a time with");
});

test("one wrong signature is enough to refuse, whichever of the two it is", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const other = await signTestPayload(CLICK, { secret: OTHER, at: NOW });
  for (const name of ["x-linkme-signature", "webhook-signature"]) {
    assert.equal(await judge(body, { ...headers, [name]: other.headers[name] }), "signature_mismatch", name);
  }
  assert.equal(await judge(`${body} `, headers), "signature_mismatch");
});

test("during a rotation the old secret, the new one and both are enough", async () => {
  const now = await signTestPayload(CLICK, { secret: OTHER, at: NOW });
  const before = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const headers = {
    ...now.headers,
    "x-linkme-signature-previous": before.headers["x-linkme-signature"],
    "webhook-signature": `v1a,${"A".repeat(86)}== ${now.headers["webhook-signature"]} ${before.headers["webhook-signature"]}`,
  };
  for (const secrets of [SECRET, OTHER, [SECRET, OTHER], [OTHER, "whsec_eA=="]]) {
    assert.equal(await judge(now.body, headers, secrets), "believed", String(secrets));
  }
  assert.equal(await judge(now.body, headers, "whsec_eA=="), "signature_mismatch");
});

test("a header that is there twice, in whatever form, is no signature", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const signature = headers["x-linkme-signature"] ?? "";
  const twice: ReceiverHeaders[] = [
    { ...headers, "x-linkme-signature": [signature, signature] },
    { ...headers, "x-linkme-signature": `${signature}, ${signature}` },
    { ...headers, "X-LinkMe-Signature": signature },
    new Headers([...Object.entries(headers), ["x-linkme-signature", signature]]),
  ];
  for (const given of twice) assert.equal(await judge(body, given), "signature_malformed");
});

test("names of headers are read in any case", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
  assert.equal(await judge(body, upper), "believed");
  assert.equal(await judge(body, new Headers(upper)), "believed");
});

test("a secret that is no base64 is verified by X-LinkMe-Signature alone, and an empty key never", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: "🔑", at: NOW });
  assert.equal(headers["webhook-signature"], undefined);
  const id = { "webhook-id": "1", "webhook-timestamp": "1" };
  assert.equal(await judge(body, { ...headers, ...id, "webhook-signature": "v1,x" }, "🔑"), "believed");
  assert.equal(await judge(body, { ...id, ...json, "webhook-signature": "v1,x" }, "🔑"), "signature_missing");
});

test("every secret is compared with every signature, also after one has fitted", async (t) => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const verify = t.mock.method(crypto.subtle, "verify");
  assert.equal(await judge(body, headers, [SECRET, OTHER, "whsec_eA=="]), "believed");
  assert.equal(verify.mock.callCount(), 6, "three secrets, in two forms");
});

test("what signTestPayload signs is what the published verifiers accept", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET });
  assert.equal(verifyLinkMeWebhookSignature(body, headers["x-linkme-signature"], SECRET), true);
  assert.deepEqual(new Webhook(SECRET).verify(body, headers), CLICK);
  const dated = await signTestPayload("[]", { secret: SECRET, at: new Date(NOW) });
  assert.deepEqual(
    [dated.body, dated.headers["webhook-timestamp"], dated.headers["webhook-id"]],
    ["[]", String(NOW / 1000), "msg_test"],
  );
  await assert.rejects(signTestPayload({}, { secret: "" }), { code: "secret_missing" });
  await assert.rejects(signTestPayload(Buffer.from("{}"), { secret: SECRET }), { code: "raw_body_type" });
});

for (const secrets of [
  undefined,
  null,
  "",
  " ",
  [],
  [SECRET, ""],
  [SECRET, undefined],
  [[SECRET]],
  { a: 1 },
  Array(17).fill("x"),
]) {
  test(`the secrets ${JSON.stringify(secrets)} are refused at the start, and from a function with each request`, async () => {
    // The casts are the point: plain JavaScript callers have no types to stop them.
    assert.throws(() => createReceiver({ secrets: secrets as string }), {
      name: "LinkMeUsageError",
      code: "secret_missing",
    });
    const errors: unknown[] = [];
    const receiver = createReceiver({ secrets: async () => secrets as string }).onError((error) => errors.push(error));
    const { body, headers } = await signTestPayload(CLICK, { secret: "x" });
    const { status, outcome } = await receiver.receive({ method: "POST", headers, body });
    assert.deepEqual([status, outcome.kind, errors.length], [500, "misconfigured", 1]);
  });
}

test("a missing secret says how one is given", () => {
  assert.throws(
    () => createReceiver({ secrets: "" }),
    /signing_secret of the webhook.*environment variable.*\(\) => SECRET\.value\(\)/,
  );
});

test("a secret with a line break is told of when nothing fits, and is not mended silently", async () => {
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const errors: { code?: string; message?: string }[] = [];
  const receiver = createReceiver({ secrets: `${SECRET}\n`, now: () => NOW }).onError((error) =>
    errors.push(error as Error),
  );
  const { status, body: answer } = await receiver.receive({ method: "POST", headers, body });
  assert.deepEqual([status, errors.length, errors[0]?.code], [401, 1, "secret_whitespace"]);
  assert.match(errors[0]?.message ?? "", /ends with a line break.*printf %s/);
  for (const text of [errors[0]?.message, answer]) assert.ok(!text?.includes(SECRET));
});

test("secrets of a function are asked for with each request, and its failure is answered 503", async () => {
  let stored: string | undefined;
  const receiver = createReceiver({
    now: () => NOW,
    secrets: () => {
      if (stored === undefined) throw new Error("the secret manager is away");
      return stored;
    },
  }).onError(() => {});
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const ask = async () => (await receiver.receive({ method: "POST", headers, body })).status;
  const away = await ask();
  stored = OTHER;
  const wrong = await ask();
  stored = SECRET;
  assert.deepEqual([away, wrong, await ask()], [503, 401, 200]);
});
