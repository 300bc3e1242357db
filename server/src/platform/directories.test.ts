import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeDirectory, removeDirectories } from "./directories.ts";

const root = mkdtempSync(join(tmpdir(), "linkme-directories-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("a directory is made with those above it, in the mode that is asked for, and again does nothing", () => {
  const path = join(root, "a/b/c");
  assert.deepEqual(makeDirectory(path, 0o700), [join(root, "a"), join(root, "a/b"), path]);
  assert.deepEqual(makeDirectory(path, 0o700), []);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test("what was made is removed again, but for what somebody uses", () => {
  const made = makeDirectory(join(root, "x/y/z"));
  writeFileSync(join(root, "x/file"), "");
  removeDirectories(made);
  assert.deepEqual(readdirSync(join(root, "x")), ["file"]);
  assert.throws(() => makeDirectory(join(root, `made/${"n".repeat(300)}`)), { code: "ENAMETOOLONG" });
  assert.ok(!existsSync(join(root, "made")), "nothing half-done is left");
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
