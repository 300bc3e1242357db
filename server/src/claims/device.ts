// What a claiming device says about itself. Untrusted, optional, different in every SDK, possibly malformed: each member
// is taken when it has the right type and left out otherwise; nothing here ever refuses. Pure; called by claims.ts.
// A device's identifier is taken with the user's own consent to it alone, as the SDK states it; matching does without.
import { PLATFORMS, type Platform } from "#contract/events.ts";
import { describeAgent, firstLocale } from "../links/visitor.ts";

export interface Device {
  readonly platform: Platform | null;
  readonly os_version: string | null;
  readonly locale: string | null;
  /** An IANA name from most SDKs. */
  readonly timezone: string | null;
  /** The browser's own, for claims by web pages. */
  readonly user_agent: string | null;
  readonly bundle_id: string | null;
  /** The vendor's or the advertising id; of use with the app's consent setting alone. */
  readonly id: string | null;
}

const HEADER_MAX_CHARS = 8_192;
const TEXT_MAX_CHARS = 512;

const ID_MAX_CHARS = 128;
const OF_VENDOR: readonly unknown[] = ["idfv", "android_id"];
const OF_ADVERTISING: readonly unknown[] = ["idfa", "adid"];

const UNKNOWN: Device = {
  ...{ platform: null, os_version: null, locale: null, timezone: null, user_agent: null, bundle_id: null, id: null },
};

/** The object in a body. */
export function readDevice(value: unknown): Device {
  if (typeof value !== "object" || value === null) return UNKNOWN;
  // An object that is not null has string keys.
  const device = value as Record<string, unknown>;
  return {
    platform: readPlatform(device["platform"]),
    os_version: text(device["osVersion"]),
    locale: firstLocale(text(device["locale"]) ?? ""),
    timezone: text(device["timezone"]),
    user_agent: text(device["userAgent"]),
    bundle_id: text(device["bundleId"]),
    id: readId(device),
  };
}

/** All zeros stand for an id that the system withholds. */
function readId({ device_id, id_type, consent }: Record<string, unknown>): string | null {
  if (typeof consent !== "object" || consent === null) return null;
  // An object that is not null has string keys.
  const { vendor, advertising } = consent as Record<string, unknown>;
  const is_agreed =
    (OF_VENDOR.includes(id_type) && vendor === true) || (OF_ADVERTISING.includes(id_type) && advertising === true);
  const id = is_agreed ? text(device_id) : null;
  return id === null || id.length > ID_MAX_CHARS || /^[0-]+$/.test(id) ? null : id;
}

/** The JSON text of the header `x-linkme-device`. */
export function readDeviceHeader(header: string | string[] | undefined): Device {
  if (typeof header !== "string" || header.length > HEADER_MAX_CHARS) return UNKNOWN;
  try {
    return readDevice(JSON.parse(header));
  } catch {
    // Not JSON: a device that is unknown can still claim.
    return UNKNOWN;
  }
}

function readPlatform(value: unknown): Platform | null {
  return PLATFORMS.find((platform) => platform === value) ?? null;
}

/** The platform of a caller: what it says, else what its User-Agent shows. */
export function platformOf(stated: unknown, device: Device, user_agent: string): Platform {
  return readPlatform(stated) ?? device.platform ?? describeAgent(device.user_agent ?? user_agent).platform;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" && value.length <= TEXT_MAX_CHARS ? value : null;
}
