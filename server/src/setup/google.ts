// Calls of Google's APIs with a service account: a signed assertion is exchanged for a token (RFC 7523), which the calls carry.
// Nothing of it is kept. Called by ga4-setup.ts and ga4-arrival.ts; only the egress gate sends.
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { invalid } from "../errors.ts";
import type { Egress } from "../platform/egress.ts";

export interface ServiceAccount {
  client_email: string;
  /** PEM. */
  private_key: string;
}

/** Where Google answers; tests have their own. */
export interface GoogleAddresses {
  token: string;
  admin: string;
  data: string;
}

export const GOOGLE: GoogleAddresses = {
  token: "https://oauth2.googleapis.com/token",
  admin: "https://analyticsadmin.googleapis.com/v1beta",
  data: "https://analyticsdata.googleapis.com/v1beta",
};

/** Google takes assertions of an hour at most. */
const ASSERTION_SECONDS = 600;
/** Google's have 2048. Signing is done at once, and takes eight times as long with twice the bits. */
const KEY_MAX_BITS = 4_096;
const TIMEOUT_MS = 15_000;
/** As much as the egress gate reads at all. */
const ANSWER_MAX_BYTES = 64 * 1024;

/** What Google refused, or that it was not reached. The message is for the caller and holds nothing secret. */
export class GoogleError extends Error {
  override readonly name = "GoogleError";
  /** Of the answer; null: there was none. */
  readonly status: number | null;
  constructor(message: string, status: number | null) {
    super(message);
    this.status = status;
  }
}

export interface Google {
  get(address: string): Promise<Record<string, unknown>>;
  post(address: string, body: object): Promise<Record<string, unknown>>;
}

/**
 * @param scope of OAuth, like https://www.googleapis.com/auth/analytics.edit
 * @throws AppError invalid_request for a key that is none; GoogleError
 */
export async function signIn(
  { client_email, private_key }: ServiceAccount,
  scope: string,
  parts: { egress: Pick<Egress, "send">; addresses: GoogleAddresses; now(): number },
): Promise<Google> {
  const { egress, addresses, now } = parts;
  const issued_at = Math.floor(now() / 1_000);
  const claims = { iss: client_email, scope, aud: GOOGLE.token, iat: issued_at, exp: issued_at + ASSERTION_SECONDS };
  const assertion = signAssertion(claims, readKey(private_key));
  const grant = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion });
  const form = ["content-type", "application/x-www-form-urlencoded"];
  const answer = await call("POST", addresses.token, form, grant.toString());
  const token = answer["access_token"];
  if (typeof token !== "string") throw new GoogleError("Google gave no access token for the service account.", 200);
  const headers = ["authorization", `Bearer ${token}`, "content-type", "application/json"];

  async function call(method: "GET" | "POST", url: string, head: string[], body: string | null) {
    const request = { method, url, headers: head, body, timeout_ms: TIMEOUT_MS, answer_bytes: ANSWER_MAX_BYTES };
    const exchange = await egress.send(request);
    if (exchange.kind === "failure") throw new GoogleError(`Google was not reached: ${exchange.message}.`, null);
    const { status, snippet, truncated } = exchange;
    const parsed = parseObject(snippet);
    if (status >= 200 && status < 300) {
      if (parsed !== null && !truncated) return parsed;
      throw new GoogleError("Google's answer could not be read.", status);
    }
    throw new GoogleError(`Google answered ${status}: ${wordsOf(parsed)}`, status);
  }

  return {
    get: (address) => call("GET", address, headers, null),
    post: (address, body) => call("POST", address, headers, JSON.stringify(body)),
  };
}

/** All pages of a list. @param name of the member that has the items */
export async function listAll(
  google: Google,
  address: string,
  name: string,
  pages_max = 20,
): Promise<Record<string, unknown>[]> {
  const items: Record<string, unknown>[] = [];
  let token = "";
  for (let page = 0; page < pages_max; page++) {
    const query = `pageSize=50${token === "" ? "" : `&pageToken=${encodeURIComponent(token)}`}`;
    const answer = await google.get(`${address}?${query}`);
    const found = answer[name];
    if (Array.isArray(found)) items.push(...found.filter(isObject));
    token = typeof answer["nextPageToken"] === "string" ? answer["nextPageToken"] : "";
    if (token === "") break;
  }
  return items;
}

function readKey(pem: string): KeyObject {
  const key = parseKey(pem);
  const bits = key?.asymmetricKeyType === "rsa" ? (key.asymmetricKeyDetails?.modulusLength ?? 0) : 0;
  if (key !== null && bits > 0 && bits <= KEY_MAX_BITS) return key;
  throw invalid("service_account.private_key", "the whole private_key of the key file, as it stands there");
}

function parseKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    // What is wrong with it would show a part of it.
    return null;
  }
}

/** RFC 7515, with RS256. */
function signAssertion(claims: object, key: KeyObject): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${encode({ alg: "RS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}

/** Google's own words: `error.message` of its APIs, `error_description` of its tokens. */
function wordsOf(answer: Record<string, unknown> | null): string {
  const error = answer?.["error"];
  const message = isObject(error) ? error["message"] : answer?.["error_description"];
  return typeof message === "string" && message !== "" ? message : "it said no more";
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text === "" ? "{}" : text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
