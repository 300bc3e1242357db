// The payload that claims and resolved links answer. Pure; called by claims.ts.
// The order of members is part of the format: old Android SDKs read the text with regular expressions, the first
// occurrence of a name counts and a map ends at the first brace, so scalars stand before maps, and maps are flat.
import type { LinkPayload } from "#contract/links.ts";
import { type LinkRow, parseMap, ROOT_LINK_ID, rootRow } from "../links/link.ts";
import { readQuery, type StringMap } from "../links/query.ts";

export interface PayloadInput {
  readonly link: LinkRow;
  /** The link's own address, or the one that was resolved; null where neither is known. */
  readonly url: string | null;
  readonly web_fallback_url: string | null;
  readonly utm: StringMap;
  readonly params: StringMap;
  /** The token, and whether it was claimed before; null where no click was involved. */
  readonly token: { readonly cid: string; readonly duplicate: boolean } | null;
}

/** A link without a slug has no id for apps to know, and no address but the one it was opened by. */
export function composePayload({ link, url, web_fallback_url, utm, params, token }: PayloadInput): LinkPayload {
  const forced = link.force_redirect_web === 1 && web_fallback_url !== null;
  return {
    ...(link.id === ROOT_LINK_ID ? {} : { linkId: link.id }),
    ...(token === null ? {} : { cid: token.cid }),
    ...(link.deep_link_path ? { path: link.deep_link_path } : {}),
    ...(url === null ? {} : { url }),
    isLinkMe: true,
    duplicate: token?.duplicate ?? false,
    forceRedirectWeb: forced,
    ...(forced ? { webFallbackUrl: web_fallback_url } : {}),
    params,
    utm,
    custom: parseMap(link.custom_data),
  };
}

/**
 * The payload of an address on a host of ours that is no link: its path and query, so that the app gets something to
 * route by. A root address may name its path in the query: `https://<host>/?path=settings`.
 */
export function composePassThrough(url: URL): LinkPayload {
  const { utm, params } = readQuery(url.search.slice(1));
  const { path: named, ...rest } = params;
  const is_root = url.pathname === "/" && named !== undefined;
  return {
    path: is_root ? named : url.pathname,
    url: url.href,
    isLinkMe: true,
    duplicate: false,
    forceRedirectWeb: false,
    params: is_root ? rest : params,
    utm,
    custom: {},
  };
}

/** The link of a visit of `/?path=…`, by what its click has kept: the path is where it leads, the rest are its parameters. */
export function rootLinkOf<Click extends { readonly app_id: string; readonly params: string | null }>(
  click: Click,
): { link: LinkRow; click: Click } {
  const { path, ...rest } = parseMap(click.params);
  const link = { ...rootRow(click.app_id), deep_link_path: path ?? null };
  return { link, click: { ...click, params: JSON.stringify(rest) } };
}
