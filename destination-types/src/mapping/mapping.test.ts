import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cutBytes, whyUnusable } from "./audience.ts";

const FILES = globSync("*.ts", { cwd: import.meta.dirname }).filter((file) => !file.endsWith(".test.ts"));

test("mappers import nothing but each other and need nothing of Node, for they run elsewhere, too", () => {
  assert.ok(FILES.length > 5);
  for (const file of FILES) {
    const text = readFileSync(join(import.meta.dirname, file), "utf8");
    for (const [, from = ""] of text.matchAll(/^(?:import|export)[^;]*? from "([^"]+)"|import\("/gm)) {
      assert.match(from, /^\.\/[a-z0-9-]+\.ts$/, file);
    }
    assert.doesNotMatch(text, /\b(?:Buffer|process|require|Date\.now|Math\.random|URL\.parse)\b/, file);
  }
});

test("a text is cut to bytes without half a character at its end", () => {
  const cases: [string, number, string][] = [
    ["abc", 3, "abc"],
    ["abcd", 3, "abc"],
    ["éé", 3, "é"],
    ["a👟", 4, "a"],
    ["a👟", 5, "a👟"],
    ["", 0, ""],
    ["👟", 3, ""],
    ["x".repeat(100), 1_000, "x".repeat(100)],
  ];
  for (const [text, bytes, expected] of cases) assert.equal(cutBytes(text, bytes), expected);
});

test("what stands for a user is told from what stands for nobody", () => {
  for (const id of ["null", "NULL", " none ", "0", "", "[object Object]"])
    assert.match(whyUnusable(id, 100) ?? "", /placeholder/);
  for (const id of ["1", "00", "nullable", "user-1", "a@b.example"]) assert.equal(whyUnusable(id, 100), null);
  assert.equal(whyUnusable("é".repeat(5), 10), null);
  assert.match(whyUnusable("é".repeat(5), 9) ?? "", /longer than 9 bytes/);
});
