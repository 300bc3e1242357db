import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Config, readConfig } from "./config.ts";
import { DataDirError, dropNewSealKey, readSecrets } from "./data-dir.ts";

const root = mkdtempSync(join(tmpdir(), "linkme-data-"));
after(() => rmSync(root, { recursive: true, force: true }));

function config(name: string, env: Record<string, string> = {}): Config {
  const reading = readConfig({ LINKME_DATA_DIR: join(root, name), ...env }, () => "");
  return reading.kind === "config" ? reading.config : assert.fail(reading.problems.join());
}

test("the first start makes a seal key and an admin token that only the owner can read, and later ones keep them", () => {
  const first = readSecrets(config("fresh/below"));
  assert.equal(first.seal_key.length, 32);
  assert.match(first.admin_token, /^[A-Za-z0-9_-]{43}$/);
  assert.deepEqual([first.token_file, first.is_token_new], [join(root, "fresh/below/admin.token"), true]);
  assert.deepEqual(readdirSync(join(root, "fresh/below")).sort(), ["admin.token", "seal.key"]);
  for (const name of ["admin.token", "seal.key"]) {
    assert.equal(statSync(join(root, "fresh/below", name)).mode & 0o777, 0o600);
  }
  assert.deepEqual(readSecrets(config("fresh/below")), { ...first, is_token_new: false, is_seal_key_new: false });
});

test("secrets that are given are used and not written", () => {
  const key = Buffer.alloc(32, 9);
  const given = { LINKME_ADMIN_TOKEN: "t".repeat(40), LINKME_SEAL_KEY: key.toString("base64") };
  assert.deepEqual(readSecrets(config("given", given)), {
    seal_key: key,
    seal_key_file: null,
    is_seal_key_new: false,
    admin_token: "t".repeat(40),
    token_file: null,
    is_token_new: false,
  });
  assert.deepEqual(readdirSync(join(root, "given")), []);
});

test("a new seal key that is not wanted is removed; an old one, and one that was put in its place, stay", () => {
  const file = join(root, "unwanted/seal.key");
  const first = readSecrets(config("unwanted"));
  dropNewSealKey(readSecrets(config("unwanted")));
  assert.ok(existsSync(file), "it was there before that start");
  dropNewSealKey(first);
  assert.ok(!existsSync(file));
  dropNewSealKey(first);
  const second = readSecrets(config("unwanted"));
  writeFileSync(file, `${Buffer.alloc(32, 9).toString("base64")}\n`);
  dropNewSealKey(second);
  assert.ok(existsSync(file), "somebody else's");
});

test("a file that was spoilt, or a directory that is none, is a sentence and never a new secret", () => {
  readSecrets(config("spoilt"));
  writeFileSync(join(root, "spoilt/seal.key"), "short\n");
  assert.throws(() => readSecrets(config("spoilt")), refusal(/seal\.key does not hold .* LINKME_SEAL_KEY accepts/));
  assert.equal(readFileSync(join(root, "spoilt/seal.key"), "utf8"), "short\n");
  writeFileSync(join(root, "spoilt/admin.token"), "");
  assert.throws(() => readSecrets(config("spoilt")), refusal(/admin\.token does not hold/));
  writeFileSync(join(root, "file"), "");
  assert.throws(
    () => readSecrets(config("file/below")),
    refusal(/^LINKME_DATA_DIR .* cannot be used \(ENOTDIR: a file is in its place\)/),
  );
});

function refusal(pattern: RegExp) {
  return (error: unknown) => error instanceof DataDirError && pattern.test(error.message);
}

test("a start on a full disk leaves no draft of a secret behind", () => {
  const dir = join(root, "full");
  const program = [process.execPath, "--disable-warning=ExperimentalWarning", "server/src/main.ts"];
  const env = { PATH: process.env["PATH"] ?? "", PORT: "0", LINKME_DATA_DIR: dir };
  const { status, stderr } = spawnSync("prlimit", ["--fsize=0:", ...program], { env, encoding: "utf8" });
  assert.equal(status, 78, stderr);
  assert.match(stderr, /admin\.token cannot be used \(EFBIG\)/);
  assert.deepEqual(readdirSync(dir), []);
});
