// The database itself goes: what is told about that cannot wait for it. The real parts over a PostgreSQL that is stopped, with
// the test's own clock.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { composeNotices } from "../../src/compose-notices.ts";
import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { createEgress } from "../../src/platform/egress.ts";
import { createIds } from "../../src/platform/ids.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { createReadiness } from "../../src/platform/readiness.ts";
import { sql } from "../../src/platform/sql.ts";
import { createWriteWatch } from "../../src/platform/write-watch.ts";
import { startMailServer } from "../support/mail-server.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { createTestDatabase, startCluster } from "../support/postgres.ts";
import { startReceiver } from "../support/receiver.ts";
import { waitUntil } from "../support/wait.ts";

/** Of the clock, while something is awaited. */
const STEP_MS = 1_000;
const cluster = await startCluster();
const data_dir = mkdtempSync(join(tmpdir(), "linkme-notices-"));
after(async () => {
  await cluster.remove();
  rmSync(data_dir, { recursive: true, force: true });
});

test("a database that goes and comes back is told by webhook, mail and log, and is on record afterwards", async (t) => {
  const [receiver, mails] = await Promise.all([startReceiver(), startMailServer()]);
  const { url } = await createTestDatabase(cluster.url);
  const env = {
    DATABASE_URL: url,
    LINKME_DATA_DIR: data_dir,
    LINKME_EGRESS_ALLOW: "127.0.0.0/8",
    LINKME_OPERATOR_WEBHOOK_URL: receiver.url,
    LINKME_SMTP_URL: `smtp://127.0.0.1:${mails.port}`,
    LINKME_SMTP_FROM: "linkme@example.com",
    LINKME_SMTP_TO: "ops@example.com",
  };
  const reading = readConfig(env, () => "");
  assert.ok(reading.kind === "config");
  const { config } = reading;
  const db = await openDatabase(url);
  await migrate(db);
  const clock = createManualClock();
  const egress = createEgress({ allow: config.egress_allow });
  const notices = composeNotices({
    ...{ config, db, clock, egress, ids: createIds(), seal_key: Buffer.alloc(32, 1), version: "1.2.3" },
    writes: createWriteWatch({ database: db, log: () => {}, now: clock.now }),
    isAnswering: createReadiness(db),
  });
  t.after(async () => {
    await notices.stop();
    await egress.close();
    await db.close();
    await Promise.all([receiver.close(), mails.close()]);
  });
  const until = (condition: () => boolean | Promise<boolean>, what: string) =>
    waitUntil(async () => {
      if (await condition()) return true;
      clock.pass(STEP_MS);
      return false;
    }, what);
  const eventsOf = () => receiver.received.map(({ body }) => JSON.parse(body.toString()).event);

  notices.start();
  await cluster.stop("immediate");
  await until(
    () => receiver.received.length > 0 && mails.received.length > 0,
    "the notice to leave without the database",
  );
  assert.deepEqual(eventsOf(), ["database.failing"]);
  assert.equal(mails.received[0]?.subject, `[LinkMe] The database takes nothing: ${notices.node}`);
  await cluster.start();
  await until(() => receiver.received.length > 1 && mails.received.length > 1, "its end to be told");
  assert.deepEqual(eventsOf(), ["database.failing", "database.recovered"]);
  const stored = () =>
    db.query<{ type: string; channel: string; state: string }>(
      sql`select type, channel, state from notices join notice_sends on notice_id = id order by id, channel`,
    );
  await until(async () => (await stored()).every(({ state }) => state === "sent"), "all of it to be on record");
  const rows = (await stored()).map(({ type, channel }) => `${type} ${channel}`);
  const ways = ["log", "mail", "webhook"];
  assert.deepEqual(rows, [
    ...ways.map((way) => `database.failing ${way}`),
    ...ways.map((way) => `database.recovered ${way}`),
  ]);
});
