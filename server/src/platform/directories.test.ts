import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeDirectory } from "./directories.ts";

const root = mkdtempSync(join(tmpdir(), "linkme-directories-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("a directory is made with those above it, in the mode that is asked for, and again does nothing", () => {
  const path = join(root, "a/b/c");
  for (let times = 2; times > 0; times--) makeDirectory(path, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test("what cannot be made is an error, also where the system says that it does not exist", { timeout: 10_000 }, () => {
  writeFileSync(join(root, "file"), "");
  symlinkSync(join(root, "nowhere"), join(root, "dangling"));
  assert.throws(() => makeDirectory(join(root, "file")), { code: "EEXIST" });
  assert.throws(() => makeDirectory(join(root, "file/below")), { code: "ENOTDIR" });
  assert.throws(() => makeDirectory(join(root, "dangling/below")), { code: /ENOENT|EEXIST/ });
  // Linux alone has it; elsewhere the root of the file system, which no account of tests may write to, refuses as well.
  assert.throws(() => makeDirectory("/proc/linkme/data"));
});
