// What each vendor is told of an event, under the same names everywhere: parameters of GA4, properties of PostHog and Segment,
// columns of a warehouse. What an event does not say is left out, never sent as null. Used by the mapper of each vendor.
import { booleanOf, objectOf, parseUrl, type SourceEvent, textOf, timeOf } from "./source.ts";

export type PropertyValue = string | number | boolean;

/** In this order, which is part of the bytes that are sent: the same event makes the same request. */
export interface Properties {
  linkme_event: string;
  /** To recognise what came twice. Another one for each event: never a dimension of a report. */
  linkme_event_id: string;
  linkme_app_id: string;
  linkme_link_id?: string;
  linkme_platform?: string;
  linkme_dest_host?: string;
  /** Without its query, which may carry tokens and addresses of mail. */
  linkme_dest_path?: string;
  linkme_campaign?: string;
  linkme_referrer_host?: string;
  /** The ways in which a token can be claimed, with commas between. */
  linkme_token_methods?: string;
  /** How a click was recognised in the app; `none` where an attempt found nothing. */
  linkme_match_type?: string;
  linkme_matched?: boolean;
  /** Why an attempt matched or did not. */
  linkme_reason?: string;
  linkme_first_open?: boolean;
  linkme_app_version?: string;
  /** Whole seconds. */
  linkme_seconds_since_click?: number;
}

export function propertiesOf({ id, event, app_id, data, ts }: SourceEvent): Properties {
  const properties: Properties = { linkme_event: event, linkme_event_id: id, linkme_app_id: app_id };
  const add = <Name extends keyof Properties>(name: Name, value: Properties[Name] | undefined) => {
    if (value !== undefined) properties[name] = value;
  };
  add("linkme_link_id", textOf(data, "link_id"));
  add("linkme_platform", textOf(data, "platform")?.toLowerCase());
  const target = targetOf(data);
  add("linkme_dest_host", target?.host);
  add("linkme_dest_path", target?.path);
  add("linkme_campaign", campaignOf(data).name);
  add("linkme_referrer_host", textOf(data, "referrer"));
  add("linkme_token_methods", methodsOf(data));
  add("linkme_match_type", matchTypeOf(event, data));
  add("linkme_matched", event === "link.claim" ? true : booleanOf(data, "matched"));
  add("linkme_reason", textOf(data, "reason"));
  add("linkme_first_open", booleanOf(data, "first_open"));
  add("linkme_app_version", textOf(data, "app_version"));
  add("linkme_seconds_since_click", secondsSinceClick(data, ts));
  return properties;
}

/** UTM values of the link and of the visit, under the names that vendors have for them. */
export interface Campaign {
  source?: string;
  medium?: string;
  name?: string;
  term?: string;
  content?: string;
}

export function campaignOf(data: SourceEvent["data"]): Campaign {
  const utm = objectOf(data, "utm") ?? {};
  const campaign: Campaign = {};
  for (const [name, key] of [
    ["source", "utm_source"],
    ["medium", "utm_medium"],
    ["name", "utm_campaign"],
    ["term", "utm_term"],
    ["content", "utm_content"],
  ] as const) {
    const value = textOf(utm, key);
    if (value !== undefined) campaign[name] = value;
  }
  return campaign;
}

/** The address that was opened, without what came behind it; undefined where the event does not tell the host. */
export function shortLinkOf(data: SourceEvent["data"]): string | undefined {
  const hostname = textOf(data, "hostname");
  return hostname === undefined ? undefined : `https://${hostname}/${textOf(data, "slug") ?? ""}`;
}

function targetOf(data: SourceEvent["data"]): { host: string; path: string } | undefined {
  const url = parseUrl(textOf(data, "dest_url") ?? "");
  // Own schemes of apps have no host.
  return url === null || url.host === "" ? undefined : { host: url.host, path: url.pathname };
}

function methodsOf(data: SourceEvent["data"]): string | undefined {
  const methods = data["methods"];
  if (!Array.isArray(methods)) return undefined;
  const known = methods.filter((one) => typeof one === "string");
  return known.length > 0 ? known.join(",") : undefined;
}

function matchTypeOf(event: string, data: SourceEvent["data"]): string | undefined {
  if (event !== "link.deferred_claim_attempt") return textOf(data, "claim_type");
  return booleanOf(data, "matched") === true ? textOf(data, "method") : "none";
}

/** Only where the event tells when the click was. */
function secondsSinceClick(data: SourceEvent["data"], ts: string): number | undefined {
  const clicked_at = timeOf(textOf(data, "clicked_at"));
  const at = timeOf(textOf(data, "claimed_at") ?? ts);
  return clicked_at === undefined || at === undefined || at < clicked_at
    ? undefined
    : Math.floor((at - clicked_at) / 1_000);
}
