// A config of each type of destination in which every secret can be recognised, for what holds for all of them. Used by the
// conformance suite and the tests of the API; a type without one fails there.

/** Stands in every secret, so that it is found wherever it may have got to. */
export const SECRET = "Sup3rSecret";

/** @param origin where a vendor's fake listens; types with a fixed address do without */
export function configOf(type: string, origin = "https://vendor.example"): Record<string, unknown> {
  const config = CONFIGS[type];
  if (config === undefined) throw new Error(`say a config of ${type} in vendor-configs.ts`);
  return config(origin);
}

const CONFIGS: Record<string, (origin: string) => Record<string, unknown>> = {
  webhook: (origin) => ({ url: `${origin}/in`, signing: true, headers: { "X-Key": SECRET } }),
  ga4: (origin) => ({ measurement_id: "G-ABC123DEF4", api_secret: SECRET, host: origin }),
  amplitude: (origin) => ({ api_key: SECRET, host: origin }),
  mixpanel: (origin) => ({ project_id: "12", username: `${SECRET}-user`, secret: SECRET, host: origin }),
  posthog: (origin) => ({ project_api_key: SECRET, host: origin }),
  segment: (origin) => ({ write_key: SECRET, host: origin, skip_google_analytics: true }),
  http: (origin) => ({
    url: `${origin}/v1/{{app_id}}/events`,
    headers: { Authorization: `Bearer ${SECRET}`, "Idempotency-Key": "{{id}}" },
    secrets: { key: SECRET },
    body: '{"event":"{{event}}","key":"{{secret.key}}","link":"{{data.link_id}}"}',
  }),
};
