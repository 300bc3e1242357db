// The receiver needs nothing of Node's: its files import no package and no part of Node, it compiles against the Web's types
// alone, and it answers in a context that has the Web's globals and no others, as Workers, Deno and Bun have them.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { run, SDK, TSC } from "../support/package.ts";
import { CLICK, SECRET } from "../support/receiver.ts";

const SOURCES = join(SDK, "src");
const RECEIVER = join(SOURCES, "receiver");
const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g;

/** The files that are reached from here, and what they import that is no file. */
function reach(
  file: string,
  files = new Set<string>(),
  outside: string[] = [],
): { files: Set<string>; outside: string[] } {
  if (files.has(file)) return { files, outside };
  files.add(file);
  for (const [, specifier = ""] of readFileSync(file, "utf8").matchAll(IMPORT)) {
    if (specifier.startsWith(".")) reach(resolve(dirname(file), specifier), files, outside);
    else if (!specifier.startsWith("@li-nk.me/")) outside.push(`${file}: ${specifier}`);
  }
  return { files, outside };
}

let built = "";

before(() => {
  built = mkdtempSync(join(tmpdir(), "linkme-receiver-"));
  run(process.execPath, [TSC, "-p", join(SDK, "tsconfig.cjs.json"), "--outDir", built], built);
});

after(() => rmSync(built, { recursive: true, force: true }));

test("no file of the receiver, its adapters and its stores imports a package or a part of Node", () => {
  const reached = readdirSync(RECEIVER).map((name) => reach(join(RECEIVER, name)));
  assert.deepEqual(
    reached.flatMap(({ outside }) => outside),
    [],
  );
  assert.ok(
    reach(join(SOURCES, "index.ts")).outside.some((found) => found.endsWith("node:crypto")),
    "the look can find one",
  );
  const core = [...reach(join(RECEIVER, "index.ts")).files].map((file) => file.slice(SOURCES.length + 1));
  assert.ok(core.includes("is-event.ts") && !core.includes("schemas.ts"), core.join());
});

test("the receiver compiles against the Web's types alone", () => {
  const files = readdirSync(RECEIVER).map((name) => join(RECEIVER, name));
  const options = [
    "--noEmit",
    "--strict",
    "--allowImportingTsExtensions",
    "--erasableSyntaxOnly",
    "--skipLibCheck",
    "false",
  ];
  const web = [
    "--target",
    "es2023",
    "--lib",
    "es2023,webworker,webworker.iterable",
    "--types",
    "",
    "--module",
    "esnext",
  ];
  run(process.execPath, [TSC, ...options, ...web, "--moduleResolution", "bundler", ...files], built);
});

/** What every runtime of the Web has; the language's own are there anyway. */
const WEB = {
  ...{ AbortController, AbortSignal, Headers, Request, Response, ReadableStream, TextDecoder, TextEncoder, URL },
  ...{ atob, btoa, clearTimeout, console, crypto, fetch, setTimeout },
};

/** Loads a file of the build, and what it requires, into the context; whatever is no file of the build is refused. */
function load(context: object, file: string, loaded = new Map<string, object>()): Record<string, unknown> {
  const known = loaded.get(file);
  // As CommonJS has it: exports are an object of whatever the file puts there.
  if (known !== undefined) return known as Record<string, unknown>;
  const exports = {};
  loaded.set(file, exports);
  const require = (specifier: string) => {
    assert.ok(specifier.startsWith("."), `${file} requires ${specifier}`);
    return load(context, resolve(dirname(file), specifier), loaded);
  };
  runInContext(`(function (exports, require) {${readFileSync(file, "utf8")}\n})`, context, { filename: file })(
    exports,
    require,
  );
  return exports;
}

test("it verifies, handles and remembers where there is nothing but the Web", async () => {
  const context = createContext({ ...WEB, SECRET, CLICK: JSON.stringify(CLICK) });
  const exported = load(context, join(built, "receiver/index.js"));
  Object.assign(context, { receiver_kit: exported });
  const answers = await runInContext(
    `(async () => {
      if (typeof process !== "undefined" || typeof Buffer !== "undefined" || typeof require !== "undefined") throw new Error("Node");
      const { createReceiver, memoryDedupe, signTestPayload } = receiver_kit;
      const seen = [];
      const receiver = createReceiver({ secrets: async () => [SECRET], dedupe: memoryDedupe() });
      receiver.on("link.click", (event) => seen.push(event.data.link_id));
      const { body, headers } = await signTestPayload(CLICK, { secret: SECRET });
      const ask = async (text) => {
        const request = new Request("https://receiver.test/", { method: "POST", headers, body: text });
        const response = await receiver.handle(request);
        return response.status + " " + (await response.text());
      };
      return JSON.stringify([await ask(body), await ask(body), (await ask(body + " ")).slice(0, 3), seen]);
    })()`,
    context,
  );
  const id = CLICK.id;
  assert.deepEqual(JSON.parse(answers), [
    `200 {"outcome":"processed","id":"${id}"}`,
    `200 {"outcome":"duplicate","id":"${id}"}`,
    "401",
    ["lnk_1"],
  ]);
});
