// An event as Segment's HTTP Tracking API takes it, and those who speak it, too: RudderStack, Jitsu and others.
// Used by the destination of that type and by the forwarder of the SDK for Node.
// Sources: Segment's documentation of the HTTP API, of the common fields of its calls, and of the integrations object.
// `sentAt` is never sent: Segment shifts the time of an event by it.
import { type Audience, anonymousNameOf, whoOf } from "./audience.ts";
import { type Campaign, campaignOf, type Properties, propertiesOf, shortLinkOf } from "./properties.ts";
import { eventName, type MapContext, objectOf, type Skipped, type SourceEvent, textOf } from "./source.ts";
import { systemOf } from "./system.ts";
import { uuidOf } from "./uuid.ts";

/** No limit of Segment's, but longer ones are refused by much that stands behind it. */
export const SEGMENT_ID_MAX_BYTES = 1_000;
export const SEGMENT_NAME_MAX_CHARS = 200;
const MESSAGE_ID_MAX_CHARS = 100;
/** A number of its own: it changes when what is sent changes, and not with each version of the server. */
const LIBRARY = { name: "linkme", version: "1" };
/** What Segment's documentation calls the destinations that send to Google Analytics 4 from its servers. */
const GOOGLE_ANALYTICS = { "Google Analytics 4": false, "Google Analytics 4 Cloud": false };

export interface SegmentSettings extends Audience {
  /** Segment's own destinations for Google Analytics leave these events out, for this server sends them there itself. */
  readonly skip_google_analytics: boolean;
  /** Which of Segment's destinations get these events, by its names for them. */
  readonly integrations: Readonly<Record<string, boolean>>;
}

/** In this order, which is part of the bytes that are sent. */
export interface SegmentCall {
  type: "track";
  event: string;
  /** By which Segment knows an event that comes twice. */
  messageId: string;
  timestamp: string;
  userId?: string;
  anonymousId?: string;
  properties: Properties;
  context: {
    library: typeof LIBRARY;
    app?: { namespace?: string; version?: string };
    os?: { name: string };
    campaign?: Campaign;
    page?: { url?: string; referrer?: string };
  };
  integrations?: Record<string, boolean>;
}

export interface MappedSegment {
  readonly kind: "mapped";
  readonly call: SegmentCall;
}

export function mapSegment(
  event: SourceEvent,
  settings: SegmentSettings,
  context: MapContext,
): MappedSegment | Skipped {
  const { id, data, ts } = event;
  // Where the app's backend has sent it in.
  const carried = textOf(objectOf(data, "segment") ?? {}, "anonymous_id");
  const who = whoOf("segment", event, settings, { ...context, carried, id_max_bytes: SEGMENT_ID_MAX_BYTES });
  if ("kind" in who) return who;
  const anonymous = who.carried ?? anonymousNameOf(who);
  const integrations = { ...(settings.skip_google_analytics && GOOGLE_ANALYTICS), ...settings.integrations };
  return {
    kind: "mapped",
    call: {
      type: "track",
      event: eventName(event.event),
      messageId: id.length > MESSAGE_ID_MAX_CHARS ? uuidOf(id) : id,
      timestamp: ts,
      ...(who.user_id !== undefined && { userId: who.user_id }),
      ...(anonymous !== undefined && { anonymousId: anonymous }),
      properties: propertiesOf(event),
      context: { library: LIBRARY, ...surroundingsOf(data) },
      ...(Object.keys(integrations).length > 0 && { integrations }),
    },
  };
}

/** No address of the visitor: this server keeps none. */
function surroundingsOf(data: SourceEvent["data"]): Omit<SegmentCall["context"], "library"> {
  const app = known({ namespace: textOf(data, "bundle_id"), version: textOf(data, "app_version") });
  const name = systemOf(data);
  const campaign = campaignOf(data);
  const host = textOf(data, "referrer");
  // Browsers send a referring page of another site as its origin, too.
  const page = known({ url: shortLinkOf(data), referrer: host === undefined ? undefined : `https://${host}/` });
  return {
    ...(app !== undefined && { app }),
    ...(name !== undefined && { os: { name } }),
    ...(Object.keys(campaign).length > 0 && { campaign }),
    ...(page !== undefined && { page }),
  };
}

function known<Name extends string>(
  members: Record<Name, string | undefined>,
): Partial<Record<Name, string>> | undefined {
  const left = Object.entries(members).filter(([, value]) => value !== undefined);
  // What is left has the names that came in.
  return left.length === 0 ? undefined : (Object.fromEntries(left) as Partial<Record<Name, string>>);
}
