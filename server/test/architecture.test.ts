// Holds the project's sources to the rules of server/test/support/architecture.ts, and shows for every rule that it can fail.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LINES_MAX, moduleOf, RULES } from "./support/architecture.ts";
import { readSource } from "./support/source.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const SOURCES = [
  "{contract,destination-types,server,scripts,bench}/**/*.{ts,mjs}",
  "{sdk/node,portal}/{src,test}/**/*.{ts,tsx}",
  "sdk/python/**/*.py",
];
const GENERATED = /(?:^|\/)(?:node_modules|dist|generated|data)\/|\.gen\.ts$/;

const project = globSync(SOURCES, { cwd: ROOT })
  .filter((path) => !GENERATED.test(path))
  .sort()
  .map((path) => readSource(path, readFileSync(join(ROOT, path), "utf8")));

test("the rules see the product's sources", () => {
  const modules = new Set(project.map(({ path }) => moduleOf(path)));
  for (const module of ["contract", "destination-types", "platform"]) assert.ok(modules.has(module), module);
});

for (const rule of RULES) {
  test(`in this project: ${rule.name}`, () => {
    const found = rule.check(project).map(({ path, line, message }) => `${path}:${line} ${message}`);
    assert.equal(found.join("\n"), "", `The rule "${rule.name}" is broken:\n${found.join("\n")}`);
  });
}

type Sample = Record<string, string>;

/** For each rule, samples that break it and samples that come close and do not. */
const SAMPLES: Record<string, { bad: Sample[]; good: Sample[] }> = {
  "modules import only from modules to their left": {
    bad: [
      { "server/src/events/append.ts": 'import { findLink } from "../links/store.ts";' },
      { "server/src/platform/egress.ts": 'import type { Delivery } from "#server/deliveries/attempt.ts";' },
      { "contract/src/events.ts": 'export { x } from "#destination-types/webhook.ts";' },
      { "server/src/errors.ts": 'import { sql } from "./platform/sql.ts";' },
      { "server/src/api/app.ts": 'import { config } from "../config.ts";' },
      { "server/src/api/app.ts": 'const x = () => import("../main.ts");' },
      { "server/src/api/app.ts": 'import { startReceiver } from "../../test/support/receiver.ts";' },
      { "server/src/utilities/x.ts": 'import {\n  a,\n  b,\n} from "../errors.ts";' },
    ],
    good: [
      {
        "server/src/links/redirect.ts": 'import { appendEvents } from "../events/append.ts";\nimport { z } from "zod";',
      },
      { "server/src/main.ts": 'import { readConfig } from "./config.ts";\nimport { createApp } from "./api/app.ts";' },
      { "server/src/platform/sql.ts": 'import { AppError } from "../errors.ts";' },
      { "server/src/events/append.ts": '// import { findLink } from "../links/store.ts";' },
      { "server/src/events/append.test.ts": 'import { createLink } from "../links/store.ts";' },
    ],
  },
  "contract and destination-types are pure": {
    bad: [
      { "contract/src/ids.ts": 'import { readFileSync } from "node:fs";' },
      { "destination-types/src/ga4.ts": 'import { request } from "undici";' },
      { "destination-types/src/ga4.ts": 'import "fastify";' },
    ],
    good: [
      { "contract/src/ids.ts": 'import { z } from "zod";\nimport { Id } from "./fields.ts";' },
      { "destination-types/src/s3.ts": 'import { createHmac } from "node:crypto";' },
      { "contract/src/ids.ts": 'import type { Server } from "node:http";' },
    ],
  },
  "inside a module: pure files < store.ts < the rest": {
    bad: [
      {
        "server/src/links/store.ts": 'import { record } from "./recorder.ts";',
        "server/src/links/recorder.ts": 'import { insertClicks } from "./store.ts";',
      },
      {
        "server/src/links/store.ts": 'import { a } from "./a.ts";',
        "server/src/links/a.ts": 'import { b } from "./b.ts";',
        "server/src/links/b.ts": 'import { send } from "../platform/egress.ts";',
      },
      {
        "server/src/links/store.ts": 'import { a } from "./spool.ts";',
        "server/src/links/spool.ts": 'import { open } from "node:fs/promises";',
      },
    ],
    good: [
      {
        "server/src/links/store.ts": 'import { newClick } from "./click.ts";\nimport type { R } from "./recorder.ts";',
        "server/src/links/click.ts": 'import { createId } from "#contract/ids.ts";',
        "server/src/links/recorder.ts": 'import { insertClicks } from "./store.ts";',
      },
    ],
  },
  "only store.ts, platform/ and migrations/ hold SQL": {
    bad: [
      { "server/src/links/redirect.ts": "const x = sql`select 1`;" },
      { "server/src/links/redirect.ts": "const x = sql<Row>`select 1`;" },
      { "server/src/api/links.ts": 'database.query("select * from links where id = $1");' },
      { "server/src/api/links.ts": "database.query(`\n  delete from links`);" },
    ],
    good: [
      { "server/src/links/store.ts": "const x = sql`select 1 from links`;" },
      { "server/src/deliveries/replay-store.ts": "const x = sql`select 1 from links`;" },
      { "server/src/platform/migrate.ts": 'const x = "create table migrations (id text)";' },
      { "server/src/api/links.ts": 'throw new Error("update the link, or select another"); // sql`select 1`' },
      { "server/src/links/redirect.test.ts": "await database.query(sql`select * from links`);" },
    ],
  },
  "only platform/egress.ts, and smtp.ts by nodemailer, open outbound connections": {
    bad: [
      { "server/src/notices/channels.ts": 'import { createTransport } from "nodemailer";' },
      { "server/src/platform/readiness.ts": 'const { createTransport } = await import("nodemailer");' },
      { "server/src/notices/channels.ts": 'import SMTPConnection from "nodemailer/lib/smtp-connection";' },
      { "server/src/platform/smtp.ts": 'import { connect } from "node:net";' },
      { "server/src/deliveries/attempt.ts": 'import { request } from "undici";' },
      { "server/src/api/app.ts": 'import http from "node:http";' },
      { "server/src/api/app.ts": 'import * as net from "node:net";' },
      { "server/src/platform/resolver.ts": 'import { connect } from "node:net";' },
      { "server/src/links/association.ts": "const answer = await fetch(url);" },
      { "server/src/events/append.ts": 'import pg from "pg";' },
      { "server/src/events/append.ts": 'const { Pool } = await import("undici");' },
    ],
    good: [
      { "server/src/platform/egress.ts": 'import { Agent } from "undici";' },
      { "server/src/platform/postgres.ts": 'import pg from "pg";' },
      { "server/src/platform/smtp.ts": 'const { createTransport } = await import("nodemailer");' },
      { "server/src/platform/addresses.ts": 'import { BlockList, isIP } from "node:net";' },
      { "server/src/api/app.ts": 'import { createServer, type ClientRequest } from "node:http";' },
      { "server/src/links/cache.ts": "const link = await store.fetch(slug); // fetch(url)" },
    ],
  },
  "only config.ts reads the environment": {
    bad: [{ "server/src/main.ts": "const port = process.env.PORT;" }, { "contract/src/ids.ts": "f(process.env)" }],
    good: [
      { "server/src/main.ts": "const { config } = readConfig(process.env, readFile);" },
      { "server/src/config.ts": 'process.env["PORT"]' },
      { "server/src/main.ts": "process.exit(0); // process.env" },
    ],
  },
  "only main.ts, cli.ts and workers have effects at import": {
    bad: [
      { "server/src/api/app.ts": "await start();" },
      { "server/src/api/app.ts": "server.listen(80);" },
      { "server/src/api/app.ts": "const config = await readConfig();" },
      { "contract/src/ids.ts": "for (const x of list) {\n}" },
      { "server/src/links/cache.ts": "setInterval(() => {}, 1000);" },
    ],
    good: [
      { "server/src/main.ts": "await start();\nprocess.on(signal, stop);" },
      { "server/src/platform/sqlite-worker.ts": "parentPort.on(message, run);" },
      {
        "server/src/api/app.ts": "export const A = z.object({\n  a: z.string(),\n});\nexport function x() {\n  y();\n}",
      },
      { "server/src/api/app.test.ts": 'test("x", () => {});' },
    ],
  },
  "no any": {
    bad: [
      { "server/src/api/app.ts": "let x: any;" },
      { "server/test/flows/x.test.ts": "const y = x as any;" },
      { "scripts/x.ts": "const m = new Map<string, any>();" },
      { "scripts/x.ts": "function f(...a: any[]) {}" },
    ],
    good: [
      { "server/src/api/app.ts": 'const s = "as any"; // : any' },
      { "server/src/api/app.ts": "const race = Promise.any([a]);\nlist(a, any(b));" },
    ],
  },
  "no test is skipped, singled out or put off": {
    bad: [
      { "server/test/x.test.ts": 'test.skip("a", () => {});' },
      { "server/test/x.test.ts": 'describe.only("a", () => {});' },
      { "server/test/x.test.ts": 'test("a", (t) => t.todo("b"));' },
      { "server/test/x.test.ts": 'test("a", { skip: true }, () => {});' },
      { "server/test/x.test.ts": 'it("a", { timeout: 5, only: true }, () => {});' },
    ],
    good: [
      { "server/test/x.test.ts": 'test("an event may be skipped", () => {\n  f({ skip: reason });\n});' },
      { "server/src/deliveries/attempt.ts": "const outcome = context.skip(event);" },
    ],
  },
  [`no file over ${LINES_MAX} lines`]: {
    bad: [{ "server/src/api/app.ts": "x\n".repeat(LINES_MAX + 1) }],
    good: [{ "server/src/api/app.ts": "x\n".repeat(LINES_MAX) }],
  },
  "no path of somebody's machine": {
    bad: [
      { "scripts/x.ts": `const a = "${["", "home", "ann", "linkme"].join("/")}";` },
      { "scripts/x.ts": `// see ${["", "Users", "ann"].join("/")}` },
      { "scripts/x.ts": `const a = "${["C:", "Users", "ann"].join("\\")}";` },
    ],
    good: [{ "scripts/x.ts": `const a = "https://a.example${["", "work", "b"].join("/")}";` }],
  },
};

for (const rule of RULES) {
  const { bad = [], good = [] } = SAMPLES[rule.name] ?? {};
  test(`the rule can fail: ${rule.name}`, () => {
    assert.ok(bad.length > 0, "a rule without a sample that breaks it");
    for (const sample of bad) assert.equal(check(sample).length, 1, `not found: ${JSON.stringify(sample)}`);
  });
  test(`the rule lets pass what is allowed: ${rule.name}`, () => {
    assert.ok(good.length > 0, "a rule without a sample that keeps it");
    for (const sample of good) assert.deepEqual(check(sample), [], JSON.stringify(sample));
  });
  function check(sample: Sample) {
    return rule.check(Object.entries(sample).map(([path, text]) => readSource(path, text)));
  }
}

/** Written apart, so that the formatter does not take the samples for templates in the wrong quotes. */
const HOLE = "$";

const SCANS = [
  ["a comment", "a // b\nc", "a     \nc"],
  ["a long comment", "a /* b\n */ c", "a     \n    c"],
  ["a string", 'a("b\\"c") // d', 'a("    ")     '],
  ["a comment inside a string", 'a("// b"); c', 'a("    "); c'],
  ["a template with code in it", `\`a${HOLE}{b(\`c${HOLE}{d}\`)}e\` f`, `\` ${HOLE}{b(\` ${HOLE}{d}\`)} \` f`],
  ["a template with an object in it", `\`${HOLE}{f({ a })}b\` c`, `\`${HOLE}{f({ a })} \` c`],
  ["a pattern", "x = /[/\"]'/g; b", "x =         ; b"],
  ["a division", "a / b / c", "a / b / c"],
] as const;

for (const [name, text, code] of SCANS) {
  test(`a source is scanned: ${name}`, () => {
    assert.equal(readSource("x.ts", text).code, code);
  });
}
