// What Google Analytics is told of an event beside its params: consent, place and device. Only what the event says: without
// these members Google takes what it knows of the same client from the site, and what is given here goes before that.
// Source: "Measurement Protocol reference": consent, user_location, device.
import { cut, objectOf, type SourceEvent, textOf } from "./source.ts";

/** What is said of events whose visitor was not asked; `unset`: nothing, and Google takes what it knows of the client. */
export type AdConsent = "granted" | "denied" | "unset";

export interface AdConsents {
  readonly ad_user_data: AdConsent;
  readonly ad_personalization: AdConsent;
}

export type Ga4Consent = Partial<Record<keyof AdConsents, "GRANTED" | "DENIED">>;

export interface Ga4Location {
  city?: string;
  region_id?: string;
  country_id?: string;
}

export interface Ga4Device {
  category?: string;
  language?: string;
  operating_system?: string;
  operating_system_version?: string;
}

/** The visitor's own answer goes before the settings. Undefined: nothing is to be said. */
export function consentOf(data: SourceEvent["data"], defaults: AdConsents): Ga4Consent | undefined {
  const given = objectOf(data, "consent") ?? {};
  const consent: Ga4Consent = {};
  for (const name of ["ad_user_data", "ad_personalization"] as const) {
    const answer = textOf(given, name)?.toLowerCase();
    const value = answer === "granted" || answer === "denied" ? answer : defaults[name];
    if (value !== "unset") consent[name] = value === "granted" ? "GRANTED" : "DENIED";
  }
  return unlessEmpty(consent);
}

/** ISO 3166-1, and ISO 3166-2 for regions, `DE-BE`; a region without its country before it gets it. */
export function locationOf(data: SourceEvent["data"]): Ga4Location | undefined {
  const city = textOf(data, "city");
  const country_id = matching(textOf(data, "country")?.toUpperCase(), /^[A-Z]{2}$/);
  const region = textOf(data, "region")?.toUpperCase();
  const region_id = matching(
    region?.includes("-") || country_id === undefined ? region : `${country_id}-${region ?? ""}`,
    /^[A-Z]{2}-[A-Z0-9]{1,3}$/,
  );
  return unlessEmpty({
    ...(city !== undefined && { city: shortText(city) }),
    ...(region_id !== undefined && { region_id }),
    ...(country_id !== undefined && { country_id }),
  });
}

export function deviceOf(data: SourceEvent["data"]): Ga4Device | undefined {
  const device: Ga4Device = {};
  for (const [name, key] of [
    ["category", "device_category"],
    ["language", "language"],
    ["operating_system", "os"],
    ["operating_system_version", "os_version"],
  ] as const) {
    const value = textOf(data, key);
    if (value !== undefined) device[name] = shortText(name === "category" ? value.toLowerCase() : value);
  }
  return unlessEmpty(device);
}

/** Google names no limit for these; nothing that is one is longer. */
const TEXT_MAX_CHARS = 100;

function shortText(text: string): string {
  return cut(text, TEXT_MAX_CHARS).toWellFormed();
}

function matching(text: string | undefined, form: RegExp): string | undefined {
  return text !== undefined && form.test(text) ? text : undefined;
}

function unlessEmpty<Members extends object>(members: Members): Members | undefined {
  return Object.keys(members).length > 0 ? members : undefined;
}
