// Trying out a receiver: what is sent to a URL before its webhook is saved, how it answered, and what to do about it.
import { z } from "zod";
import { OUTCOMES } from "./deliveries.ts";
import { PublicKey, TIMEOUT_DEFAULT_MS, WEBHOOK_SETTINGS } from "./destinations.ts";
import { EVENT_TYPES, EventType } from "./events.ts";

/** What the Standard Webhooks specification asks of a secret. */
const SECRET_MIN_BYTES = 24;
const SECRET_MAX_BYTES = 64;
const SECRET_MAX_CHARS = 100;
const SECRET_ERROR = `whsec_ and the base64 of ${SECRET_MIN_BYTES} to ${SECRET_MAX_BYTES} bytes, such as an earlier check answered`;

const GivenSecret = z
  .string()
  .max(SECRET_MAX_CHARS)
  .refine(isSecret, { error: SECRET_ERROR })
  .describe("signs instead of a temporary one, so that a receiver can know it beforehand");

function isSecret(text: string): boolean {
  const encoded = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(text)?.[1];
  if (encoded === undefined) return false;
  const bytes = Math.floor((encoded.replaceAll("=", "").length * 3) / 4);
  return bytes >= SECRET_MIN_BYTES && bytes <= SECRET_MAX_BYTES;
}

const PRIVATE_KEY_FORM = /^whsk_[A-Za-z0-9+/]{43}=$/;

const GivenPrivateKey = z
  .string()
  .regex(PRIVATE_KEY_FORM, { error: "whsk_ and the base64 of 32 bytes, such as an earlier check answered" })
  .describe("with ed25519: signs instead of a temporary one, so that a receiver can know its public key beforehand");

export const CheckRequest = z
  .strictObject({
    url: WEBHOOK_SETTINGS.url,
    event: EventType.default(EVENT_TYPES[0]).describe("which sample is sent"),
    headers: WEBHOOK_SETTINGS.headers.default({}),
    timeout_ms: WEBHOOK_SETTINGS.timeout_ms.default(TIMEOUT_DEFAULT_MS),
    forged: z.boolean().default(false).describe("send the same event again with a wrong signature"),
    secret: GivenSecret.optional(),
    signature_scheme: WEBHOOK_SETTINGS.signature_scheme.optional(),
    private_key: GivenPrivateKey.optional(),
  })
  .refine(({ private_key, signature_scheme }) => private_key === undefined || signature_scheme === "ed25519", {
    path: ["private_key"],
    error: 'signs only with `signature_scheme` "ed25519"',
  })
  .meta({ id: "CheckRequest" });
export type CheckRequest = z.infer<typeof CheckRequest>;

const Milliseconds = z.number().nullable().describe("null where the step did not happen");

export const TriedRequest = z
  .object({
    status_code: z.number().int().nullable().describe("null without an answer"),
    outcome: z.enum(OUTCOMES),
    error: z.string().nullable(),
    timings_ms: z.object({
      dns: Milliseconds,
      connect: Milliseconds,
      tls: Milliseconds,
      first_byte: Milliseconds,
      total: z.number(),
    }),
    response_snippet: z.string(),
  })
  .meta({ id: "TriedRequest" });
export type TriedRequest = z.infer<typeof TriedRequest>;

const FINDING_LEVELS = ["error", "warning", "info"] as const;
export const Finding = z
  .object({
    level: z.enum(FINDING_LEVELS),
    message: z.string().describe("what was seen"),
    fix: z.string().describe("what to do about it"),
  })
  .meta({ id: "Finding" });
export type Finding = z.infer<typeof Finding>;

export const CheckAnswer = z
  .object({
    ok: z.boolean().describe("2xx for the signed event, and no 2xx for the forged one if that was sent"),
    signed: TriedRequest,
    forged: TriedRequest.nullable().describe("null when it was not asked for, or when the signed event got no answer"),
    findings: z.array(Finding),
    event_id: z.string(),
    signing_secret: z.string().describe("what signed: yours, or a temporary one that is stored nowhere"),
    public_key: PublicKey.optional().describe("with ed25519: what verifies it"),
    private_key: z.string().optional().describe("with ed25519: what signed, for the next check; stored nowhere"),
  })
  .meta({ id: "CheckAnswer" });
export type CheckAnswer = z.infer<typeof CheckAnswer>;
