import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "./options.ts";

const defaults = {
  scenarios: ["pipeline", "redirect"],
  rounds: 3,
  seconds: 10,
  connections: 128,
  visitors: 256,
  engine: { kind: "sqlite" },
  events: 1_000_000,
  attempts: 10_000_000,
  clicks: 10_000_000,
  webhooks: 5_000,
  tokens: 1_000_000,
  links: 0,
  popularity: "even",
  sink: "503",
  json: false,
};

test("Options have defaults and are read from the command line", () => {
  const url = "postgres://me@localhost/postgres";
  const cases: [string[], object][] = [
    [[], {}],
    [["backlog"], { scenarios: ["backlog"] }],
    [["redirect", "--scenario", "pipeline"], { scenarios: ["redirect", "pipeline"] }],
    [["--scenario=redirect", "redirect"], { scenarios: ["redirect"] }],
    [["--rounds", "1", "--seconds=120", "--connections", "8"], { rounds: 1, seconds: 120, connections: 8 }],
    [["backlog", "--events", "1000", "--sink", "hang"], { scenarios: ["backlog"], events: 1000, sink: "hang" }],
    [["history", "--attempts", "1000"], { scenarios: ["history"], attempts: 1000 }],
    [["analytics", "--clicks", "1000"], { scenarios: ["analytics"], clicks: 1000 }],
    [["--visitors", "1000"], { visitors: 1000 }],
    [["redirect", "--links", "1000000"], { scenarios: ["redirect"], links: 1_000_000 }],
    [["--links", "10", "--popularity", "zipf"], { links: 10, popularity: "zipf" }],
    [["claim", "--tokens", "1000"], { scenarios: ["claim"], tokens: 1000 }],
    [["nodes", "--engine", "postgres"], { scenarios: ["nodes"], engine: { kind: "postgres", url } }],
    [["many", "--webhooks", "100", "fanout"], { scenarios: ["many", "fanout"], webhooks: 100 }],
    [["--engine", "postgres", "--json"], { engine: { kind: "postgres", url }, json: true }],
  ];
  for (const [args, expected] of cases) {
    assert.deepEqual(parseOptions(args, { LINKME_BENCH_POSTGRES_URL: url }), { ...defaults, ...expected });
  }
});

test("A wrong option is refused with what is accepted", () => {
  const cases: [string[], RegExp][] = [
    [["--rounds", "0"], /--rounds .* 1 to 100/],
    [["--rounds", "1.5"], /--rounds/],
    [["--seconds", "forever"], /--seconds is "forever"/],
    [["--seconds", ""], /--seconds/],
    [["--connections", "1001"], /1 to 1000/],
    [["--visitors", "0"], /--visitors .* 1 to 1000/],
    [["--events", "1e9"], /--events/],
    [["--links=-1"], /--links .* 0 to/],
    [["--links", ""], /--links is ""/],
    [["--popularity", "normal"], /--popularity .* even, zipf, one/],
    [["--tokens", "0"], /--tokens .* 1 to/],
    [["--attempts", "0"], /--attempts/],
    [["--clicks", "0"], /--clicks .* 1 to/],
    [["--engine", "mysql"], /sqlite, postgres/],
    [["nodes"], /nodes takes --engine postgres/],
    [["--engine", "postgres"], /LINKME_BENCH_POSTGRES_URL/],
    [["--sink", "slow"], /503, hang, stopped/],
    [["pipelines"], /pipeline, redirect, backlog, history/],
    [["--round", "3"], /round/],
  ];
  for (const [args, message] of cases) assert.throws(() => parseOptions(args, {}), message, args.join(" "));
});
