// LinkMe's SDKs as the server meets them: what each sends with a call, by generation (up to 0.2.13, and from 0.2.14 on),
// and how it reads the answer. Used by the conformance tests; a row is one SDK of one generation on one platform.
import { NATIVE_ANDROID, NATIVE_IOS, PIXEL } from "./sdk.ts";
import { type Reader, readAndroidByPattern, readAnything, readCodable, readKnown } from "./sdk-readers.ts";

export interface Sdk {
  readonly name: string;
  readonly agent: string;
  readonly device: object | null;
  /** The body of a claim without a token, as text: some do not write JSON as a library would. */
  readonly deferred: string;
  readonly read: Reader;
  readonly calls: { readonly resolves: boolean; readonly referrer: boolean };
  /** Headers beside those that all of them send. */
  readonly headers: Record<string, string>;
}

export const BUNDLE = "com.example.shop";
const SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
const OKHTTP = "okhttp/4.12.0";
const ORIGIN = { origin: "https://w.example" };

const CONSENT = { consent: { vendor: true }, id_type: "idfv", device_id: "6f1c0a52-6a7e-4a53-9a1e-0d7c52b1a001" };
const IOS = {
  ...{ platform: "ios", bundleId: BUNDLE, appVersion: "1.2.3", buildNumber: "45", osVersion: "17.4" },
  ...{ deviceModel: "iPhone", locale: "en_NZ", timezone: "Pacific/Auckland", ...CONSENT },
};
const ANDROID = {
  ...{ platform: "android", osVersion: "14", deviceModel: "Google Pixel 8", locale: "en_NZ" },
  ...{ timezone: "Pacific/Auckland", consent: { vendor: true }, id_type: "android_id", device_id: "a1b2c3d4e5f60718" },
};
const WEB = {
  ...{ platform: "web", locale: "en-NZ", preferredLocales: ["en-NZ", "mi"], timezone: "Pacific/Auckland" },
  ...{ userAgent: PIXEL, connection: "4g", screen: { width: 412, height: 915, pixelRatio: 2.625 } },
};
const FLUTTER_WEB = { ...WEB, timezone: "NZDT", connection: undefined };
const native = (platform: string, osVersion: string) => ({ platform, osVersion, locale: "en-NZ", timezone: "UTC" });

/** Android's own writer of the first generation: it escapes quotes and nothing else. */
export function writeLikeAndroid(value: unknown): string {
  if (typeof value === "string") return `"${value.replaceAll('"', '\\"')}"`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return writeLikeAndroid(`[${value.join(", ")}]`);
  if (typeof value !== "object" || value === null) return "null";
  return `{${Object.entries(value)
    .map(([key, one]) => `"${key}":${writeLikeAndroid(one)}`)
    .join(",")}}`;
}

const BOTH = { resolves: true, referrer: true };
const LINKS = { resolves: true, referrer: false };
const none = {};

export const SDKS: readonly Sdk[] = [
  {
    ...{ name: "iOS up to 0.2.13", agent: NATIVE_IOS, device: IOS, read: readCodable, calls: LINKS, headers: none },
    deferred: JSON.stringify({ bundleId: BUNDLE, platform: "ios", device: IOS }),
  },
  {
    ...{ name: "iOS from 0.2.14", agent: NATIVE_IOS, device: null, read: readCodable, calls: LINKS, headers: none },
    deferred: JSON.stringify({ bundleId: "", platform: "ios" }),
  },
  {
    ...{ name: "Android up to 0.2.13", agent: NATIVE_ANDROID, device: ANDROID, calls: BOTH, headers: none },
    ...{
      read: readAndroidByPattern,
      deferred: writeLikeAndroid({ bundleId: BUNDLE, platform: "android", device: ANDROID }),
    },
  },
  {
    ...{ name: "Android from 0.2.14", agent: NATIVE_ANDROID, device: ANDROID, calls: BOTH, headers: none },
    ...{ read: readKnown, deferred: JSON.stringify({ bundleId: BUNDLE, platform: "android", device: ANDROID }) },
  },
  ...(["up to 0.2.13", "from 0.2.14"] as const).flatMap((generation): Sdk[] => {
    const read = generation === "up to 0.2.13" ? readAnything : readKnown;
    const ios = native("ios", "17.4");
    const android = native("android", "34");
    return [
      {
        ...{ name: `React Native ${generation}, iOS`, agent: NATIVE_IOS, device: ios, read, calls: LINKS },
        ...{ headers: none, deferred: JSON.stringify({ platform: "ios", device: ios }) },
      },
      {
        ...{ name: `React Native ${generation}, Android`, agent: OKHTTP, device: android, read, calls: BOTH },
        ...{ headers: none, deferred: JSON.stringify({ platform: "android", device: android }) },
      },
      {
        ...{ name: `Web ${generation}`, agent: PIXEL, device: WEB, read, calls: LINKS, headers: ORIGIN },
        deferred: JSON.stringify({ platform: "web", device: WEB }),
      },
    ];
  }),
  {
    ...{ name: "Flutter web up to 0.2.13", agent: SAFARI, device: FLUTTER_WEB, read: readAnything, calls: LINKS },
    ...{ headers: ORIGIN, deferred: JSON.stringify({ platform: "web", device: FLUTTER_WEB }) },
  },
  {
    ...{ name: "Flutter web 0.3", agent: SAFARI, device: FLUTTER_WEB, read: readKnown, calls: LINKS },
    ...{ headers: ORIGIN, deferred: JSON.stringify({ platform: "web", device: FLUTTER_WEB }) },
  },
  {
    ...{
      name: "Flutter Android up to 0.2.13, second attempt",
      agent: NATIVE_ANDROID,
      device: null,
      read: readAnything,
    },
    ...{ calls: { resolves: false, referrer: false }, headers: none },
    deferred: JSON.stringify({ bundleId: BUNDLE, platform: "android" }),
  },
];

/** The headers of a call: the device goes into one on a GET, and into the body on a POST. */
export function headersOf(sdk: Sdk, app_id: string, method: "GET" | "POST"): Record<string, string> {
  const headers: Record<string, string> = { accept: "application/json", "x-app-id": app_id, ...sdk.headers };
  if (method === "GET" && sdk.device !== null) headers["x-linkme-device"] = JSON.stringify(sdk.device);
  return headers;
}
