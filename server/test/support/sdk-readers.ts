// How LinkMe's SDKs read an answer, in our own words (reference: LinkMe's public SDKs, both generations). Used by the
// conformance tests: what one of these makes of an answer is what an installed app gets.
import type { Answer } from "./api.ts";

const TEXTS = ["linkId", "cid", "path", "url", "webFallbackUrl"] as const;
const FLAGS = ["isLinkMe", "duplicate", "forceRedirectWeb"] as const;
const MAPS = ["params", "utm", "custom"] as const;

export type Payload = Partial<
  Record<(typeof TEXTS)[number], string> &
    Record<(typeof FLAGS)[number], boolean> &
    Record<(typeof MAPS)[number], Record<string, string>>
>;
/** From the body of a 2xx; null where the SDK drops it. */
export type Reader = (text: string) => Payload | null;

/** What the app is told: every answer but a 2xx is nothing. */
export function received(read: Reader, answer: Answer): Payload | null {
  if (answer.status < 200 || answer.status > 299) return null;
  return read(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
}

/** Like `received`, and on exactly this error the SDK makes a payload of the address itself. */
export function receivedOrLocal(read: Reader, answer: Answer, url: string): Payload | null {
  if (answer.status < 300) return received(read, answer);
  if (answer.body?.error !== "domain_not_found") return null;
  return { path: new URL(url).pathname, url, isLinkMe: false };
}

/**
 * Android up to 0.2.13: no parser but patterns over the text. The first occurrence of a name counts wherever it stands, a text
 * ends at the first quote, escaped or not, and a map at the first brace.
 */
export const readAndroidByPattern: Reader = (text) => {
  const payload: Payload = {};
  for (const name of TEXTS) {
    const found = new RegExp(`"${name}"\\s*:\\s*"([^"]*)"`).exec(text)?.[1];
    if (found !== undefined) payload[name] = found;
  }
  for (const name of FLAGS) {
    const found = new RegExp(`"${name}"\\s*:\\s*(true|false)`).exec(text)?.[1];
    if (found !== undefined) payload[name] = found === "true";
  }
  for (const name of MAPS) {
    const found = new RegExp(`"${name}"\\s*:\\s*\\{([^}]*)\\}`).exec(text)?.[1];
    if (found === undefined) continue;
    payload[name] = Object.fromEntries(
      [...found.matchAll(/"([^"]*)"\s*:\s*"([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value]),
    );
  }
  return payload;
};

/** iOS, any version: one member of another type, or one map value that is no text, and the whole answer is lost. */
export const readCodable: Reader = (text) => {
  const value = parse(text);
  if (value === null) return null;
  const is_text = (one: unknown) => one === undefined || one === null || typeof one === "string";
  const is_flag = (one: unknown) => one === undefined || one === null || typeof one === "boolean";
  const is_map = (one: unknown) =>
    one === undefined ||
    one === null ||
    (isObject(one) && Object.values(one).every((each) => typeof each === "string"));
  const fits =
    TEXTS.every((name) => is_text(value[name])) &&
    FLAGS.every((name) => is_flag(value[name])) &&
    MAPS.every((name) => is_map(value[name]));
  // Checked member by member just now.
  return fits ? (value as Payload) : null;
};

/** From 0.2.14 on, and Flutter 0.3: known members of the right type, map values that are texts; nothing known is nothing. */
export const readKnown: Reader = (text) => {
  const value = parse(text);
  if (value === null) return null;
  const payload: Payload = {};
  for (const name of TEXTS) {
    const one = value[name];
    if (typeof one === "string" && one !== "") payload[name] = one;
  }
  for (const name of FLAGS) {
    const one = value[name];
    if (typeof one === "boolean") payload[name] = one;
  }
  for (const name of MAPS) {
    const one = value[name];
    if (!isObject(one)) continue;
    const texts = Object.entries(one).filter((entry): entry is [string, string] => typeof entry[1] === "string");
    payload[name] = Object.fromEntries(texts);
  }
  return Object.keys(payload).length === 0 ? null : payload;
};

/** Web, React Native and Flutter of the first generation: any object is a payload, an empty one too. */
export const readAnything: Reader = (text) => parse(text) as Payload | null;

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    // What is no JSON is no payload to any of them.
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
