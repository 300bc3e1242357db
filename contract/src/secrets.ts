// The signing secret of a webhook and its rotation, as the management API speaks of them: staged, checked, promoted with
// a grace period, undone, revoked. Secrets are in these answers alone, and in the answer that creates a webhook.
import { z } from "zod";
import { TriedRequest } from "./checks.ts";
import { PublicKey } from "./destinations.ts";
import { Timestamp } from "./fields.ts";

export const GRACE_DEFAULT_SECONDS = 86_400;
const GRACE_MAX_SECONDS = 604_800;

const SigningSecret = z.string().describe("whsec_ and the base64 of 32 bytes");
const PreviousValidUntil = Timestamp.describe(
  "until then the replaced secret signs too, unless the secrets are revoked; after an undo it is the current one",
);

export const Secret = z
  .object({
    signing_secret: SigningSecret,
    public_key: PublicKey.optional().describe("with ed25519: the key that signs beside it"),
  })
  .meta({ id: "Secret" });

export const SecretState = Secret.extend({
  next_secret: SigningSecret.optional().describe("while one is staged"),
  next_public_key: PublicKey.optional().describe("with ed25519, while one is staged"),
  previous_valid_until: PreviousValidUntil.optional(),
  older_valid_until: z
    .array(Timestamp)
    .optional()
    .describe("until when the secrets sign that earlier promotions replaced, the last replaced first"),
}).meta({ id: "SecretState" });
export type SecretState = z.infer<typeof SecretState>;

export const NextSecret = z
  .object({ next_secret: SigningSecret, next_public_key: PublicKey.optional().describe("with ed25519") })
  .meta({ id: "NextSecret" });

export const PromoteBody = z
  .strictObject({
    grace_seconds: z
      .number()
      .int()
      .min(0)
      .max(GRACE_MAX_SECONDS)
      .optional()
      .describe(
        `how long the secret stays valid that is replaced now; default ${GRACE_DEFAULT_SECONDS}. Those replaced earlier keep their times`,
      ),
  })
  .optional();

export const Promotion = Secret.extend({ previous_valid_until: PreviousValidUntil }).meta({ id: "Promotion" });

export const SecretCheck = TriedRequest.extend({
  ok: z.boolean().describe("whether the receiver accepted the staged secret"),
  event_id: z.string(),
}).meta({ id: "SecretCheck" });
export type SecretCheck = z.infer<typeof SecretCheck>;
