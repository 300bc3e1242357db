// What an operator reads when the server does not start: one sentence for each thing that is wrong, and nothing is changed.
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { ROOT, runToEnd } from "../support/program.ts";

const root = mkdtempSync(join(tmpdir(), "linkme-refused-"));
after(() => rmSync(root, { recursive: true, force: true }));

const url = (name: string) => `file:${join(root, name, "linkme.db")}`;

test("bad settings stop the start with exit code 78 and one sentence each, all together", async () => {
  const { code, out, err } = await runToEnd({
    PORT: "eighty",
    DATABASE_URL: "mysql://root:hunter2@db/linkme",
    LINKME_ROLE: "worker",
    LINKME_ADMIN_TOKEN: "hunter 2",
  });
  assert.equal(code, 78);
  assert.equal(out, "");
  const sentences = err.trim().split("\n");
  assert.deepEqual(
    sentences.map((sentence) => sentence.split(" ")[0]),
    ["PORT", "DATABASE_URL", "LINKME_ADMIN_TOKEN", "LINKME_ROLE"],
  );
  assert.ok(!err.includes("hunter"), err);
});

test("what this machine has not is told together with the values that are not accepted, and nothing is left behind", async () => {
  writeFileSync(join(root, "file"), "");
  const { code, out, err } = await runToEnd({
    PORT: "eighty",
    // TEST-NET-3 (RFC 5737): no machine has it.
    HOST: "203.0.113.9",
    DATABASE_URL: `file:${join(root, "new", "below", "file", "linkme.db")}`,
    LINKME_DATA_DIR: join(root, "file", "below"),
    LINKME_GEOIP_DATABASE: join(root, "file"),
  });
  assert.deepEqual([code, out], [78, ""]);
  const rest = "accepted is the path of a";
  assert.deepEqual(err.trim().split("\n"), [
    'PORT is "eighty"; accepted is a whole number from 0 to 65535; 0 picks a free port.',
    "HOST 203.0.113.9 is not an address of this machine; set HOST to 127.0.0.1, 0.0.0.0 or one of its own.",
    `LINKME_DATA_DIR ${root}/file/below cannot be used (${root}/file is no directory); ${rest} directory that this process may read and write.`,
    `LINKME_GEOIP_DATABASE is "${root}/file" (it is not such a file); ${rest} MaxMind database (.mmdb) with countries.`,
  ]);
  assert.ok(!existsSync(join(root, "new")), "nothing is made");
});

test("a database file that cannot be one is refused by the name of its setting, with the directory below which it should be", async () => {
  writeFileSync(join(root, "plain"), "");
  const { code, out, err } = await runToEnd({ DATABASE_URL: `file:${join(root, "plain", "linkme.db")}` });
  assert.deepEqual([code, out], [78, ""]);
  const accepted =
    "accepted is a file that this process may read and write, or one that is not there yet in a directory of that kind";
  const reason = `cannot be used (${root}/plain is no directory)`;
  const dir = { LINKME_DATA_DIR: relative(ROOT, join(root, "plain")) };
  const beside = await runToEnd({ DATABASE_URL: `file:${join(root, "plain", "linkme.db")}`, ...dir });
  assert.equal(beside.err, err, "the same directory by another name is told of once");
  assert.equal(err, `DATABASE_URL ${root}/plain/linkme.db ${reason}; ${accepted}.\n`);
  symlinkSync("loop.db", join(root, "loop.db"));
  const loop = await runToEnd({ DATABASE_URL: `file:${join(root, "loop.db")}` });
  assert.equal(loop.err, `DATABASE_URL ${root}/loop.db cannot be used (ELOOP); ${accepted}.\n`);
  const missing = join(root, "missing", "linkme.db");
  symlinkSync(missing, join(root, "leads-nowhere.db"));
  symlinkSync(join(root, "missing"), join(root, "leads-nowhere"));
  const below = { DATABASE_URL: `file:${missing}`, LINKME_DATA_DIR: join(missing, "data") };
  const nowhere = await runToEnd({ ...below, PORT: "eighty", LINKME_DATA_DIR: join(root, "leads-nowhere", "data") });
  assert.match(
    nowhere.err,
    /^PORT .*\nLINKME_DATA_DIR .* cannot be used \(\S+leads-nowhere is a link that leads nowhere\);/,
  );
  const linked = await runToEnd({ DATABASE_URL: `file:${join(root, "leads-nowhere.db")}`, PORT: "eighty" });
  assert.match(
    linked.err,
    /^PORT .*\nDATABASE_URL \S+ cannot be used \(\S+leads-nowhere\.db is a link that leads nowhere\);/,
  );
  const inside = await runToEnd(below);
  assert.match(inside.err, /^LINKME_DATA_DIR \S+ cannot be used \(the file of DATABASE_URL is in its place\);/);
  assert.ok(!existsSync(join(root, "missing")));
  const device = await runToEnd({ DATABASE_URL: "file:/dev/null" });
  assert.equal(device.code, 78);
  assert.match(device.err, /^DATABASE_URL \/dev\/null is a device, a pipe or a socket; accepted is a file of LinkMe /);
});

/** A file as another program leaves it; answers its path. */
function makeForeign(name: string, statements: string): string {
  const path = join(root, `${name}.db`);
  const file = new DatabaseSync(path);
  file.exec(`${statements}; analyze`);
  file.close();
  return path;
}

for (const [what, statements] of [
  ["tables of other names", "create table photos (id integer primary key, t text); create index p on photos (t)"],
  ["a table of the same name as one of ours", "create table apps (a int); insert into apps values (1)"],
  ["migrations of its own", "create table schema_migrations (version varchar primary key)"],
] as const) {
  test(`the database of another program is refused and not changed: ${what}`, async () => {
    const path = makeForeign(what.replaceAll(" ", "-"), statements);
    const before = readFileSync(path);
    const { code, out, err } = await runToEnd({ DATABASE_URL: `file:${path}`, LINKME_DATA_DIR: join(root, "foreign") });
    assert.equal(code, 78, out + err);
    assert.match(err, /^DATABASE_URL .*\.db is the database of another program; accepted is a file of LinkMe Server/m);
    assert.ok(readFileSync(path).equals(before));
  });
}

test("a directory is no database, and nothing is left beside it", async () => {
  const path = join(root, "beside", "directory");
  mkdirSync(path, { recursive: true });
  const { code, err } = await runToEnd({ DATABASE_URL: `file:${path}` });
  assert.equal(code, 78);
  assert.match(
    err,
    /^DATABASE_URL \S+directory is a directory; accepted is a file of LinkMe Server, or one that is not /m,
  );
  assert.deepEqual(readdirSync(join(root, "beside")), ["directory"]);
});

test("a damaged database ends the start with a sentence and not with a stack", async () => {
  const path = join(root, "damaged.db");
  const env = { DATABASE_URL: `file:${path}`, LINKME_DATA_DIR: join(root, "damaged") };
  writeFileSync(path, "no database at all ".repeat(1_000));
  const garbage = await runToEnd(env);
  assert.equal(garbage.code, 78);
  assert.match(garbage.err, /damaged\.db is damaged, or not an SQLite database; accepted is/);
  // Readable at first sight, and not in the middle.
  rmSync(path);
  const file = new DatabaseSync(path);
  file.exec("create table schema_migrations (version bigint primary key, checksum text)");
  file.close();
  const { code, err } = await runToEnd(env);
  assert.equal(code, 1);
  assert.match(err, /^The database cannot be used: .*restore a backup\.$/m);
  assert.doesNotMatch(err, /^\s+at /m);
});

test("an address of another machine, or one that names no interface, is no HOST, and costs no secret", async () => {
  for (const host of ["203.0.113.9", "fe80::1"]) {
    const { code, err } = await runToEnd({ HOST: host, DATABASE_URL: url("no-host") });
    assert.equal(code, 78);
    assert.ok(err.startsWith(`HOST ${host} is not an address of this machine; set HOST to `), err);
    assert.ok(!existsSync(join(root, "no-host")));
  }
});

for (const [answer, exit_code, text] of [
  ["ENOTFOUND", 78, "is not an address of this machine; set HOST to 127.0.0.1, "],
  ["EAI_AGAIN", 1, "cannot be looked up at the moment; see that a resolver answers, or set HOST to 127.0.0.1, "],
] as const) {
  test(`a HOST of which the resolver says ${answer} ends the start with exit code ${exit_code} and says what to set`, async () => {
    // Where no resolver answers, every name is EAI_AGAIN, and some resolvers find every name: so its answer is given.
    const lookup = `(name, _, done) => done(Object.assign(new Error(name), { code: "${answer}" }))`;
    const preload = encodeURIComponent(`import dns from "node:dns"; dns.lookup = ${lookup};`);
    const NODE_OPTIONS = `--import=data:text/javascript,${preload}`;
    const host = { HOST: "nosuch-host.invalid", NODE_OPTIONS };
    const { code, err } = await runToEnd({ ...host, DATABASE_URL: url(answer) });
    assert.equal(code, exit_code, err);
    assert.ok(
      err.split("\n").some((line) => line.startsWith(`HOST nosuch-host.invalid ${text}`)),
      err,
    );
  });
}
