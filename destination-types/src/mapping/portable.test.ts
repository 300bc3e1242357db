import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readSource } from "../../../server/test/support/source.ts";

/** Of this folder or, as types alone, of the one above: what runs where Node does not needs no more. */
const FILES = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
/** What not every runtime has that the forwarders run in: Node 20, Bun, Deno, Workers. */
const MISSING_SOMEWHERE = /\b(?:Buffer|process|require|setImmediate)\b|\bURL\.parse\b/;

test("mappers need nothing of a package or of one runtime", () => {
  assert.ok(FILES.includes("ga4.ts") && FILES.includes("ga4-validate.ts"));
  for (const name of FILES) {
    const { imports, code } = readSource(name, readFileSync(`${import.meta.dirname}/${name}`, "utf8"));
    for (const { specifier, is_type } of imports) {
      assert.ok(specifier.startsWith("./") || (is_type && specifier.startsWith("../")), `${name} imports ${specifier}`);
    }
    assert.equal(MISSING_SOMEWHERE.exec(code)?.[0], undefined, name);
  }
});
