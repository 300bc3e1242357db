// What the command line asks for. Pure, so that every refusal can be tested; `main.ts` prints them.
import { parseArgs } from "node:util";
import { POPULARITIES, type Popularity } from "./workload.ts";

const SCENARIOS = [
  ...([
    "pipeline",
    "redirect",
    "backlog",
    "history",
    "analytics",
    "nodes",
    "neighbour",
    "many",
    "fanout",
    "claim",
  ] as const),
] as const;
export type Scenario = (typeof SCENARIOS)[number];
export type Engine = { kind: "sqlite" } | { kind: "postgres"; url: string };
const BACKLOG_SINKS = ["503", "hang", "stopped"] as const;
export type BacklogSink = (typeof BACKLOG_SINKS)[number];

export type Options = {
  scenarios: Scenario[];
  rounds: number;
  seconds: number;
  /** of the backend that sends events */
  connections: number;
  /** connections of the redirect scenario, one for each visitor */
  visitors: number;
  engine: Engine;
  events: number;
  /** finished ones in the database of the history scenario */
  attempts: number;
  /** that are counted in the database of the analytics scenario */
  clicks: number;
  /** of the many scenario */
  webhooks: number;
  /** open ones in the database of the claim scenario */
  tokens: number;
  /** in the store of the redirect scenario; 0: one, which every visitor opens */
  links: number;
  /** of those links */
  popularity: Popularity;
  sink: BacklogSink;
  json: boolean;
};

export const USAGE = `npm run bench -- [scenario ...] [options]

  scenario                pipeline, redirect (both by default), backlog, history, analytics, nodes (with
                          --engine postgres), neighbour, many, fanout or claim
  --scenario <name>       the same, as an option; may be repeated
  --rounds <n>            rounds whose median is printed (3)
  --seconds <n>           length of each measured load (10)
  --connections <n>       pipeline: connections of the backend that sends events (128)
  --visitors <n>          redirect: connections, one for each visitor (256)
  --engine <name>         sqlite (default) or postgres, with its address in LINKME_BENCH_POSTGRES_URL
  --links <n>             redirect: links in the store, each visit opens another one; 0 (default): one link
  --popularity <name>     redirect with --links: even (default); zipf: the n-th link is opened about a n-th as often as the first;
                          one: every visit opens the same
  --events <n>            backlog, nodes: deliveries to pile up (1000000)
  --webhooks <n>          many: webhooks, one in a hundred to a receiver that hangs (5000)
  --tokens <n>            claim: open click tokens in the database (1000000)
  --sink <what>           backlog: what the receiver does: 503 (default), hang or stopped
  --attempts <n>          history: finished attempts in the database (10000000)
  --clicks <n>            analytics: clicks of 90 days that are counted in the database (10000000)
  --json                  print one JSON document instead of tables`;

type Limit = { fallback: number; min?: number; max: number };

const LIMITS = {
  rounds: { fallback: 3, max: 100 },
  seconds: { fallback: 10, max: 120 },
  connections: { fallback: 128, max: 1_000 },
  visitors: { fallback: 256, max: 1_000 },
  events: { fallback: 1_000_000, max: 20_000_000 },
  attempts: { fallback: 10_000_000, max: 100_000_000 },
  clicks: { fallback: 10_000_000, max: 100_000_000 },
  webhooks: { fallback: 5_000, max: 20_000 },
  tokens: { fallback: 1_000_000, max: 10_000_000 },
  links: { fallback: 0, min: 0, max: 5_000_000 },
};

/** @throws Error with one sentence that says what is accepted */
export function parseOptions(args: string[], env: NodeJS.ProcessEnv): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      scenario: { type: "string", multiple: true },
      rounds: { type: "string" },
      seconds: { type: "string" },
      connections: { type: "string" },
      visitors: { type: "string" },
      engine: { type: "string" },
      events: { type: "string" },
      attempts: { type: "string" },
      clicks: { type: "string" },
      webhooks: { type: "string" },
      tokens: { type: "string" },
      links: { type: "string" },
      popularity: { type: "string" },
      sink: { type: "string" },
      json: { type: "boolean" },
    },
  });
  const named = [...positionals, ...(values.scenario ?? [])].map((name) => oneOf("scenario", SCENARIOS, name));
  const engine = parseEngine(values.engine, env);
  if (named.includes("nodes") && engine.kind !== "postgres")
    throw new Error("The scenario nodes takes --engine postgres.");
  return {
    scenarios: named.length > 0 ? [...new Set(named)] : ["pipeline", "redirect"],
    rounds: count("rounds", values.rounds),
    seconds: count("seconds", values.seconds),
    connections: count("connections", values.connections),
    visitors: count("visitors", values.visitors),
    engine,
    events: count("events", values.events),
    attempts: count("attempts", values.attempts),
    clicks: count("clicks", values.clicks),
    webhooks: count("webhooks", values.webhooks),
    tokens: count("tokens", values.tokens),
    links: count("links", values.links),
    popularity: oneOf("--popularity", POPULARITIES, values.popularity ?? "even"),
    sink: oneOf("--sink", BACKLOG_SINKS, values.sink ?? "503"),
    json: values.json ?? false,
  };
}

function parseEngine(name: string | undefined, env: NodeJS.ProcessEnv): Engine {
  const kind = oneOf("--engine", ["sqlite", "postgres"] as const, name ?? "sqlite");
  if (kind === "sqlite") return { kind };
  const url = env["LINKME_BENCH_POSTGRES_URL"];
  if (!url) {
    throw new Error("--engine postgres needs LINKME_BENCH_POSTGRES_URL, like postgres://user@localhost/postgres.");
  }
  return { kind, url };
}

function count(name: keyof typeof LIMITS, text: string | undefined): number {
  const { fallback, min = 1, max }: Limit = LIMITS[name];
  if (text === undefined) return fallback;
  const value = text === "" ? Number.NaN : Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`--${name} is "${text}"; it takes a whole number from ${min} to ${max}.`);
}

function oneOf<const Name extends string>(what: string, names: readonly Name[], given: string): Name {
  const name = names.find((candidate) => candidate === given);
  if (name === undefined) throw new Error(`${what} "${given}" is unknown; it takes ${names.join(", ")}.`);
  return name;
}
