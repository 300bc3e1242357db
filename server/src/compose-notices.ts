// Puts together how the operator is told: ways out, outbox, sender, watches. Called by compose-pipeline.ts. Has no effect before
// `start`. Every process watches its own disk, spool and database; those that dispatch or answer the management API
// watch the backlog and send.
import { dirname } from "node:path";
import type { Config } from "./config.ts";
import { createBacklogLook } from "./destinations/backlog.ts";
import { createBacklogStore } from "./destinations/backlog-store.ts";
import {
  type Channel,
  createLogChannel,
  createMailChannel,
  createWebhookChannel,
  deriveSecret,
} from "./notices/channels.ts";
import { createConditions, type Reading } from "./notices/conditions.ts";
import { createDatabaseLook } from "./notices/database.ts";
import { createDiskLook, nameNode } from "./notices/disk.ts";
import { createNotices } from "./notices/notices.ts";
import { createOutbox } from "./notices/outbox.ts";
import { createSender } from "./notices/sender.ts";
import { createNoticeStore } from "./notices/store.ts";
import { createWatch } from "./notices/watch.ts";
import type { Clock } from "./platform/clock.ts";
import type { Database } from "./platform/database.ts";
import { databasePath } from "./platform/database-open.ts";
import type { Egress } from "./platform/egress.ts";
import type { Ids } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createMailer } from "./platform/smtp.ts";
import type { WriteWatch } from "./platform/write-watch.ts";

const LOOK_EVERY_MS = 60_000;
const DATABASE_LOOK_EVERY_MS = 10_000;

export interface NoticeParts {
  config: Config;
  seal_key: Buffer;
  version: string;
  db: Database;
  ids: Ids;
  clock: Clock;
  egress: Egress;
  writes: WriteWatch;
  isAnswering(): Promise<boolean>;
}

export function composeNotices(parts: NoticeParts) {
  const { config, db, ids, clock } = parts;
  const { now } = clock;
  const store = createNoticeStore(db);
  const signing_secret = config.operator_webhook_secret ?? deriveSecret(parts.seal_key);
  const { channels, closeChannels } = createChannels(parts, signing_secret);
  const node = nameNode(config.data_dir);
  const kept = () => sender.wake();
  const outbox = createOutbox({ store, channels, ids, clock, log, kept });
  const sender = createSender({ store, channels, clock, log, answered: outbox.flush });
  const conditions = createConditions({ store, outbox, clock, kept });
  const notices = createNotices({ store, channels, ids, now, signing_secret });
  const is_sending = config.roles.includes("dispatcher") || config.roles.includes("api");
  const watch = (name: string, look: () => Promise<void>, every_ms = LOOK_EVERY_MS) =>
    createWatch({ name, every_ms, look, clock, log });

  const { writes, isAnswering } = parts;
  const looks = { node, writes, isAnswering, outbox, clock };
  const watches = [watch("database", createDatabaseLook(looks), DATABASE_LOOK_EVERY_MS)];
  const low_bytes = config.low_disk_bytes;
  if (low_bytes > 0) {
    watches.push(watch("disk", createDiskLook({ directories: directoriesOf(config), low_bytes, conditions })));
  }
  if (is_sending) {
    const late_ms = config.backlog_notice_seconds * 1_000;
    watches.push(watch("backlog", createBacklogLook({ store: createBacklogStore(db), conditions, late_ms, clock })));
  }

  function watchDrain(look: () => Promise<Reading>): void {
    const condition = { kind: "drain", subject: node };
    watches.push(watch("drain", async () => conditions.report(condition, await look())));
  }

  function start(): void {
    if (is_sending) sender.start();
    for (const one of watches) one.start();
  }

  /** Lets nobody wait: what has not left by then does at the next start, or in another process. */
  async function stop(): Promise<void> {
    for (const one of watches) one.stop();
    outbox.stop();
    await sender.stop();
    closeChannels();
  }

  return { node, notices, composeNotice: outbox.compose, wake: kept, watchDrain, start, stop };
}

function createChannels({ config, egress, version, clock }: NoticeParts, secret: string) {
  const channels: Channel[] = [createLogChannel(log)];
  const { operator_webhook_url: url, smtp_url: server, smtp_from: from, smtp_to: to } = config;
  if (url !== null) channels.push(createWebhookChannel({ url, secret, version, egress, now: clock.now }));
  // config.ts has seen to it that all three are there, or none.
  if (server === null || from === null || to === null) return { channels, closeChannels: () => {} };
  const mailer = createMailer({ server, from, to });
  channels.push(createMailChannel(mailer));
  return { channels, closeChannels: mailer.close };
}

function directoriesOf({ data_dir, database_url }: Config): string[] {
  return database_url.startsWith("file:") ? [data_dir, dirname(databasePath(database_url))] : [data_dir];
}
