import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { composeCountries } from "../../test/support/mmdb.ts";
import { CountryFileError, openCountries } from "./country.ts";

const directory = mkdtempSync(join(tmpdir(), "linkme-countries-"));
after(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

test("an address has the country that the file names, or none", async () => {
  const countryOf = await openCountries(file("good.mmdb", composeCountries({ 203: "NZ", 198: "US", 9: "x<y" })));
  for (const [ip, country] of [
    ["203.0.113.7", "NZ"],
    ["198.51.100.1", "US"],
    ["192.0.2.1", null],
    // Not a code of two letters.
    ["9.9.9.9", null],
    ["2001:db8::1", null],
    ["no address", null],
    ["", null],
  ] as const) {
    assert.equal(countryOf(ip), country, ip);
  }
});

test("without a file no country is known", async () => {
  assert.equal((await openCountries(null))("203.0.113.7"), null);
});

test("a file that cannot be used is named in one sentence", async () => {
  const good = composeCountries({ 203: "NZ" });
  const pipe = join(directory, "pipe.mmdb");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  const loop = join(directory, "loop.mmdb");
  symlinkSync("loop.mmdb", loop);
  for (const [path, reason] of [
    [join(directory, "missing.mmdb"), /\(ENOENT\); accepted is/],
    [directory, /\(EISDIR\); accepted is/],
    [loop, /\(ELOOP\); accepted is/],
    [pipe, /it is not such a file/],
    ["/dev/zero", /it is not such a file/],
    [file("empty.mmdb", ""), /it is not such a file/],
    [file("text.mmdb", "not a database at all"), /it is not such a file/],
    [file("cut.mmdb", good.subarray(0, good.length / 2)), /it is not such a file/],
  ] as const) {
    await assert.rejects(openCountries(path), (error: unknown) => {
      assert.ok(error instanceof CountryFileError, path);
      assert.match(error.message, /^LINKME_GEOIP_DATABASE is ".*" \(/);
      assert.match(error.message, reason);
      return true;
    });
  }
});
