// The package as a user gets it: built into a folder of its own, packed, loaded in both module systems, compiled
// against, and the receiver of the README run with real requests.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { buildPackage, NPM, ROOT, run as runIn, SDK, TSC, ZOD } from "./support/package.ts";

const SECRET = "whsec_local";
const MODULES = [
  "client",
  "errors",
  "events",
  "index",
  "is-event",
  "keys",
  "parse-envelope",
  "receiver/answer",
  "receiver/bytes",
  "receiver/dedupe",
  "receiver/dedupe-firestore",
  "receiver/dedupe-postgres",
  "receiver/dedupe-redis",
  "receiver/envelope",
  "receiver/errors",
  "receiver/event-key",
  "receiver/express",
  "receiver/fastify",
  "receiver/forwarder",
  "receiver/functions",
  "receiver/headers",
  "receiver/hono",
  "receiver/index",
  "receiver/koa",
  "receiver/lambda",
  "receiver/lease-owner",
  "receiver/next",
  "receiver/node",
  "receiver/node-request",
  "receiver/options",
  "receiver/outbox-postgres",
  "receiver/postgres",
  "receiver/queues",
  "receiver/raw-body",
  "receiver/receiver",
  "receiver/secrets",
  "receiver/sign-test-payload",
  "receiver/signature",
  "receiver/steps",
  "request",
  "schemas",
  "verify-ed25519",
  "verify-signature",
];

/** What each subpath exports at run time. */
const SUBPATHS: [subpath: string, names: string][] = [
  [
    "receiver",
    "LinkMeFinalError,LinkMeForwardError,LinkMeRetryError,LinkMeUsageError,createReceiver,memoryDedupe,signTestPayload",
  ],
  ["receiver/express", "toExpressHandler"],
  ["receiver/fastify", "toFastifyHandler,toFastifyPlugin"],
  ["receiver/functions", "toHttpFunction"],
  ["receiver/hono", "toHonoHandler"],
  ["receiver/koa", "toKoaMiddleware"],
  ["receiver/lambda", "toLambdaHandler"],
  ["receiver/next", "toNextApiHandler"],
  ["receiver/node", "toNodeListener"],
  ["receiver/dedupe-firestore", "firestoreDedupe"],
  ["receiver/dedupe-postgres", "postgresDedupe"],
  ["receiver/dedupe-redis", "redisDedupe"],
  ["receiver/outbox-postgres", "drainOutbox,postgresOutbox"],
  ["receiver/queues", "bullHandOff,cloudTasksHandOff,sqsHandOff"],
];

/** A user's project, with the package below its node_modules. */
let project = "";
let installed = "";

before(() => {
  project = mkdtempSync(join(tmpdir(), "linkme-node-sdk-"));
  installed = join(project, "node_modules/@li-nk.me/node-sdk");
  mkdirSync(installed, { recursive: true });
  buildPackage(installed);
  symlinkSync(ZOD, join(project, "node_modules/zod"));
});

after(() => rmSync(project, { recursive: true, force: true }));

const run = (command: string, args: string[], cwd = project) => runIn(command, args, cwd);

const USE = `
  const secret = ${JSON.stringify(SECRET)};
  const header = "sha256=" + createHmac("sha256", secret).update("{}").digest("hex");
  console.log(Object.keys(sdk).sort().join());
  console.log(sdk.verifyLinkMeWebhookSignature("{}", header, secret));
  console.log(sdk.parseLinkMeWebhookEnvelope({ id: "1", event: "e", more: 1 }));
`;
const PRINTED = [
  "CreateLinkInputSchema,CreateLinkResponseSchema,ExtendedLinkSchema,LinkMeClient,LinkMeRequestError,LinkMeUsageError," +
    "LinkMeWebhookEnvelopeSchema,LinkMeWebhookError,LinkSchema,UpdateLinkInputSchema,createLinkMeKeyReader,default," +
    "isLinkMeEvent,parseLinkMeWebhookEnvelope,selectLinkMeWebhookKeys,verifyLinkMeWebhookEd25519," +
    "verifyLinkMeWebhookSignature",
  "true",
  "{ id: '1', event: 'e' }",
];

test("the built package loads with import", () => {
  const head = 'import { createHmac } from "node:crypto"; import * as sdk from "@li-nk.me/node-sdk";';
  writeFileSync(join(project, "use.mjs"), head + USE);
  assert.deepEqual(run(process.execPath, ["use.mjs"]).trim().split("\n"), PRINTED);
});

test("the built package loads with require", () => {
  const head = 'const { createHmac } = require("node:crypto"); const sdk = require("@li-nk.me/node-sdk");';
  writeFileSync(join(project, "use.cjs"), head + USE);
  assert.deepEqual(run(process.execPath, ["use.cjs"]).trim().split("\n"), PRINTED);
});

/** Makes a receiver, lets it answer a signed request, and prints that and the names that each subpath exports. */
const USE_RECEIVER = `
  const { createReceiver, signTestPayload } = subpaths[0];
  const secret = ${JSON.stringify(SECRET)};
  signTestPayload({ id: "1", event: "link.shared" }, { secret }).then(async (init) => {
    const request = new Request("http://receiver.test/", { method: "POST", ...init });
    const response = await createReceiver({ secrets: secret }).handle(request);
    console.log(response.status + " " + (await response.text()));
    for (const exported of subpaths) {
      console.log(Object.keys(exported).filter((name) => !/^(default|module\\.exports)$/.test(name)).sort().join());
    }
  });
`;
const RECEIVED = ['200 {"outcome":"unknown_event","id":"1"}', ...SUBPATHS.map(([, names]) => names)];
const specifiers = SUBPATHS.map(([subpath]) => JSON.stringify(`@li-nk.me/node-sdk/${subpath}`));

test("every subpath of the receiver loads with import, and without Zod", () => {
  const head = specifiers.map((specifier, index) => `import * as s${index} from ${specifier};`).join("");
  const bare = mkdtempSync(join(tmpdir(), "linkme-node-bare-"));
  try {
    mkdirSync(join(bare, "node_modules/@li-nk.me"), { recursive: true });
    cpSync(installed, join(bare, "node_modules/@li-nk.me/node-sdk"), { recursive: true });
    const code = `${head} const subpaths = [${specifiers.map((_, index) => `s${index}`)}];${USE_RECEIVER}`;
    writeFileSync(join(bare, "use.mjs"), code);
    assert.deepEqual(runIn(process.execPath, ["use.mjs"], bare).trim().split("\n"), RECEIVED);
  } finally {
    rmSync(bare, { recursive: true, force: true });
  }
});

test("every subpath of the receiver loads with require", () => {
  writeFileSync(
    join(project, "subpaths.cjs"),
    `const subpaths = [${specifiers}].map((path) => require(path));${USE_RECEIVER}`,
  );
  assert.deepEqual(run(process.execPath, ["subpaths.cjs"]).trim().split("\n"), RECEIVED);
});

test("what is no subpath cannot be reached", () => {
  const load = 'import("@li-nk.me/node-sdk/receiver/steps").catch((error) => console.log(error.code));';
  writeFileSync(join(project, "inner.mjs"), load);
  assert.equal(run(process.execPath, ["inner.mjs"]).trim(), "ERR_PACKAGE_PATH_NOT_EXPORTED");
});

test("the declarations of every subpath serve a strict project that knows nothing of Node's types", () => {
  const imports = specifiers.map((specifier, index) => `import * as s${index} from ${specifier};`).join("\n");
  const used = specifiers.map((_, index) => `s${index}`).join();
  const source = `${imports}
    import { createReceiver } from "@li-nk.me/node-sdk/receiver";
    export const subpaths = [${used}];
    createReceiver({ secrets: async () => ["whsec_a"] })
      .on("link.claim", (event) => event.data.claim_type.length)
      // @ts-expect-error a claim has no dest_url
      .on("link.click", (event) => event.data.dest_url.length + event.data.claim_type)
      .onUnknown((event, why: "type" | "data") => [event.id, why]);
    // @ts-expect-error there is no such event
    createReceiver({ secrets: "a" }).on("link.clicked", () => {});
    // @ts-expect-error secrets are asked for
    createReceiver({});`;
  for (const file of ["receiver.mts", "receiver.cts"]) {
    writeFileSync(join(project, file), source);
    const options = ["--strict", "--noEmit", "--target", "es2023", "--exactOptionalPropertyTypes"];
    run(process.execPath, [TSC, ...options, "--module", "nodenext", "--types", "", file]);
  }
});

test("its declarations serve a strict project that knows nothing of Node's types or of ours", () => {
  writeFileSync(
    join(project, "use.mts"),
    `import { isLinkMeEvent, type LinkMeWebhookEnvelope, parseLinkMeWebhookEnvelope } from "@li-nk.me/node-sdk";
    const envelope: LinkMeWebhookEnvelope = parseLinkMeWebhookEnvelope({});
    if (isLinkMeEvent(envelope) && envelope.event === "link.claim") {
      const claim: "direct" | "install_referrer" | "pasteboard" | "fingerprint" = envelope.data.claim_type;
      // @ts-expect-error a claim has no dest_url
      console.log(claim, envelope.data.dest_url);
    }
    declare const console: { log(...values: unknown[]): void };`,
  );
  const options = [
    "--strict",
    "--noEmit",
    "--module",
    "nodenext",
    "--target",
    "es2023",
    "--exactOptionalPropertyTypes",
  ];
  run(process.execPath, [TSC, ...options, "--types", "", "use.mts"]);
});

test("the package holds its build, its README and its licence, and nothing else", () => {
  const [command, args] = NPM;
  const pack = ["pack", "--dry-run", "--json", "--ignore-scripts", "--no-update-notifier", "--offline"];
  const [packed]: { files: { path: string }[] }[] = JSON.parse(run(command, [...args, ...pack], installed));
  const stems = MODULES.flatMap((name) => [`dist/${name}`, `dist/cjs/${name}`]);
  const built = ["dist/cjs/package.json", ...stems.flatMap((stem) => [`${stem}.d.ts`, `${stem}.js`])];
  assert.deepEqual(
    packed?.files.map(({ path }) => path).sort(),
    ["LICENSE", "README.md", ...built, "package.json"].sort(),
  );
});

test("package.json promises what is so", () => {
  const manifest = JSON.parse(readFileSync(join(SDK, "package.json"), "utf8"));
  assert.deepEqual(Object.keys(manifest.dependencies), ["zod"]);
  const { "./package.json": itself, ...entries } = manifest.exports;
  assert.equal(itself, "./package.json");
  const built = Object.values(entries).flatMap((entry) => {
    // package.json is ours, and has each entry in this form.
    const { import: esm, require: cjs } = entry as { import: Record<string, string>; require: Record<string, string> };
    return [esm, cjs].flatMap((system) => [system["types"], system["default"]]);
  });
  assert.equal(built.length, 4 * (SUBPATHS.length + 1));
  for (const path of [manifest.main, manifest.types, ...built]) {
    assert.ok(existsSync(join(installed, path)), path);
  }
  assert.equal(readFileSync(join(SDK, "LICENSE"), "utf8"), readFileSync(join(ROOT, "LICENSE"), "utf8"));
});

test("the node:http receiver of the README accepts signed events once, and nothing else", async () => {
  writeFileSync(join(project, "receiver.mjs"), readmeExample("With node:http"));
  const receiver = spawn(process.execPath, ["receiver.mjs"], {
    cwd: project,
    env: { ...process.env, LINKME_WEBHOOK_SECRET: SECRET, PORT: "0" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    const port = Number(/^listening on port (\d+)$/.exec(String((await lines.next()).value))?.[1]);
    const click = '{"id":"1","event":"link.click","data":{"note":"👟"}}';
    const signature = `sha256=${createHmac("sha256", SECRET).update(click).digest("hex")}`;
    const none = `sha256=${createHmac("sha256", SECRET).update("[]").digest("hex")}`;

    assert.equal(await post(port, click, signature), 204);
    assert.equal((await lines.next()).value, "received link.click 1");
    assert.equal(await post(port, click, signature), 204, "a repeated delivery is accepted");
    assert.equal(await post(port, `${click} `, signature), 401, "another body");
    assert.equal(await post(port, click, undefined), 401, "no signature");
    assert.equal(await post(port, click, [signature, signature]), 401, "the header twice");
    assert.equal(await post(port, "", signature), 401, "no body");
    assert.equal(await post(port, "[]", none), 400, "signed, but no envelope");
    assert.equal(await post(port, click, signature, "/other"), 404);
    assert.equal(await post(port, "x".repeat(2 * 1024 * 1024), signature), 413, "a body over the limit");

    const next = '{"id":"2","event":"link.shared"}';
    assert.equal(await post(port, next, `sha256=${createHmac("sha256", SECRET).update(next).digest("hex")}`), 204);
    assert.equal((await lines.next()).value, "received link.shared 2", "the repeated delivery was printed only once");
  } finally {
    await stop(receiver);
  }
});

test("the Express receiver of the README is correct JavaScript", () => {
  writeFileSync(join(project, "express.mjs"), readmeExample("With Express"));
  run(process.execPath, ["--check", "express.mjs"]);
});

/** The first JavaScript block below a heading of the README. */
function readmeExample(heading: string): string {
  const section = readFileSync(join(SDK, "README.md"), "utf8").split(`\n## ${heading}\n`)[1];
  const code = /^```js\n([\s\S]*?)^```$/m.exec(section ?? "")?.[1];
  assert.ok(code, `README.md has no example below "${heading}"`);
  return code;
}

function post(port: number, body: string, signature?: string | string[], path = "/webhooks/linkme"): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = signature === undefined ? {} : { "x-linkme-signature": signature };
    const sent = request({ host: "127.0.0.1", port, path, method: "POST", agent: false, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill("SIGKILL");
  });
}
