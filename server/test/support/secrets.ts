// Webhooks whose secrets are rotated, and which of the secrets sign their requests.
import assert from "node:assert/strict";
import { Webhook as Verifier } from "standardwebhooks";
import { verifyLinkMeWebhookSignature as verify } from "../../../sdk/node/src/index.ts";
import { builtBy, headersOf, input, outgoing, type World } from "./destinations.ts";

export async function makeWebhook({ destinations }: World, changes: Parameters<typeof input>[0] = {}) {
  const { id, signing_secret } = await destinations.createWebhook("shop", input(changes));
  assert.ok(signing_secret !== undefined);
  return { id, secret: signing_secret };
}

/** Which of these secrets fit each signature of a request that is made now. */
export async function signers({ destinations, clock }: World, id: string, secrets: readonly string[]) {
  const at = clock.at;
  const request = builtBy(await destinations.find(id), { ...outgoing, at });
  const headers = headersOf(request);
  const fitting = (name: string) => secrets.filter((secret) => verify(request.body, headers[name], secret));
  const standard = (secret: string) => {
    const signature = new Verifier(secret).sign(outgoing.event_id, new Date(at), request.body);
    return headers["webhook-signature"]?.split(" ").includes(signature) === true;
  };
  return {
    linkme: fitting("X-LinkMe-Signature"),
    previous: fitting("X-LinkMe-Signature-Previous"),
    standard: secrets.filter(standard),
    count: headers["webhook-signature"]?.split(" ").length,
  };
}
