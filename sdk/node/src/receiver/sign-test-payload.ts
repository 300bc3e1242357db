// Signs a body as the server does, for the tests of those who write receivers.
import { LinkMeUsageError } from "../errors.ts";
import { base64Of, bytesOf, hexOf, isBytes, joinBytes } from "./bytes.ts";
import { sign, standardKeyOf } from "./signature.ts";

export interface TestPayloadOptions {
  /** The secret that the receiver under test knows. */
  secret: string;
  /** When the delivery is made: a `Date` or milliseconds since 1970; default now. */
  at?: number | Date;
}

export interface SignedPayload {
  /** To be sent as it is. */
  body: string;
  /** Names in lower case. Both forms of the signature are there. */
  headers: Record<string, string>;
}

/**
 * A request as LinkMe Server sends it: the body, and its headers with both signatures.
 *
 * @param payload An envelope, which is printed as JSON, or a text that is taken as it is, valid JSON or not.
 * @throws {LinkMeUsageError} `secret_missing`
 *
 * @example
 * const { body, headers } = await signTestPayload(
 *   { id: "evt_1", event: "link.click", data: { link_id: "lnk_1", platform: "ios", dest_url: "https://a.example" } },
 *   { secret: "whsec_dGVzdA==" },
 * );
 * const response = await receiver.handle(new Request("http://receiver.test/", { method: "POST", headers, body }));
 */
export async function signTestPayload(payload: unknown, options: TestPayloadOptions): Promise<SignedPayload> {
  const { secret, at = Date.now() } = options;
  if (typeof secret !== "string" || secret === "") {
    throw new LinkMeUsageError(
      "secret_missing",
      "signTestPayload needs the secret that the receiver under test knows.",
    );
  }
  if (isBytes(payload)) {
    throw new LinkMeUsageError(
      "raw_body_type",
      "signTestPayload takes an object or a text; bytes would be printed as one.",
    );
  }
  const body = typeof payload === "string" ? payload : JSON.stringify(payload);
  const id = readId(payload) ?? "msg_test";
  const timestamp = String(Math.floor(Number(at) / 1000));
  const raw = bytesOf(body);
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "user-agent": "LinkMe-Webhooks/test",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "x-linkme-signature": `sha256=${hexOf(await sign(bytesOf(secret), raw))}`,
  };
  const key = standardKeyOf(secret);
  if (key.length > 0) {
    const message = joinBytes([bytesOf(`${id}.${timestamp}.`), raw]);
    headers["webhook-signature"] = `v1,${base64Of(await sign(key, message))}`;
  }
  return { body, headers };
}

function readId(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null || !("id" in payload)) return undefined;
  return typeof payload.id === "string" && payload.id !== "" ? payload.id : undefined;
}
