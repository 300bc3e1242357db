// What callers write into a new link: LinkMe's camelCase, as a row. Pure; called by links.ts.
// The contract's schemas have validated it, and the body parser has refused what no database could keep.
import type { LinkCreate } from "#contract/links.ts";
import type { LinkRow } from "./link.ts";

export interface LinkIdentity {
  readonly id: string;
  readonly app_id: string;
  readonly domain_id: string | null;
  readonly now: number;
}

/** The row of a new link; its slug is chosen by the caller. */
export function composeLink(input: LinkCreate, { id, app_id, domain_id, now }: LinkIdentity): LinkRow {
  return {
    id,
    app_id,
    slug: "",
    domain_id,
    deep_link_path: input.deepLink ?? null,
    deep_link_params: jsonOrNull(input.deepLinkParams),
    ios_custom_url: input.redirects?.ios ?? null,
    android_custom_url: input.redirects?.android ?? null,
    ios_store_url: input.iosStoreUrl ?? null,
    android_store_url: input.androidStoreUrl ?? null,
    web_fallback_url: input.redirects?.web ?? null,
    og_title: input.og_title ?? null,
    og_description: input.og_description ?? null,
    og_image_url: input.og_image_url ?? null,
    utm: jsonOrNull(input.utm),
    utm_override: jsonOrNull(input.utmOverrides),
    custom_data: jsonOrNull(input.customData),
    allow_param_passthrough: input.allowParamPassthrough === true ? 1 : 0,
    force_redirect_web: input.redirects?.forceWeb === true ? 1 : 0,
    enabled: 1,
    internal: input.displayInPortal ? 0 : 1,
    click_count: 0,
    last_click_at: null,
    created_at: now,
    updated_at: now,
  };
}

function jsonOrNull(map: object | null | undefined): string | null {
  return map === null || map === undefined || Object.keys(map).length === 0 ? null : JSON.stringify(map);
}
