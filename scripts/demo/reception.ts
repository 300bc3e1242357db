// What a receiver does with one request, as a pure step over a small memory: verify the raw bytes with the SDK, only then
// parse, refuse the first try of every third event, and write down what was seen. Called by receiver.ts.
import {
  isLinkMeEvent,
  type LinkMeWebhookEnvelope,
  parseLinkMeWebhookEnvelope,
  verifyLinkMeWebhookSignature,
} from "../../sdk/node/src/index.ts";

/** The first try of every third event is answered 503. */
const REFUSED_EVERY = 3;

/** One request, as the receiver saw and answered it. */
export interface Receipt {
  /** Milliseconds since 1970, on a clock that never goes back. */
  received_at: number;
  /** From the headers webhook-id, X-LinkMe-Delivery and X-LinkMe-Attempt. */
  event_id: string;
  delivery_id: string;
  attempt: number;
  /** The raw bytes, in base64. */
  body: string;
  signature_is_valid: boolean;
  /** Null when the signature is not valid, for then nothing is parsed, or when it is no envelope. */
  envelope: LinkMeWebhookEnvelope | null;
  /** The SDK knows the event and all members of its data. */
  is_known_event: boolean;
  status: number;
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;
export type Reception = ReturnType<typeof createReception>;

/** @param secret the signing secret of the webhook */
export function createReception(secret: string) {
  const tries = new Map<string, { nth: number; count: number }>();

  return function receive(headers: Headers, raw: Buffer, received_at: number): Receipt {
    const signature_is_valid = verifyLinkMeWebhookSignature(raw, text(headers["x-linkme-signature"]), secret);
    const envelope = signature_is_valid ? parse(raw) : null;
    const event_id = text(headers["webhook-id"]);
    return {
      received_at,
      event_id,
      delivery_id: text(headers["x-linkme-delivery"]),
      attempt: Number(text(headers["x-linkme-attempt"])),
      body: raw.toString("base64"),
      signature_is_valid,
      envelope,
      is_known_event: envelope !== null && isLinkMeEvent(envelope),
      status: answer(event_id, signature_is_valid, envelope),
    };
  };

  function answer(event_id: string, signature_is_valid: boolean, envelope: LinkMeWebhookEnvelope | null): number {
    if (!signature_is_valid) return 401;
    if (envelope === null) return 400;
    const known = tries.get(event_id) ?? { nth: tries.size + 1, count: 0 };
    known.count += 1;
    tries.set(event_id, known);
    return isRefused(known.nth, known.count) ? 503 : 200;
  }
}

/** @param nth which of the different events it is, in the order of their first tries, from 1 on */
export function isRefused(nth: number, attempt: number): boolean {
  return attempt === 1 && nth % REFUSED_EVERY === 0;
}

function parse(raw: Buffer): LinkMeWebhookEnvelope | null {
  try {
    return parseLinkMeWebhookEnvelope(JSON.parse(raw.toString("utf8")));
  } catch {
    // Well signed and still no envelope: the verdict says so.
    return null;
  }
}

function text(header: string | string[] | undefined): string {
  return typeof header === "string" ? header : "";
}
