// Every check must find what it is there to find.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { findBrokenLinks, findLicenceProblems, findLockProblems, findStaleFiles, listLinks } from "./check.ts";

const folder = mkdtempSync(join(tmpdir(), "linkme-check-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let projects = 0;

function createProject(files: Record<string, string>): string {
  const root = join(folder, String(projects++));
  mkdirSync(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test("a generated file that is missing or differs is named, with the command that mends it", () => {
  const root = createProject({ "spec/same.json": "{}\n", "spec/old.json": "{}" });
  assert.deepEqual(findStaleFiles(root, { "spec/same.json": "{}\n", "spec/old.json": "{}\n", "spec/new.json": "" }), [
    "spec/old.json is out of date: run `npm run generate`.",
    "spec/new.json is missing: run `npm run generate` and commit it.",
  ]);
});

const LOCKS = [
  ["nothing wrong", { "": {}, "node_modules/a": { version: "1.0.0" } }, 0],
  ["an address", { "node_modules/a": { resolved: "https://registry.example/a.tgz" } }, 1],
  ["a folder of the project", { "node_modules/sdk": { resolved: "sdk/node", link: true } }, 0],
  ["a platform package left out", { "node_modules/a": { optionalDependencies: { "@a/x": "1.0.0" } } }, 1],
  [
    "a platform package beside",
    { "node_modules/a": { optionalDependencies: { "@a/x": "1.0.0" } }, "node_modules/@a/x": {} },
    0,
  ],
  [
    "platform packages inside and above",
    {
      "node_modules/a/node_modules/b": { optionalDependencies: { c: "1", d: "1" } },
      "node_modules/a/node_modules/b/node_modules/c": {},
      "node_modules/a/node_modules/d": {},
    },
    0,
  ],
] as const;

for (const [name, packages, count] of LOCKS) {
  test(`the lock file is read: ${name}`, () => {
    const root = createProject({ "package-lock.json": JSON.stringify({ packages }) });
    assert.equal(findLockProblems(root).length, count);
  });
}

const TEXTS = [
  ["a link", "see [the guide](guide/start.md#first)", ["guide/start.md#first"]],
  ["an image with a title", '![a](a%20b.png "A picture")', ["a%20b.png"]],
  ["a definition", "[guide]: ../guide.md", ["../guide.md"]],
  ["HTML", '<img src="a.svg" alt="">', ["a.svg"]],
  ["addresses and anchors", "[a](https://a.example) [b](#b) [c](mailto:a@b.example) <https://a.example>", []],
  ["code", "`[a](b.md)`\n```md\n[a](c.md)\n```\n", []],
] as const;

for (const [name, text, links] of TEXTS) {
  test(`relative links are found in ${name}`, () => {
    assert.deepEqual(listLinks(text), links);
  });
}

test("a link that leads nowhere is named with its document", () => {
  const root = createProject({
    "README.md": "[good](docs/a.md) [folder](docs) [bad](docs/b.md)",
    "docs/a.md": "[up](../README.md#x) [root](/README.md) [bad](a/b.md)",
  });
  assert.deepEqual(findBrokenLinks(root), [
    "README.md: the link to docs/b.md leads nowhere.",
    "docs/a.md: the link to a/b.md leads nowhere.",
  ]);
});

test("a project without its licence is refused", () => {
  assert.equal(findLicenceProblems(createProject({})).length, 1);
  assert.equal(findLicenceProblems(createProject({ LICENSE: "All rights reserved" })).length, 1);
  assert.equal(findLicenceProblems(createProject({ LICENSE: "Apache License\nVersion 2.0" })).length, 0);
});
