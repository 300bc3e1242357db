// A link as the redirect sees it, for tests that decide where visitors go.
import { APP_DEFAULTS, type App } from "#contract/apps.ts";
import type { Platform } from "#contract/events.ts";
import { type KnownLink, type PreparedLink, prepareLink, prepareTargets } from "../../src/links/link.ts";
import { chooseTarget, withCid } from "../../src/links/routing.ts";

export const CID = "0199c1d2a3b4c5d6e7f8a9b0c1d2e3f4";
const ORIGIN = "https://go.shop.example";
export const STORE = "https://apps.apple.com/app/id1234567890";
export const PLAY = "https://play.google.com/store/apps/details?id=com.example.shop";

export const BLANK: KnownLink = {
  id: "lnk_0199c1d2a3b4c5d6e7f8a9b0c1d2e3f4",
  app_id: "shop",
  slug: "hello",
  domain_id: null,
  deep_link_path: null,
  deep_link_params: null,
  ios_custom_url: null,
  android_custom_url: null,
  ios_store_url: null,
  android_store_url: null,
  web_fallback_url: null,
  og_title: null,
  og_description: null,
  og_image_url: null,
  utm: null,
  utm_override: null,
  utm_preset_id: null,
  preset_utm: null,
  preset_updated_at: null,
  custom_data: null,
  allow_param_passthrough: 0,
  force_redirect_web: 0,
  enabled: 1,
  internal: 1,
  click_count: 0,
  install_count: 0,
  last_click_at: null,
  created_at: 0,
  updated_at: 0,
  tags: null,
  expires_at: null,
  click_limit: null,
  expired_url: null,
};
export const APP: App = { ...APP_DEFAULTS, id: "shop", name: "Shop", created_at: "", updated_at: "" };

export interface Given {
  link?: Partial<KnownLink>;
  app?: Partial<App>;
  origin?: string;
  /** Registered hosts of the app beside the one of the origin. */
  own_hosts?: string[];
}

export function prepare({ link = {}, app = {}, origin = ORIGIN, own_hosts = [] }: Given): PreparedLink {
  const row = { ...BLANK, ...link };
  const whole = { ...APP, ...app };
  const hostname = new URL(origin).hostname;
  const place = { origin, hostname, scope: "one_app" as const };
  return prepareLink({ row, app: whole, targets: prepareTargets(row, whole) }, place, own_hosts);
}

/** Where a recorded visit is sent. */
export function go(given: Given, platform: Platform, query = ""): string {
  return withCid(chooseTarget(prepare(given), platform, query), CID);
}
