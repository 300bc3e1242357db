// Finds the click token in what the Play Install Referrer delivered: a query string, percent-encoded once or twice; a
// link with `?cid=`; or `linkme:cid=<hex>`. Organic installs carry none. Pure; called by
// claims.ts and callers.ts.
import { invalid, refuse } from "../errors.ts";

/** A token as LinkMe's SDKs accept it; ours are 32 lower-case digits. */
const CID = /^[A-Fa-f0-9]{8,64}$/;
const IN_TEXT = /(?:^|[?&#:\s])cid=([A-Fa-f0-9]{8,64})(?![A-Za-z0-9])/;
/** As it came, decoded once, decoded twice. */
const DECODINGS = 3;

/** Lower case; null when there is none. @example findCid("utm_source=mail&cid=4b7cc569") // "4b7cc569" */
export function findCid(referrer: string): string | null {
  let text = referrer;
  for (let left = DECODINGS; left > 0; left--) {
    const found = IN_TEXT.exec(text)?.[1];
    if (found !== undefined) return found.toLowerCase();
    const decoded = decode(text);
    if (decoded === text) return null;
    text = decoded;
  }
  return null;
}

/** The token that a caller names, in lower case; null for what can be none. */
export function readCid(text: unknown): string | null {
  return typeof text === "string" && CID.test(text) ? text.toLowerCase() : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded after all.
    return text;
  }
}

/** @throws AppError invalid_request */
export function demandCid(text: string | undefined): string {
  const cid = readCid(text);
  if (cid === null) throw invalid("cid", "a click token: 8 to 64 hexadecimal digits");
  return cid;
}

export function noMatch() {
  return refuse("no_match", "No click matches this device. Nothing has to be done.");
}
