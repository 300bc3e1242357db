// What callers write into a link, as columns: LinkMe's camelCase and the names of the stored link. Pure; called by
// writing.ts. The contract's schemas have validated it, and the body parser has refused what no database could keep.
import type { LinkCreate, LinkPatch } from "#contract/links.ts";
import type { LinkRow } from "./link.ts";

export interface LinkIdentity {
  readonly id: string;
  readonly app_id: string;
  readonly domain_id: string | null;
  readonly now: number;
}

/** They say nothing when they are empty, which is kept as none: a CSV file knows no other difference. */
const TEXTS = ["deep_link_path", "og_title", "og_description"] as const;

/** The columns of what is named, and of nothing else. */
export function toColumns({ tags, expires_at, ...same }: LinkPatch): Partial<LinkRow> {
  const texts = Object.fromEntries(TEXTS.flatMap((name) => (same[name] === "" ? [[name, null]] : [])));
  return {
    ...same,
    ...texts,
    ...(tags !== undefined && { tags: tags === null || tags.length === 0 ? null : JSON.stringify(tags) }),
    ...(expires_at !== undefined && { expires_at: expires_at === null ? null : Date.parse(expires_at) }),
  };
}

/**
 * The row of a new link; its slug is chosen by the caller.
 * @param internal what it is when the caller does not say: LinkMe's SDK hides links, people do not
 */
export function composeLink(input: LinkCreate, { id, app_id, domain_id, now }: LinkIdentity, internal: 0 | 1): LinkRow {
  const { redirects } = input;
  const given = toColumns({ tags: input.tags ?? null, expires_at: input.expires_at ?? null });
  return {
    id,
    app_id,
    slug: "",
    domain_id,
    deep_link_path: (input.deep_link_path ?? input.deepLink) || null,
    deep_link_params: input.deep_link_params ?? jsonOrNull(input.deepLinkParams),
    ios_custom_url: input.ios_custom_url ?? redirects?.ios ?? null,
    android_custom_url: input.android_custom_url ?? redirects?.android ?? null,
    ios_store_url: input.ios_store_url ?? input.iosStoreUrl ?? null,
    android_store_url: input.android_store_url ?? input.androidStoreUrl ?? null,
    web_fallback_url: input.web_fallback_url ?? redirects?.web ?? null,
    og_title: input.og_title || null,
    og_description: input.og_description || null,
    og_image_url: input.og_image_url ?? null,
    utm: typeof input.utm === "string" ? input.utm : jsonOrNull(input.utm),
    utm_override: input.utm_override ?? jsonOrNull(input.utmOverrides),
    utm_preset_id: input.utm_preset_id ?? input.utmPresetId ?? null,
    custom_data: input.custom_data ?? jsonOrNull(input.customData),
    allow_param_passthrough: input.allow_param_passthrough ?? input.allowParamPassthrough ?? 0,
    force_redirect_web: input.force_redirect_web ?? redirects?.forceWeb ?? 0,
    enabled: input.enabled ?? 1,
    internal: input.internal ?? hiddenBy(input.displayInPortal) ?? internal,
    click_count: 0,
    install_count: 0,
    last_click_at: null,
    created_at: now,
    updated_at: now,
    tags: given.tags ?? null,
    expires_at: given.expires_at ?? null,
    click_limit: input.click_limit ?? null,
    expired_url: input.expired_url ?? null,
  };
}

function hiddenBy(is_shown: 0 | 1 | null | undefined): 0 | 1 | null {
  return is_shown === null || is_shown === undefined ? null : is_shown === 1 ? 0 : 1;
}

function jsonOrNull(map: object | null | undefined): string | null {
  return map === null || map === undefined || Object.keys(map).length === 0 ? null : JSON.stringify(map);
}
