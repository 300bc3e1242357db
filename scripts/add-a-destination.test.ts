// Does what the guide for a new type of destination says, in a copy of the sources: its code is put where the guide puts it, and the
// compiler and the tests that the guide names have to be content with it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const ROOT = join(import.meta.dirname, "..");
const guide = readFileSync(join(ROOT, "docs/guide/add-a-destination.md"), "utf8");
const REGISTRY = "server/src/destinations/types.ts";
const CONFIGS = "server/test/support/vendor-configs.ts";
const MAPPER = "destination-types/src/mapping/meter.ts";
const OWN_TEST = "destination-types/src/meter.test.ts";
const WHOLE = [MAPPER, "destination-types/src/meter.ts", "server/test/support/vendors/meter.ts", OWN_TEST];
const SUITES = [
  "destination-types/src/mapping/mapping.test.ts",
  "server/test/conformance/destination-types.test.ts",
  "server/test/architecture.test.ts",
];

let copy = "";

before(() => {
  copy = mkdtempSync(join(tmpdir(), "linkme-new-type-"));
  for (const name of ["contract", "destination-types", "server", "spec", "package.json"]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  for (const name of ["node_modules", "sdk", "bench", "scripts", "docs"]) {
    symlinkSync(join(ROOT, name), join(copy, name));
  }
  for (const path of WHOLE) writeFileSync(join(copy, path), blockOf(path));
  change(REGISTRY, /^import \{ mixpanel \}/m, 'import { meter } from "#destination-types/meter.ts";\n$&');
  change(REGISTRY, /^ {2}entryOf\(http\),$/m, `$&\n${lineOf(blockOf(REGISTRY), "entryOf")}`);
});
after(() => rmSync(copy, { recursive: true, force: true }));

test("the conformance suite asks for a config of the new type", () => {
  const { status, stdout } = run("--test", "server/test/conformance/destination-types.test.ts");
  assert.notEqual(status, 0);
  assert.match(stdout, /say a config of meter in vendor-configs\.ts/);
});

test("with one the type passes the tests that are there, and its own", () => {
  change(CONFIGS, /^ {2}segment: /m, `${lineOf(blockOf(CONFIGS), "meter")}\n$&`);
  passes("--test", "--test-update-snapshots", OWN_TEST);
  passes("--test", OWN_TEST, ...SUITES);
});

test("the compiler has nothing to say about it", () => {
  const settings = JSON.parse(readFileSync(join(ROOT, "tsconfig.json"), "utf8"));
  writeFileSync(join(copy, "tsconfig.json"), JSON.stringify({ ...settings, include: [...WHOLE, REGISTRY, CONFIGS] }));
  passes("node_modules/typescript/bin/tsc", "--project", "tsconfig.json");
});

/** The first code behind the place where the guide names a file. */
function blockOf(path: string): string {
  const from = guide.indexOf(`\`${path}\``);
  assert.ok(from >= 0, `the guide names ${path}`);
  const [, code = ""] = /^```ts\n([\s\S]*?)^```$/m.exec(guide.slice(from)) ?? [];
  assert.notEqual(code, "");
  return code;
}

function lineOf(code: string, word: string): string {
  return code.split("\n").find((line) => line.trimStart().startsWith(word)) ?? assert.fail(`a line with ${word}`);
}

function change(path: string, place: RegExp, text: string): void {
  const before = readFileSync(join(copy, path), "utf8");
  const changed = before.replace(place, text);
  assert.notEqual(changed, before, `${path} has the place`);
  writeFileSync(join(copy, path), changed);
}

function run(...args: string[]) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    ...{ cwd: copy, env, encoding: "utf8" },
  });
}

function passes(...args: string[]): void {
  const { status, stdout, stderr } = run(...args);
  assert.equal(status, 0, `${stdout.slice(-4_000)}${stderr.slice(-2_000)}`);
}
