// An event as Mixpanel's import takes it. Used by the destination of that type and by the forwarder of the SDK for Node.
// Source: Mixpanel's documentation of "Import Events". It knows an event that comes twice by name, time, distinct_id and
// `$insert_id` together, so all four stay as they are on each attempt.
import { type Audience, anonymousNameOf, cutBytes, type Who, whoOf } from "./audience.ts";
import { campaignOf, type PropertyValue, propertiesOf, shortLinkOf } from "./properties.ts";
import { eventName, type MapContext, type Skipped, type SourceEvent, textOf, timeOf } from "./source.ts";
import { systemOf } from "./system.ts";
import { uuidOf } from "./uuid.ts";

/** Mixpanel cuts longer texts. Counted in bytes, which is never more than in characters. */
const TEXT_MAX_BYTES = 255;
export const MIXPANEL_ID_MAX_BYTES = TEXT_MAX_BYTES;
export const MIXPANEL_NAME_MAX_CHARS = TEXT_MAX_BYTES;
/** Later events are refused. */
export const MIXPANEL_AHEAD_MAX_MS = 3600 * 1000;
const INSERT_ID = /^[A-Za-z0-9-]{1,36}$/;

export interface MixpanelSettings extends Omit<Audience, "unidentified"> {
  /** `empty`: an event that names nobody is sent without an id, and stays out of all that counts users. */
  readonly unidentified: "empty" | "skip";
}

export interface MixpanelContext extends MapContext {
  /** When it is sent, in ms since 1970: stands for the time of an event that tells none, for Mixpanel takes none without. */
  readonly at: number;
}

export interface MappedMixpanel {
  readonly kind: "mapped";
  readonly event: { event: string; properties: Record<string, PropertyValue> };
}

export function mapMixpanel(
  event: SourceEvent,
  settings: MixpanelSettings,
  context: MixpanelContext,
): MappedMixpanel | Skipped {
  const audience = { ...settings, unidentified: "skip" } as const;
  const found = whoOf("mixpanel", event, audience, { ...context, id_max_bytes: MIXPANEL_ID_MAX_BYTES });
  const is_nobody = "kind" in found && found.reason === "no_identity" && settings.unidentified === "empty";
  if ("kind" in found && !is_nobody) return found;
  const who: Who = "kind" in found ? {} : found;
  const { id, ts } = event;
  const anonymous = anonymousNameOf(who);
  return {
    kind: "mapped",
    event: {
      event: eventName(event.event),
      properties: {
        time: timeOf(ts) ?? context.at,
        distinct_id: who.user_id ?? anonymous ?? "",
        $insert_id: INSERT_ID.test(id) ? id : uuidOf(id),
        ...(anonymous !== undefined && { $device_id: anonymous }),
        ...(who.user_id !== undefined && { $user_id: who.user_id }),
        ...mixpanelProperties(event),
      },
    },
  };
}

function mixpanelProperties(event: SourceEvent): Record<string, PropertyValue> {
  const { data } = event;
  const { source, medium, name, term, content } = campaignOf(data);
  const own = {
    mp_lib: "linkme",
    $os: systemOf(data),
    $current_url: shortLinkOf(data),
    $referring_domain: textOf(data, "referrer"),
    $app_version_string: textOf(data, "app_version"),
    utm_source: source,
    utm_medium: medium,
    utm_campaign: name,
    utm_term: term,
    utm_content: content,
  };
  const all = Object.entries({ ...own, ...propertiesOf(event) });
  return Object.fromEntries(
    all.flatMap(([key, value]) => {
      if (value === undefined) return [];
      return [[key, typeof value === "string" ? cutBytes(value, TEXT_MAX_BYTES) : value]];
    }),
  );
}
