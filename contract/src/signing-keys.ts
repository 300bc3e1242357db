// The public keys of webhooks that sign with Ed25519, as receivers read them: a JSON Web Key Set with a few members more.
import { z } from "zod";
import { PublicKey } from "./destinations.ts";
import { Id, Timestamp } from "./fields.ts";

export const SIGNING_KEYS_PATH = "/.well-known/linkme-webhooks-keys.json";

/** Which of a webhook's keys it is: what signs, what is staged to, what was replaced. All of them sign. */
const KEY_STATUSES = ["current", "next", "previous"] as const;
export type KeyStatus = (typeof KEY_STATUSES)[number];

export const SigningKey = z
  .object({
    kid: z.string().describe("the thumbprint of RFC 7638"),
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: z.string().describe("the public key in base64url"),
    alg: z.literal("EdDSA"),
    use: z.literal("sig"),
    public_key: PublicKey,
    webhook_id: z.string().describe("whose key it is: accept it for this webhook only"),
    status: z.enum(KEY_STATUSES),
    valid_until: Timestamp.nullable().describe("of a key that was replaced: when it ceases to sign"),
  })
  .meta({ id: "SigningKey" });
export type SigningKey = z.infer<typeof SigningKey>;

export const SigningKeys = z.object({ keys: z.array(SigningKey) }).meta({ id: "SigningKeys" });
export type SigningKeys = z.infer<typeof SigningKeys>;

/** Unknown fields are ignored: caches on the way add some of their own. */
export const SigningKeysQuery = z.object({ webhook_id: Id.optional().describe("only the keys of this webhook") });
