// A thread of the database that ends by itself, as one does that runs out of memory: the process must not live on and refuse
// everything for ever. It says why and ends, and the next start has all that was answered.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { countSpooled, waitUntilDrained } from "../support/drain.ts";
import { assertBatchesWhole, assertPromisesKept, assertWhole, readLedger } from "../support/ledger.ts";
import { createRandom } from "../support/random.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const ANSWERS = 100;
const DRAIN_TIMEOUT_MS = 60_000;

for (const { file, role, by } of [
  { file: "linkme.db", role: "writer", by: "error" },
  { file: "linkme.db", role: "writer", by: "exit" },
  { file: "linkme.db", role: "reader", by: "error" },
  { file: "spool.db", role: "writer", by: "error" },
  { file: "spool.db", role: "reader", by: "exit" },
] as const) {
  test(`the end of the ${role} of ${file} (${by}) ends the process, and the next one goes on`, async (t) => {
    const { server, site, traffic, receiver, startAgain } = await furnish(t);
    const sending = traffic.run(server.url);
    await waitUntil(() => traffic.counts.answered >= ANSWERS, "some answers");
    const unlock = file === "spool.db" ? await lockUntilSpooled(server) : () => {};

    await server.endThread({ file, role }, by);
    assert.deepEqual(await server.ended(), { code: 1, signal: null });
    await sending;
    unlock();
    const failures = () => server.stdout().match(/^.*"event":"server\.failed".*$/gm) ?? [];
    await waitUntil(() => failures().length > 0, "the reason in the log");
    assert.equal(failures().length, 1);
    const { level, error } = JSON.parse(String(failures()[0]));
    assert.equal(level, "error");
    assert.match(error.message, new RegExp(`^The ${role} of \\S+/${file} has ended: .`));

    const next = await startAgain();
    await waitUntilDrained([next], site, DRAIN_TIMEOUT_MS);
    assert.deepEqual(await next.stop(), { code: 0, signal: null });
    assert.doesNotMatch(next.stdout(), /server\.failed/, "a stop is no failure");
    await verify(t, next.dir, { site, traffic, receiver });
  });
}

async function furnish(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), "linkme-thread-"));
  const receiver = await startReceiver();
  t.after(async () => {
    await receiver.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const options = { dir, env: { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") } };
  const server = await startServer(options);
  const site = await createSite(server, receiver.url, [{ path: "/all" }]);
  return { server, site, traffic: createTraffic(site, random), receiver, startAgain: () => startServer(options) };
}

/** Nobody can write to the database until the answer is called; clicks go to the spool meanwhile. */
async function lockUntilSpooled({ dir }: ServerProcess): Promise<() => void> {
  const file = new DatabaseSync(join(dir, "linkme.db"), { timeout: 5_000 });
  file.exec("begin immediate");
  await waitUntil(() => countSpooled(dir) > 0, "clicks in the spool");
  return () => file.close();
}

interface Run {
  site: Site;
  traffic: Traffic;
  receiver: Receiver;
}

async function verify(t: TestContext, dir: string, { site, traffic, receiver }: Run): Promise<void> {
  const db = await openDatabase(`file:${join(dir, "linkme.db")}`);
  t.after(() => db.close());
  const ledger = readLedger(receiver.received, site.hooks);
  assertPromisesKept(ledger, site, traffic.promises);
  assertBatchesWhole(ledger, traffic.promises.cut_batches);
  await assertWhole(ledger, db, site);
}
