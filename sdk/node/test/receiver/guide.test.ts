// The code of the guide to receivers: each piece is correct JavaScript, imports only what there is, and its tests pass. Its commands
// are typed by the suite of the README.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { buildPackage, ROOT, run } from "../support/package.ts";

const guide = readFileSync(join(ROOT, "docs/guide/receive-webhooks.md"), "utf8");
const pieces = [...guide.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = ""]) => code);
const OURS = /import \{([^}]*)\} from "(@li-nk\.me\/node-sdk[^"]*)"/g;

let project = "";

before(() => {
  project = mkdtempSync(join(tmpdir(), "linkme-receiver-guide-"));
  const installed = join(project, "node_modules/@li-nk.me/node-sdk");
  mkdirSync(installed, { recursive: true });
  buildPackage(installed);
});

after(() => rmSync(project, { recursive: true, force: true }));

test("the guide has a piece for each of its sections", () => assert.equal(pieces.length, 6));

for (const [index, code] of pieces.entries()) {
  test(`piece ${index + 1} of the guide is correct, and imports what there is`, () => {
    const names = [...code.matchAll(OURS)].map(([, imported = "", from]) => `import { ${imported} } from "${from}";`);
    assert.ok(names.length > 0);
    writeFileSync(join(project, "imports.mjs"), names.join("\n"));
    run(process.execPath, ["imports.mjs"], project);
    writeFileSync(join(project, "piece.mjs"), code);
    run(process.execPath, ["--check", "piece.mjs"], project);
  });
}

test("every adapter, store and queue that the guide names is there", async () => {
  const named = [...guide.matchAll(/\b(to[A-Z]\w+|\w+(?:Dedupe|Outbox|HandOff))\(/g)].map(([, name = ""]) => name);
  const { exports } = JSON.parse(readFileSync(join(project, "node_modules/@li-nk.me/node-sdk/package.json"), "utf8"));
  const paths = Object.keys(exports).filter((path) => path.startsWith("./receiver"));
  const print = "console.log(JSON.stringify(modules.flatMap((one) => Object.keys(one))))";
  const load = paths.map((path) => `await import("@li-nk.me/node-sdk${path.slice(1)}")`).join();
  writeFileSync(join(project, "names.mjs"), `const modules = [${load}]; ${print}`);
  const there: string[] = JSON.parse(run(process.execPath, ["names.mjs"], project));
  assert.deepEqual(
    [...new Set(named)].filter((name) => !there.includes(name)),
    [],
  );
  const told = there.filter(
    (name) => /^(?:to[A-Z]|.*(?:Dedupe|Outbox|HandOff)$)/.test(name) && name !== "toFastifyHandler",
  );
  assert.deepEqual(
    told.filter((name) => !named.includes(name)),
    [],
    "and the guide names all of them",
  );
});

test("the tests of the guide pass", () => {
  const code = pieces.find((piece) => piece.includes('from "node:test"')) ?? "";
  writeFileSync(join(project, "handlers.test.mjs"), code);
  // With this variable set the runner would take itself for a file of this run and print no report.
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const args = ["--test", "--test-reporter=spec", "handlers.test.mjs"];
  const { stdout } = spawnSync(process.execPath, args, { cwd: project, env, encoding: "utf8" });
  assert.match(stdout, /\bpass 2\b[\s\S]*\bfail 0\b/);
});
