// The country of an address, from a database file of MaxMind that the operator has set. The library is loaded, and the file
// read into memory, only then. An address is looked up once for each click, and nothing of it is kept.
import { statSync } from "node:fs";
import { systemCodeOf } from "../platform/system-code.ts";

const COUNTRY_PATTERN = /^[A-Z]{2}$/;

/** The file cannot be used: said to the operator, and the process does not start. */
export class CountryFileError extends Error {}

interface Found {
  country?: { iso_code?: unknown };
  registered_country?: { iso_code?: unknown };
}

/** @throws CountryFileError */
export async function openCountries(path: string | null): Promise<(ip: string) => string | null> {
  if (path === null) return () => null;
  const { open } = await import("maxmind");
  const reader = await openFile(path, open).catch((error: unknown) => {
    throw unusable(path, error);
  });
  const get = (ip: string): Found | null => reader.get(ip) as Found | null;
  try {
    // The parts of a file that is damaged or of another kind are read by the first look-up.
    get("192.0.2.1");
  } catch (error) {
    throw unusable(path, error);
  }

  function countryOf(ip: string): string | null {
    try {
      const found = get(ip);
      const code = found?.country?.iso_code ?? found?.registered_country?.iso_code;
      return typeof code === "string" && COUNTRY_PATTERN.test(code) ? code : null;
    } catch {
      // A text that is no address, an IPv6 address in a file of IPv4 alone, a damaged record: a visitor goes on all the same.
      return null;
    }
  }

  return countryOf;
}

async function openFile<Reader>(path: string, open: (path: string) => Promise<Reader>): Promise<Reader> {
  // A pipe would be waited for, and a device may have no end. What opening a directory says is clearer than this.
  const found = statSync(path);
  if (!found.isFile() && !found.isDirectory()) throw new Error("not a file");
  return open(path);
}

function unusable(path: string, error: unknown): CountryFileError {
  const reason = systemCodeOf(error) ?? "it is not such a file";
  return new CountryFileError(
    `LINKME_GEOIP_DATABASE is ${JSON.stringify(path)} (${reason}); accepted is the path of a MaxMind database (.mmdb) with countries.`,
  );
}
