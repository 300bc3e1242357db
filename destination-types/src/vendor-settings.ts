// Settings that destinations of several vendors share: who is sent and who is not, secrets, hosts.
// A stored config is read with the same schema as one that comes in, so a secret may be a sealed text or a mask, too.
import { z } from "zod";
import { MASK } from "#contract/destinations.ts";
import { TargetUrl } from "#contract/target-url.ts";
import { secret } from "./definition.ts";

/** With room for what a secret becomes when it is sealed. */
const SECRET_MAX_CHARS = 4_000;

/** @param what completes "… of the project", for the one who types it */
export function secretText(what: string): z.ZodString {
  return secret(
    z
      .string()
      .min(1)
      .max(SECRET_MAX_CHARS)
      .refine((text) => text === MASK || /^[\x21-\x7e]+$/.test(text), {
        error: "printable ASCII characters without spaces: copy it again",
      })
      .describe(what),
  );
}

export const AUDIENCE_SETTINGS = {
  send_user_id: z
    .boolean()
    .default(false)
    .describe("send the app's own user id; without it people stay under ids that mean nothing elsewhere"),
  unidentified: z
    .enum(["per_event", "skip"])
    .default("per_event")
    .describe("an event that names neither click nor user: count it as a user of its own, or skip it"),
  skip_bots: z.boolean().default(true).describe("skip events with `is_bot: true` in their data"),
  respect_consent: z
    .boolean()
    .default(true)
    .describe("skip events whose data says `consent: {analytics_storage: denied}`"),
};

/** A base URL: paths are put behind it. */
export const HostUrl = TargetUrl.refine((url) => !url.includes("?"), { error: "a URL without a query" });

/** Without the slashes at its end. */
export function baseOf(url: string): string {
  return url.replace(/\/+$/, "");
}
