// Whether a language tag with a region, as browsers send it, fits a device's time zone: `en-nz` and `Pacific/Auckland` do.
// Pure; called by matching.ts. What is of no known form fits nothing.
import { createBoundedMap } from "../platform/bounded-map.ts";

const KNOWN_MAX = 1_000;
/** A time zone's one name of several; null for what is none. Making a format takes a quarter of a millisecond. */
const names = createBoundedMap<string | null>(KNOWN_MAX);
const zones = createBoundedMap<ReadonlySet<string>>(KNOWN_MAX);

/** @example isZoneOf("en-nz", "Pacific/Auckland") // true */
export function isZoneOf(locale: string, timezone: string): boolean {
  const name = nameOf(timezone);
  return name !== null && zonesOf(locale).has(name);
}

function nameOf(timezone: string): string | null {
  let name = names.get(timezone);
  if (name === undefined) {
    try {
      name = new Intl.DateTimeFormat("en", { timeZone: timezone }).resolvedOptions().timeZone;
    } catch {
      // Flutter sends what its platform calls the zone, like NZDT.
      name = null;
    }
    names.set(timezone, name);
  }
  return name;
}

function zonesOf(locale: string): ReadonlySet<string> {
  let found = zones.get(locale);
  if (found === undefined) {
    found = new Set(readZones(locale));
    zones.set(locale, found);
  }
  return found;
}

function readZones(locale: string): string[] {
  try {
    // TypeScript does not know the method yet.
    const told = new Intl.Locale(locale) as Intl.Locale & { getTimeZones(): string[] | undefined };
    // None without a region: a language alone is spoken in many places.
    return told.getTimeZones() ?? [];
  } catch {
    // Not a language tag after all.
    return [];
  }
}
