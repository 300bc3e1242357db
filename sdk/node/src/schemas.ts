// The schemas that LinkMe's Node client exports, and the types inferred from them. The client parses with them what it
// is given and what a server answers. Members that are not named here are left out of what they return.
import { z } from "zod";

const flag = z.union([z.literal(0), z.literal(1)]);
const text = z.string().nullable().optional();

/** The same optional member for each of the ten keys that count as UTM. */
function forEachUtmKey<Value extends z.ZodType>(value: Value) {
  const member = value.optional();
  return z.object({
    utm_source: member,
    utm_medium: member,
    utm_campaign: member,
    utm_term: member,
    utm_content: member,
    utm_id: member,
    utm_source_platform: member,
    utm_creative_format: member,
    utm_marketing_tactic: member,
    tags: member,
  });
}

/** A link as `GET` and `PATCH /api/links/{id}` answer it. `utm`, `utm_override` and `deep_link_params` are JSON text. */
export const LinkSchema = z.object({
  id: z.string(),
  app_id: z.string(),
  domain_id: text,
  slug: z.string(),
  deep_link_path: text,
  deep_link_params: text,
  ios_custom_url: text,
  android_custom_url: text,
  web_fallback_url: text,
  allow_param_passthrough: flag,
  force_redirect_web: flag,
  og_title: text,
  og_description: text,
  og_image_url: text,
  utm: text,
  utm_override: text,
  internal: flag.optional(),
  enabled: flag,
  click_count: z.number(),
  last_click_at: text,
  created_at: z.string().optional(),
});

/** A link as `GET /api/apps/{appId}/links` lists it. */
export const ExtendedLinkSchema = LinkSchema.extend({
  hostname: text,
  idUrl: z.string().optional(),
  slugUrl: z.string().optional(),
  clicks: z.number().optional(),
  installs: z.number().optional(),
});

/** What `createLink` takes. */
export const CreateLinkInputSchema = z.object({
  appId: z.string().min(1, "appId is required"),
  slug: z.string().optional(),
  deepLink: text,
  redirects: z.object({ ios: text, android: text, web: text, forceWeb: z.boolean().optional() }).optional(),
  utm: forEachUtmKey(z.string()).optional(),
  utmPresetId: z.string().optional(),
  utmOverrides: forEachUtmKey(z.boolean()).optional(),
  allowParamPassthrough: z.boolean().optional(),
  displayInPortal: z.boolean().optional(),
  customData: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null(), z.undefined()])).optional(),
  og: z
    .object({ title: z.string().optional(), description: z.string().optional(), imageUrl: z.string().optional() })
    .optional(),
});

/** What `updateLink` takes: only what is named changes. */
export const UpdateLinkInputSchema = LinkSchema.pick({
  deep_link_path: true,
  ios_custom_url: true,
  android_custom_url: true,
  web_fallback_url: true,
  allow_param_passthrough: true,
  force_redirect_web: true,
  og_title: true,
  og_description: true,
  og_image_url: true,
  utm: true,
  utm_override: true,
  enabled: true,
}).partial();

/** What a server answers when a link was created. */
export const CreateLinkResponseSchema = z.object({
  id: z.string(),
  app_id: z.string(),
  domain_id: z.string().nullable(),
  slug: z.string(),
  slugUrl: z.string(),
});

const UNPARSED = "Invalid input: expected object, received string: call JSON.parse on the body first";

/** The envelope of a webhook; what `parseLinkMeWebhookEnvelope` parses with. */
export const LinkMeWebhookEnvelopeSchema = z.object(
  {
    id: z.string().min(1),
    event: z.string().min(1),
    ts: z.string().optional(),
    app_id: z.string().optional(),
    data: z.record(z.string(), z.unknown()).optional(),
  },
  { error: ({ input }) => (typeof input === "string" ? UNPARSED : undefined) },
);

export type LinkParsed = z.infer<typeof LinkSchema>;
export type ExtendedLinkParsed = z.infer<typeof ExtendedLinkSchema>;
export type CreateLinkInputParsed = z.infer<typeof CreateLinkInputSchema>;
export type UpdateLinkInputParsed = z.infer<typeof UpdateLinkInputSchema>;
export type CreateLinkResponseParsed = z.infer<typeof CreateLinkResponseSchema>;
export type LinkMeWebhookEnvelopeParsed = z.infer<typeof LinkMeWebhookEnvelopeSchema>;

export type Link = LinkParsed;
export type CreateLinkInput = z.input<typeof CreateLinkInputSchema>;
export type UpdateLinkInput = z.input<typeof UpdateLinkInputSchema>;
