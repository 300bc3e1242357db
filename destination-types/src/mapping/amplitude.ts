// An event as Amplitude's HTTP V2 API takes it. Used by the destination of that type and by the forwarder of the SDK for Node.
// Source: Amplitude's documentation of that API. It knows an event that comes twice within 7 days by `insert_id`.
import { type Audience, anonymousNameOf, whoOf } from "./audience.ts";
import { campaignOf, type PropertyValue, propertiesOf } from "./properties.ts";
import { cut, eventName, type MapContext, type Skipped, type SourceEvent, textOf, timeOf } from "./source.ts";
import { systemOf } from "./system.ts";

/** Amplitude cuts longer texts, ids included. */
const TEXT_MAX_CHARS = 1_024;
export const AMPLITUDE_ID_MAX_BYTES = TEXT_MAX_CHARS;
export const AMPLITUDE_NAME_MAX_CHARS = TEXT_MAX_CHARS;

/** In this order, which is part of the bytes that are sent. */
export interface AmplitudeEvent {
  event_type: string;
  insert_id: string;
  /** Milliseconds since 1970. */
  time?: number;
  user_id?: string;
  device_id?: string;
  platform?: string;
  os_name?: string;
  app_version?: string;
  library: string;
  event_properties: Record<string, PropertyValue>;
}

export interface MappedAmplitude {
  readonly kind: "mapped";
  readonly event: AmplitudeEvent;
}

/** No address is sent, and none is asked for: Amplitude would take this server's place for the visitor's. */
export function mapAmplitude(event: SourceEvent, settings: Audience, context: MapContext): MappedAmplitude | Skipped {
  const { id, data, ts } = event;
  const who = whoOf("amplitude", event, settings, { ...context, id_max_bytes: AMPLITUDE_ID_MAX_BYTES });
  if ("kind" in who) return who;
  const device_id = anonymousNameOf(who);
  const time = timeOf(ts);
  const system = systemOf(data);
  const platform = system ?? (textOf(data, "platform")?.toLowerCase() === "web" ? "Web" : undefined);
  const app_version = textOf(data, "app_version");
  return {
    kind: "mapped",
    event: {
      event_type: eventName(event.event),
      insert_id: id,
      ...(time !== undefined && { time }),
      ...(who.user_id !== undefined && { user_id: who.user_id }),
      ...(device_id !== undefined && { device_id }),
      ...(platform !== undefined && { platform }),
      ...(system !== undefined && { os_name: system }),
      ...(app_version !== undefined && { app_version: cut(app_version, TEXT_MAX_CHARS) }),
      library: "linkme/1",
      event_properties: amplitudeProperties(event),
    },
  };
}

function amplitudeProperties(event: SourceEvent): Record<string, PropertyValue> {
  const { source, medium, name, term, content } = campaignOf(event.data);
  const utm = { utm_source: source, utm_medium: medium, utm_campaign: name, utm_term: term, utm_content: content };
  const all = Object.entries({ ...utm, ...propertiesOf(event) });
  return Object.fromEntries(
    all.flatMap(([key, value]) => {
      if (value === undefined) return [];
      return [[key, typeof value === "string" ? cut(value, TEXT_MAX_CHARS) : value]];
    }),
  );
}
