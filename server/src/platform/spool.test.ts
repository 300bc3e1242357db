import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { waitUntil } from "../../test/support/wait.ts";
import { isDatabaseError } from "./database.ts";
import { createSpool, type Spool } from "./spool.ts";

const folder = mkdtempSync(join(tmpdir(), "linkme-spool-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let directories = 0;
const createDirectory = () => join(folder, String(directories++));

async function openSpool(...options: Parameters<typeof createSpool>): Promise<Spool> {
  const spool = createSpool(...options);
  await spool.recover();
  return spool;
}

async function bodies(spool: Spool): Promise<string[]> {
  return (await spool.read(0, 500)).map((entry) => entry.body);
}

test("nothing is opened and no file is made until the first text comes", async () => {
  const directory = createDirectory();
  const spool = await openSpool(directory);
  assert.deepEqual(await spool.read(0, 10), []);
  await spool.remove([1]);
  await spool.close();
  assert.equal(existsSync(directory), false);
});

test("texts come back in the order in which they were appended, and are gone once removed", async () => {
  const spool = await openSpool(createDirectory());
  const seqs = await Promise.all(["a", "b\u0000ö\u{1F45F}", "c"].map((body) => spool.append(body)));
  assert.deepEqual(await bodies(spool), ["a", "b\u0000ö\u{1F45F}", "c"]);
  assert.deepEqual(await spool.read(seqs[0] ?? 0, 1), [{ seq: seqs[1], body: "b\u0000ö\u{1F45F}" }]);
  assert.equal(spool.count(), 3);
  await spool.remove(seqs.slice(0, 2));
  assert.deepEqual(await bodies(spool), ["c"]);
  assert.equal(spool.count(), 1);
  await spool.close();
});

test("a spool that was emptied leaves no database behind; one that was not is read at the next start", async () => {
  const directory = createDirectory();
  const first = await openSpool(directory);
  await first.append("kept");
  await first.close();
  const second = await openSpool(directory);
  assert.equal(second.count(), 1);
  assert.deepEqual(await bodies(second), ["kept"]);
  const next = await second.append("later");
  assert.ok(next > ((await second.read(0, 1))[0]?.seq ?? Number.POSITIVE_INFINITY));
  await second.remove((await second.read(0, 10)).map((entry) => entry.seq));
  await second.close();
  assert.deepEqual(readdirSync(directory), ["spool.db.lock"]);
});

test("a full spool refuses, and takes texts again after some were removed", async () => {
  const spool = await openSpool(createDirectory(), { max_bytes: 10 });
  const seq = await spool.append("12345678");
  await assert.rejects(spool.append("123"), (error) => isDatabaseError(error, "unavailable"));
  await spool.remove([seq]);
  await spool.append("123");
  await spool.close();
});

test("a directory that cannot be used refuses every text and is tried again with each", async () => {
  const directory = createDirectory();
  writeFileSync(directory, "a file in the way");
  const spool = await openSpool(directory);
  await assert.rejects(spool.append("a"));
  rmSync(directory);
  await spool.append("b");
  assert.deepEqual(await bodies(spool), ["b"]);
  await spool.close();
});

test("a closed spool refuses", async () => {
  const spool = await openSpool(createDirectory());
  await spool.append("a");
  await spool.close();
  await assert.rejects(spool.append("b"), (error) => isDatabaseError(error, "unavailable"));
});

test("two spools never share a file; what an ended one left is taken over by the next to start", async () => {
  const directory = createDirectory();
  const one = await openSpool(directory);
  await one.append("one");
  const two = await openSpool(directory);
  await two.append("two");
  assert.deepEqual([await bodies(one), await bodies(two)], [["one"], ["two"]]);
  await two.close();
  const three = await openSpool(directory);
  assert.deepEqual([await bodies(one), await bodies(three)], [["one"], ["two"]]);
  await one.close();
  await three.close();
  const four = await openSpool(directory);
  assert.deepEqual((await bodies(four)).sort(), ["one", "two"]);
  assert.deepEqual(readdirSync(directory).filter((name) => name.endsWith(".db")).length, 1);
  await four.close();
});

test("what does not fit stays in the file of the process that ended, and is taken over when there is room", async () => {
  const directory = createDirectory();
  const [one, two] = [await openSpool(directory), await openSpool(directory)];
  await one.append("a".repeat(60));
  await two.append("b".repeat(60));
  await one.close();
  await two.close();
  const three = createSpool(directory, { max_bytes: 100 });
  await assert.rejects(three.recover(), (error) => isDatabaseError(error, "unavailable"));
  assert.deepEqual(await bodies(three), ["a".repeat(60)]);
  await three.remove((await three.read(0, 10)).map((entry) => entry.seq));
  await three.recover();
  assert.deepEqual(await bodies(three), ["b".repeat(60)]);
  await three.close();
});

test("a file that cannot be read keeps none of the others from being taken over", async () => {
  const directory = createDirectory();
  const spools = [await openSpool(directory), await openSpool(directory), await openSpool(directory)];
  for (const [index, spool] of spools.entries()) await spool.append(`of ${index}`);
  for (const spool of spools) await spool.close();
  writeFileSync(join(directory, "spool-1.db"), "garbage ".repeat(1_000));
  const next = createSpool(directory);
  for (let tries = 0; tries < 2; tries++) await assert.rejects(next.recover());
  assert.deepEqual(await bodies(next), ["of 0", "of 2"]);
  await next.close();
});

test("closing ends a take-over, and what it had not copied is there at the next start", async () => {
  const directory = createDirectory();
  const [one, two] = [await openSpool(directory), await openSpool(directory)];
  await Promise.all(Array.from({ length: 3_000 }, (_, index) => two.append(String(index))));
  await one.append("own");
  await one.close();
  await two.close();
  const three = createSpool(directory);
  const recovering = three.recover().catch(() => "ended");
  await three.close();
  await recovering;
  const four = await openSpool(directory);
  assert.ok(four.count() >= 3_001, `${four.count()} entries, some perhaps twice`);
  await four.close();
});

test("whatever was acknowledged before the process was killed is there at the next start", async () => {
  const directory = createDirectory();
  const module = join(import.meta.dirname, "spool.ts");
  const program = join(folder, `writer-${directories}.mjs`);
  writeFileSync(
    program,
    `import { createSpool } from ${JSON.stringify(module)};
     const spool = createSpool(${JSON.stringify(directory)});
     let next = 0;
     async function write() {
       for (;;) { const body = String(next++); await spool.append(body); process.stdout.write(body + "\\n"); }
     }
     for (let writers = 0; writers < 20; writers++) write();`,
  );
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  await waitUntil(() => output.length > 5_000, "the process to append");
  // While it lives nobody else gets its file.
  const beside = await openSpool(directory);
  assert.equal(beside.count(), 0);
  await beside.close();
  child.kill("SIGKILL");
  await once(child, "close");
  const acknowledged = output.slice(0, output.lastIndexOf("\n")).split("\n");
  const spool = await openSpool(directory);
  const found = new Set<string>();
  for (let at = 0; ; ) {
    const entries = await spool.read(at, 500);
    for (const entry of entries) found.add(entry.body);
    const last = entries.at(-1);
    if (last === undefined) break;
    at = last.seq;
  }
  assert.deepEqual(
    acknowledged.filter((body) => !found.has(body)),
    [],
  );
  assert.equal(spool.count(), found.size);
  await spool.close();
});

test("a spool whose file cannot be used says so each time, and keeps nothing open that it opened in vain", async () => {
  const directory = createDirectory();
  mkdirSync(directory);
  const other = new DatabaseSync(join(directory, "spool.db"));
  other.exec("create table entries (something_else text)");
  other.close();
  const spool = createSpool(directory);
  const openFiles = () => readdirSync("/proc/self/fd").length;
  await assert.rejects(spool.append("first"));
  const before = openFiles();
  for (let count = 0; count < 3; count++) await assert.rejects(spool.append("again"));
  assert.equal(openFiles(), before);
  await spool.close();
});
