// An event as PostHog takes it. Used by the destination of that type and by the forwarder of the SDK for Node.
// Sources: PostHog's documentation of its capture endpoints and of anonymous events, and the rules of its capture service for
// ids, names and times.
// PostHog recognises an event that came twice by uuid, name, distinct_id and time together, so all four stay as they are on each
// attempt; and `sent_at` is never sent, for PostHog shifts the time of an event by it.
import { type Audience, anonymousNameOf, whoOf } from "./audience.ts";
import { campaignOf, propertiesOf, shortLinkOf } from "./properties.ts";
import { eventName, type MapContext, objectOf, type Skipped, type SourceEvent, textOf, timeOf } from "./source.ts";
import { systemOf } from "./system.ts";
import { uuidOf } from "./uuid.ts";

/** Longer ones are cut or refused. Counted in bytes, which is never more than in characters. */
export const POSTHOG_ID_MAX_BYTES = 200;
export const POSTHOG_NAME_MAX_CHARS = 200;
/** Later events are shown at the time of their arrival. */
export const POSTHOG_AHEAD_MAX_MS = 23 * 3600 * 1000;
/** From this age on PostHog wants to be told that it gets history, and is not alarmed by it. */
const HISTORICAL_MS = 48 * 3600 * 1000;

export interface PosthogContext extends MapContext {
  /** When it is sent, in ms since 1970. */
  readonly at: number;
}

export interface MappedPosthog {
  readonly kind: "mapped";
  readonly uuid: string;
  readonly event: string;
  readonly distinct_id: string;
  /** ISO 8601, when it happened. */
  readonly timestamp: string;
  /** Whether it is about a user whom the app has named. Others make no person, which PostHog would bill. */
  readonly is_identified: boolean;
  readonly is_historical: boolean;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

export function mapPosthog(event: SourceEvent, settings: Audience, context: PosthogContext): MappedPosthog | Skipped {
  // Where the app's backend has sent it in.
  const carried = textOf(objectOf(event.data, "posthog") ?? {}, "distinct_id");
  const who = whoOf("posthog", event, settings, { ...context, carried, id_max_bytes: POSTHOG_ID_MAX_BYTES });
  if ("kind" in who) return who;
  const happened_at = timeOf(event.ts);
  return {
    kind: "mapped",
    uuid: uuidOf(event.id),
    event: eventName(event.event),
    // One of the three is there: see Who.
    distinct_id: who.carried ?? who.user_id ?? anonymousNameOf(who) ?? "",
    timestamp: event.ts,
    is_identified: who.user_id !== undefined,
    is_historical: happened_at !== undefined && context.at - happened_at > HISTORICAL_MS,
    properties: posthogProperties(event),
  };
}

function posthogProperties(event: SourceEvent): MappedPosthog["properties"] {
  const { data } = event;
  const { source, medium, name, term, content } = campaignOf(data);
  const own = {
    $lib: "linkme",
    // The request comes from this server: its place is nobody's.
    $geoip_disable: true,
    $os: systemOf(data),
    $current_url: shortLinkOf(data),
    $referring_domain: textOf(data, "referrer"),
    $app_version: textOf(data, "app_version"),
    utm_source: source,
    utm_medium: medium,
    utm_campaign: name,
    utm_term: term,
    utm_content: content,
  };
  const known = Object.entries(own).filter((one): one is [string, string | boolean] => one[1] !== undefined);
  return { ...Object.fromEntries(known), ...propertiesOf(event) };
}
