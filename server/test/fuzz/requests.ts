// What is sent: one request after another, as bytes, from a seed. Most are well-formed HTTP with contents that nobody
// expects; some are not even that. Pure; called by fuzz.ts.
import type { Route } from "#contract/route.ts";
import { ROUTES } from "#contract/routes.ts";
import { bend, bendText, type Pick } from "../support/bending.ts";
import type { Random } from "../support/random.ts";
import { DEVICE_HEADERS, makeValue, SDK_BODIES, shapeOf } from "./bodies.ts";
import {
  AGENTS,
  BROKEN_HEADS,
  HOSTS,
  KNOWN_HOSTS,
  KNOWN_PATHS,
  METHODS,
  ODD_HEADERS,
  PATHS,
  QUERIES,
  QUERY_VALUES,
  TYPES,
} from "./inputs.ts";

/** What exists on the server, by a name that a kept case can use in its place. */
export type Names = Readonly<Record<string, string>>;

export interface Sent {
  bytes: Buffer;
  method: string;
  /** Not HTTP, or no whole request: the connection may be closed without an answer. */
  is_broken: boolean;
}

interface Call {
  method: string;
  path: string;
  headers: [name: string, value: string][];
  body?: string | undefined;
}

/** One in so many requests is not HTTP, or no whole one. */
const BROKEN_EVERY = 12;
const CHUNKED_EVERY = 6;
const LARGE_EVERY = 1_500;
/** Above what the server takes. */
const LARGE_BODY_CHARS = 1_200_000;
/** A broken request is broken in its head, or not far behind it. */
const BENT_WITHIN_BYTES = 400;
/** A source of requests to a server on which these names exist. */
export function createRequests(random: Random, names: Names): () => Sent {
  const pick: Pick = (values) => values[random.below(values.length)] as (typeof values)[number]; // None is empty.
  const oneIn = (count: number) => random.below(count) === 0;
  const routes: readonly Route[] = Object.values(ROUTES);
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (whole, name) => names[name] ?? whole);

  return () => {
    if (oneIn(BROKEN_EVERY)) return breakUp(pick(["edge", "sdk", "admin", "raw", "raw"]));
    return write(pick([edgeCall, edgeCall, sdkCall, adminCall])());
  };

  function edgeCall(): Call {
    let path = fill(pick(oneIn(2) ? PATHS : KNOWN_PATHS));
    if (oneIn(5)) path = bendText(path, pick);
    if (oneIn(2)) path += `?${pick(QUERIES)}`;
    return {
      method: oneIn(4) ? pick(METHODS) : "GET",
      path,
      headers: [
        ["host", pick(oneIn(3) ? HOSTS : KNOWN_HOSTS)],
        ["user-agent", pick(AGENTS)],
      ],
    };
  }

  function sdkCall(): Call {
    const headers: Call["headers"] = [
      ["host", pick(oneIn(3) ? HOSTS : KNOWN_HOSTS)],
      ["user-agent", pick(AGENTS)],
    ];
    if (oneIn(2))
      headers.push(["x-app-id", pick([names["app_id"] ?? "", names["app_id"] ?? "", "demo", "", "\u00e9"])]);
    if (oneIn(2))
      headers.push(["x-api-key", pick([names["app_key"] ?? "", names["app_key"] ?? "", "ak_x", "", "a".repeat(900)])]);
    // From many addresses, so that a limit for each turns away few.
    headers.push(["x-forwarded-for", `198.51.${random.below(256)}.${random.below(256)}`]);
    if (oneIn(2)) headers.push(["x-linkme-device", pick(DEVICE_HEADERS)]);
    if (oneIn(5))
      return {
        method: pick(["GET", "GET", "OPTIONS"]),
        path: `/api/deeplink?${oneIn(3) ? bendText(fill("cid={cid}"), pick) : fill("cid={cid}")}`,
        headers,
      };
    const [path, body] = pick(SDK_BODIES);
    const bent = oneIn(3) ? body : bend(structuredClone(body), pick);
    return withBody({ method: "POST", path, headers }, fill(JSON.stringify(bent) ?? ""));
  }

  /** A route of the table, with what it takes; ids of the paths exist as a rule. */
  function adminCall(): Call {
    const route = pick(routes);
    const headers: Call["headers"] = [
      ["host", "127.0.0.1"],
      ["authorization", `Bearer ${pick(tokens())}`],
    ];
    let path = route.path.replace(/\{(\w+)\}/g, (_, name) => pick(idsOf(route, name)));
    const known = Object.keys(shapeOf(route.query).properties ?? {});
    const query = known
      .filter(() => oneIn(3))
      .map((name) => `${name}=${encodeURIComponent(String(pick(QUERY_VALUES)))}`);
    if (query.length > 0) path += `?${query.join("&")}`;
    if (oneIn(6)) path = bendText(path, pick);
    const call = { method: route.method, path, headers };
    if (route.body === undefined) return call;
    const body = makeValue(route.body, pick);
    const bent = typeof body === "object" && body !== null && oneIn(2) ? bend(structuredClone(body), pick) : body;
    return withBody(call, JSON.stringify(bent) ?? "");
  }

  /** What is deleted is there for that alone: the other calls need the rest. */
  function idsOf({ method, path }: Route, name: string): string[] {
    const kind =
      name === "app_id" ? (method === "DELETE" ? "app" : "desk") : (/\/api\/(\w+)\/\{id\}/.exec(path)?.[1] ?? "");
    if (!oneIn(5)) return [fill(method === "DELETE" ? `{doomed_${kind}}` : `{${kind}}`)];
    return [fill("{doomed_app}"), "x", "%2e%2e", "a".repeat(101)];
  }

  function tokens(): string[] {
    return oneIn(8) ? [names["server_key"] ?? "", names["app_key"] ?? "", "x", ""] : [names["admin_token"] ?? ""];
  }

  function withBody(call: Call, text: string): Call {
    let body = text;
    if (oneIn(8)) body = bendText(body === "" ? " " : body, pick);
    if (oneIn(30))
      body = pick(["", "{", "null", "[]", '"', "\ufeff{}", "[".repeat(5_000), '{"a":'.repeat(5_000), "1e999"]);
    if (oneIn(LARGE_EVERY)) body = `{"a":"${"x".repeat(LARGE_BODY_CHARS)}"}`;
    const type = oneIn(10) ? pick(TYPES) : "application/json";
    return { ...call, headers: [...call.headers, ["content-type", type]], body };
  }

  function write({ method, path, headers, body }: Call): Sent {
    while (oneIn(2)) headers.push(pick(ODD_HEADERS));
    const all = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const data = Buffer.from(body ?? "", "utf8");
    let framed: Buffer = data;
    let framing = body === undefined ? "" : `content-length: ${data.length}\r\n`;
    if (body !== undefined && oneIn(CHUNKED_EVERY)) {
      framing = "transfer-encoding: chunked\r\n";
      const chunk = data.length === 0 ? "" : `${data.length.toString(16)}\r\n`;
      framed = Buffer.concat([Buffer.from(chunk), data, Buffer.from(`${data.length === 0 ? "" : "\r\n"}0\r\n\r\n`)]);
    }
    const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${all}${framing}\r\n`, "utf8");
    return { bytes: Buffer.concat([head, framed]), method, is_broken: data.length > LARGE_BODY_CHARS };
  }

  function breakUp(kind: "edge" | "sdk" | "admin" | "raw"): Sent {
    if (kind === "raw") return { bytes: Buffer.from(pick(BROKEN_HEADS), "latin1"), method: "GET", is_broken: true };
    const { bytes, method } = write({ edge: edgeCall, sdk: sdkCall, admin: adminCall }[kind]());
    const way = pick(["cut", "flip", "insert"]);
    const at = random.below(Math.min(bytes.length, BENT_WITHIN_BYTES));
    if (way === "cut") return { bytes: bytes.subarray(0, at), method, is_broken: true };
    // A byte of an address of a receiver is left alone: no bent call leaves this machine.
    if (kind === "admin" || way === "insert") {
      const odd = Buffer.from(pick(["\0", "\r", "\n", "\r\n", " ", ":", "\x80", "\xff"]), "latin1");
      const head = bytes.indexOf("\r\n\r\n");
      const place = Math.min(at, head < 0 ? at : head);
      return { bytes: Buffer.concat([bytes.subarray(0, place), odd, bytes.subarray(place)]), method, is_broken: true };
    }
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ pick([1, 2, 4, 8, 16, 32, 64, 128]);
    return { bytes: flipped, method, is_broken: true };
  }
}
