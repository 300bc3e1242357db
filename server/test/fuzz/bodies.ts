// Bodies of calls: for routes of the table from their own schemas, so that a new route is fuzzed without a word here; for
// LinkMe's SDKs as each generation of them sends.
import { z } from "zod";
import { ODD, type Pick } from "../support/bending.ts";

const DEPTH_MAX = 6;
const ITEMS_MAX = 3;

/** As much of JSON Schema as the contract's schemas come out as. */
interface Shape {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Shape[];
  oneOf?: Shape[];
  allOf?: Shape[];
  properties?: Record<string, Shape>;
  required?: string[];
  items?: Shape;
  $ref?: string;
  $defs?: Record<string, Shape>;
}

const shapes = new WeakMap<z.ZodType, Shape>();

export function shapeOf(schema: z.ZodType): Shape {
  let shape = shapes.get(schema);
  if (shape === undefined) {
    // Zod's own type is wider than what is read here.
    shape = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Shape;
    shapes.set(schema, shape);
  }
  return shape;
}

/** A value that the schema may accept. No URL in it names a host that would have to be looked up. */
export function makeValue(schema: z.ZodType, pick: Pick): unknown {
  const whole = shapeOf(schema);

  function make(shape: Shape, name: string, depth: number): unknown {
    if (depth > DEPTH_MAX) return null;
    if (shape.$ref !== undefined) return make(resolve(shape.$ref), name, depth + 1);
    if (shape.const !== undefined) return shape.const;
    if (shape.enum !== undefined) return pick(shape.enum);
    const choices = shape.anyOf ?? shape.oneOf ?? shape.allOf;
    if (choices !== undefined) return make(pick(choices), name, depth + 1);
    switch (shape.type) {
      case "object":
        return makeObject(shape, depth);
      case "array":
        return Array.from({ length: pick([0, 1, ITEMS_MAX]) }, () => make(shape.items ?? {}, name, depth + 1));
      case "string":
        return pick(/url/i.test(name) ? URLS : TEXTS);
      case "integer":
      case "number":
        return pick([0, 1, 60, 3600]);
      case "boolean":
        return pick([true, false]);
      case "null":
        return null;
      default:
        return pick(ODD);
    }
  }

  function makeObject({ properties = {}, required = [] }: Shape, depth: number): object {
    const kept = Object.entries(properties).filter(([name]) => required.includes(name) || pick([true, false]));
    return Object.fromEntries(kept.map(([name, shape]) => [name, make(shape, name, depth + 1)]));
  }

  function resolve(reference: string): Shape {
    return whole.$defs?.[reference.replace("#/$defs/", "")] ?? whole;
  }

  return make(whole, "", 0);
}

const URLS = [
  "http://127.0.0.1:9/hook",
  "https://127.0.0.1:9/",
  "shop://open?a=b",
  "x:y",
  "https://[",
  "//x",
  "",
] as const;
const TEXTS = [
  ...[
    "link.click",
    "link.claim",
    "2026-01-31T09:30:00Z",
    "2199-01-01T00:00:00Z",
    "a.example.com",
    "hello",
    "ios",
    "web",
  ],
  ...["0123456789abcdef", '{"utm_source":"x"}', "{}", "größe 👟", "ABCDE12345", "x".repeat(64)],
] as const;

const DEVICE = {
  ...{
    platform: "ios",
    bundleId: "com.shop",
    osVersion: "17.4",
    deviceModel: "iPhone",
    locale: "en_NZ",
    timezone: "Pacific/Auckland",
  },
  ...{ preferredLocales: ["en-NZ", "mi"], screen: { width: 390, height: 844, pixelRatio: 3 }, userAgent: "x" },
  ...{
    consent: { vendor: true, advertising: false },
    id_type: "idfv",
    device_id: "00000000-0000-0000-0000-000000000001",
  },
};
export const DEVICE_HEADERS = [
  JSON.stringify(DEVICE),
  JSON.stringify(DEVICE).replace("iPhone", 'i"Phone'),
  ...["{}", "[]", "null", "{", "ios", "", "{".repeat(2_000), '{"screen":'.repeat(200)],
] as const;

/** What SDKs send, by the path it goes to. */
export const SDK_BODIES: readonly [path: string, body: object][] = [
  ["/api/deeplink/resolve-url", { url: "http://go.shop.example/hello?a=b&utm_source=x", device: DEVICE }],
  ["/api/deeplink/resolve-url", { url: "https://elsewhere.example/a" }],
  ["/api/deferred/claim", { bundleId: "com.shop", platform: "ios", device: DEVICE }],
  ["/api/deferred/claim", { bundleId: "", platform: "android" }],
  ["/api/deferred/claim", { platform: "web", device: { ...DEVICE, platform: "web", connection: "4g" } }],
  ["/api/install-referrer", { referrer: "cid={cid}&utm_source=x" }],
  ["/api/install-referrer", { referrer: "utm_source%3Dgoogle-play%26cid%3D0123456789abcdef" }],
  ["/api/install-referrer", { referrer: "linkme:cid={cid}" }],
  ["/api/app-events", { event: "open", platform: "web", timestamp: 1_767_000_000, userId: "u", props: { a: [1] } }],
  ["/api/app-events", { type: "open", platform: "ios", timestamp: 1_767_000_000, detail: '{"a":1}' }],
  ["/api/app-events", { type: "claim", cid: "{cid}", linkId: "{link_id}", detail: "claim_type", platform: "ios" }],
  ["/api/app-events", { type: "purchase", platform: "android", timestamp: 1, userId: "größe 👟" }],
];
