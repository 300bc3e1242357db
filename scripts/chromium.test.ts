// Which Chromium the browser tests get, with programs of the test's own in its place.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ensureChromium } from "./chromium.ts";

const folder = mkdtempSync(join(tmpdir(), "linkme-chromium-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function writeProgram(name: string, output: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\necho "${output}"\n`);
  chmodSync(path, 0o755);
  return path;
}

const never = () => assert.fail("nothing is to be installed");

test("the named one is taken, and nothing is installed", () => {
  const named = writeProgram("named", "Chromium 156.0.8078.108 built on Debian");
  assert.equal(ensureChromium({ CHROMIUM_PATH: named, PATH: "" }, never), named);
});

for (const [what, make] of [
  ["does not exist", () => join(folder, "absent")],
  ["is another program", () => writeProgram("other", "hello")],
  ["is too old", () => writeProgram("old", "Chromium 90.0.4430.212")],
] as const) {
  test(`a named one that ${what} is an error, and none is taken in its place`, () => {
    writeProgram("chromium", "Chromium 156.0.8078.108");
    assert.throws(
      () => ensureChromium({ CHROMIUM_PATH: make(), PATH: folder }, never),
      /CHROMIUM_PATH=.* is no Chromium/,
    );
    rmSync(join(folder, "chromium"));
  });
}

test("where there is none it is installed, and where that fails the error says what to do", () => {
  const install = () => writeProgram("chromium", "Chromium 156.0.8078.108") !== "";
  assert.equal(ensureChromium({ PATH: folder }, install), join(folder, "chromium"));
  assert.equal(ensureChromium({ PATH: folder }, never), join(folder, "chromium"), "found from now on");
  rmSync(join(folder, "chromium"));
  assert.throws(
    () => ensureChromium({ PATH: folder }, () => false),
    /install the package `chromium`, or name the program/,
  );
  assert.throws(() => ensureChromium({ PATH: folder }, () => true), /neither found nor installed/);
});
