// An event as Google Analytics 4 takes it by Measurement Protocol, so that it reaches its reports: every event names its session
// and an engagement, for what lacks either is shown in Realtime and then never again. Values are cut here to what Google takes;
// it ignores a longer one without a word. The same event and settings make the same body.
// Sources: Google's "Measurement Protocol reference" and "Sending events"; the limits are those of ga4-limits.ts.
import { exclusionOf, userIdOf } from "./audience.ts";
import { clientIdOf, sessionIdOf } from "./ga4-identity.ts";
import { APP_INSTANCE_ID, GA4_ORIGINS, GA4_PATH, GA4_USER_ID_MAX_CHARS, ga4ValueMaxChars } from "./ga4-limits.ts";
import {
  type AdConsents,
  consentOf,
  deviceOf,
  type Ga4Consent,
  type Ga4Device,
  type Ga4Location,
  locationOf,
} from "./ga4-surroundings.ts";
import type { Unidentified } from "./identity.ts";
import { campaignOf, type Properties, propertiesOf, shortLinkOf } from "./properties.ts";
import {
  cut,
  eventName,
  type MapContext,
  objectOf,
  parseUrl,
  type Skipped,
  type SourceEvent,
  skipped,
  textOf,
  timeOf,
} from "./source.ts";

/** Exactly one of the two ids: of a web stream, or of the Firebase app of an app stream. */
export interface Ga4Stream {
  readonly measurement_id?: string | undefined;
  readonly firebase_app_id?: string | undefined;
}

export interface Ga4Settings extends Ga4Stream, AdConsents {
  /** Whether the name that the app has for a user leaves this server. */
  readonly send_user_id: boolean;
  /** Whether a click goes with an event before it that names its campaign as that of the session. */
  readonly campaign_details: boolean;
  readonly unidentified: Unidentified;
}

export interface Ga4Context extends MapContext {
  /** Stands for the time of an event that is older than Google takes, in ms since 1970. */
  readonly instead_of_ts?: number | undefined;
}

export interface Ga4Event {
  name: string;
  params: Record<string, string | number>;
}

/** In this order, which is part of the bytes that are sent. */
export interface Ga4Body {
  client_id?: string;
  app_instance_id?: string;
  user_id?: string;
  timestamp_micros?: number;
  consent?: Ga4Consent;
  user_location?: Ga4Location;
  device?: Ga4Device;
  events: Ga4Event[];
}

export interface Ga4Mapped {
  readonly kind: "mapped";
  /** The part of the query that is no secret. */
  readonly stream: Ga4Stream;
  readonly body: Ga4Body;
}

/** Every param that an event can have, and in this order. */
interface Ga4Params extends Properties {
  session_id?: string;
  engagement_time_msec: number;
  page_location?: string;
  page_referrer?: string;
  source?: string;
  medium?: string;
  term?: string;
  content?: string;
  debug_mode?: number;
}

/** Named one by one, so that a property that is added is counted, and the compiler asks for it here. */
const PARAM_NAMES: Readonly<Record<keyof Ga4Params, true>> = {
  ...{ session_id: true, engagement_time_msec: true },
  ...{ linkme_event: true, linkme_event_id: true, linkme_app_id: true, linkme_link_id: true, linkme_platform: true },
  ...{ linkme_dest_host: true, linkme_dest_path: true, linkme_campaign: true, linkme_referrer_host: true },
  ...{ linkme_token_methods: true, linkme_match_type: true, linkme_matched: true, linkme_reason: true },
  ...{ linkme_first_open: true, linkme_app_version: true, linkme_seconds_since_click: true },
  ...{ page_location: true, page_referrer: true, source: true, medium: true, term: true, content: true },
  debug_mode: true,
};
/** As many as an event has that says everything at once; Google takes GA4_PARAMS_MAX. */
export const GA4_PARAMS_WORST_CASE = Object.keys(PARAM_NAMES).length;

/** More than none: what has 0 is not shown in reports. */
const ENGAGEMENT_MS = 1;

/** @example mapGa4(event, settings, { pseudonym }) // { kind: "mapped", stream: { measurement_id: "G-K3TQ7M" }, body: {…} } */
export function mapGa4(event: SourceEvent, settings: Ga4Settings, context: Ga4Context): Ga4Mapped | Skipped {
  const { data } = event;
  // Nobody else stops it: Measurement Protocol knows nothing of Google's consent mode.
  const excluded = exclusionOf(data, { skip_bots: true, respect_consent: true });
  if (excluded !== null) return excluded;
  const identity = identityOf(event, settings, context);
  if ("kind" in identity) return identity;
  const at = context.instead_of_ts ?? timeOf(event.ts);
  const user_id = userIdOf(data, settings, GA4_USER_ID_MAX_CHARS)?.toWellFormed();
  const body: Ga4Body = {
    ...identity,
    ...(user_id !== undefined && { user_id }),
    ...(at !== undefined && { timestamp_micros: at * 1_000 }),
    ...present("consent", consentOf(data, settings)),
    ...present("user_location", locationOf(data)),
    ...present("device", deviceOf(data)),
    events: eventsOf(event, settings, at),
  };
  return { kind: "mapped", stream: streamOf(settings), body };
}

/** An installation's id is never made up: Google would count a device that does not exist. */
function identityOf(
  event: SourceEvent,
  { firebase_app_id, unidentified }: Ga4Settings,
  context: MapContext,
): Pick<Ga4Body, "client_id" | "app_instance_id"> | Skipped {
  if (firebase_app_id !== undefined) {
    const app_instance_id = textOf(objectOf(event.data, "firebase") ?? {}, "app_instance_id");
    return app_instance_id !== undefined && APP_INSTANCE_ID.test(app_instance_id)
      ? { app_instance_id }
      : skipped("no_identity", "It carries no id of Firebase (firebase.app_instance_id), which an app stream needs");
  }
  const client_id = clientIdOf(event, unidentified, context);
  return client_id === null
    ? skipped("no_identity", "It names no click, and this destination skips such events")
    : { client_id };
}

/** @param at undefined: no time is known, so no session is named */
function eventsOf(event: SourceEvent, settings: Ga4Settings, at: number | undefined): Ga4Event[] {
  const { data } = event;
  const stream = settings.measurement_id?.replace(/^G-/, "");
  const session: Pick<Ga4Params, "session_id" | "engagement_time_msec"> = {
    ...(at !== undefined && { session_id: sessionIdOf(event, at, stream) }),
    engagement_time_msec: ENGAGEMENT_MS,
  };
  const { source, medium, name, term, content } = campaignOf(data);
  const traffic = { source, medium, term, content };
  // Shown in DebugView, and what a property's filter of developer traffic goes by.
  const debug: Pick<Ga4Params, "debug_mode"> = data["test"] === true ? { debug_mode: 1 } : {};
  const params: Ga4Params = {
    ...session,
    ...propertiesOf(event),
    ...(settings.firebase_app_id === undefined && pageOf(event)),
    ...known(traffic),
    ...debug,
  };
  const sent = { name: eventName(event.event), params: cutAll(params) };
  if (!settings.campaign_details || event.event !== "link.click" || (source ?? medium ?? name) === undefined) {
    return [sent];
  }
  const campaign_id = textOf(objectOf(data, "utm") ?? {}, "utm_id");
  const campaign = cutAll({ ...session, ...known({ campaign_id, campaign: name, ...traffic }), ...debug });
  return [{ name: "campaign_details", params: campaign }, sent];
}

/** Of a click: the short link, and the page on which it stood, as far as that is told. */
function pageOf({ event, data }: SourceEvent): Pick<Ga4Params, "page_location" | "page_referrer"> {
  if (event !== "link.click") return {};
  return known({ page_location: shortLinkOf(data), page_referrer: originOf(textOf(data, "referrer")) });
}

/** As browsers tell it of a page of another site: without its path. @param referrer a host; of imported events perhaps a URL */
function originOf(referrer: string | undefined): string | undefined {
  if (referrer === undefined) return undefined;
  const url = parseUrl(referrer.includes("://") ? referrer : `https://${referrer}/`);
  return url === null || url.host === "" ? undefined : `${url.protocol}//${url.host}/`;
}

function cutAll(params: object): Ga4Event["params"] {
  const values: [string, unknown][] = Object.entries(params);
  return Object.fromEntries(
    values.map(([name, value]) => [
      name,
      typeof value === "number" ? value : cut(String(value), ga4ValueMaxChars(name)).toWellFormed(),
    ]),
  );
}

function streamOf({ measurement_id, firebase_app_id }: Ga4Stream): Ga4Stream {
  return firebase_app_id === undefined ? { measurement_id } : { firebase_app_id };
}

export interface Ga4Target extends Ga4Stream {
  readonly endpoint: keyof typeof GA4_ORIGINS;
  /** The URL of a tagging server of one's own, which takes the same requests; it goes before `endpoint`. */
  readonly host?: string | undefined;
}

/** Where requests of a stream go. The secret stands in it: whoever shows this address masks it. */
export function ga4Url({ endpoint, host, measurement_id, firebase_app_id }: Ga4Target, api_secret: string): string {
  const origin = host === undefined ? GA4_ORIGINS[endpoint] : host.replace(/\/+$/, "");
  const stream =
    firebase_app_id === undefined ? `measurement_id=${measurement_id ?? ""}` : `firebase_app_id=${firebase_app_id}`;
  return `${origin}${GA4_PATH}?${stream}&api_secret=${encodeURIComponent(api_secret)}`;
}

function present<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  // A computed name widens the type of the object to any text.
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]: Value });
}

/** Without the members that are undefined. */
function known<Members extends object>(members: Members): { [Name in keyof Members]?: NonNullable<Members[Name]> } {
  // Only members that are there are left.
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Members]?: NonNullable<Members[Name]>;
  };
}
