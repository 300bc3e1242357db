// Operator notices over a real database with the test's own clock: the store, an outbox, a sender and conditions, as many of
// each as a test wants processes. Used by the tests beside server/src/notices.
import type { NoticeChannelName } from "#contract/notices.ts";
import type { Channel } from "../../src/notices/channels.ts";
import { createConditions } from "../../src/notices/conditions.ts";
import type { NoticeRow, SendRow } from "../../src/notices/notice.ts";
import { createOutbox } from "../../src/notices/outbox.ts";
import { createSender } from "../../src/notices/sender.ts";
import { createNoticeStore, type NoticeStore } from "../../src/notices/store.ts";
import { type Database, DatabaseError } from "../../src/platform/database.ts";
import { createIds, SYSTEM_IDS } from "../../src/platform/ids.ts";
import { sql } from "../../src/platform/sql.ts";
import type { Engine } from "./engines.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

export interface Sent {
  channel: NoticeChannelName;
  notice: NoticeRow;
  attempt: number;
}

/** A way out that keeps what it was given, and answers what it is told; a promise holds it up. */
export interface FakeChannel extends Channel {
  answer: (notices: readonly NoticeRow[]) => string | null | Promise<string | null>;
}

export interface NoticeProcess {
  store: NoticeStore;
  outbox: ReturnType<typeof createOutbox>;
  sender: ReturnType<typeof createSender>;
  conditions: ReturnType<typeof createConditions>;
  /** The database of this process answers nothing while it is set. */
  cut: { is_cut: boolean };
}

export interface NoticeWorld {
  db: Database;
  clock: ManualClock;
  channels: { log: FakeChannel; webhook: FakeChannel; mail: FakeChannel };
  /** Over all processes, in the order of sending. */
  sent: Sent[];
  logged: { event: string; fields: Record<string, unknown> }[];
  startProcess(): NoticeProcess;
  sends(): Promise<SendRow[]>;
  /** The types of what is kept, oldest first. */
  types(): Promise<string[]>;
}

export async function openNotices(engine: Engine): Promise<NoticeWorld> {
  const db = await engine.open();
  const clock = createManualClock();
  const sent: Sent[] = [];
  const logged: NoticeWorld["logged"] = [];
  const channel = (name: NoticeChannelName, batch: number): FakeChannel => {
    const one: FakeChannel = {
      name,
      batch,
      answer: () => null,
      async send(notices, attempt) {
        for (const notice of notices) sent.push({ channel: name, notice, attempt });
        return one.answer(notices);
      },
    };
    return one;
  };
  const channels = { log: channel("log", 50), webhook: channel("webhook", 1), mail: channel("mail", 20) };
  const log = (event: string, fields: Record<string, unknown>) => void logged.push({ event, fields });

  function startProcess(): NoticeProcess {
    const cut = { is_cut: false };
    const store = createNoticeStore(cuttable(db, cut));
    const list = Object.values(channels);
    const kept = () => sender.wake();
    const outbox = createOutbox({
      store,
      channels: list,
      ids: createIds({ now: clock.now, random: SYSTEM_IDS.random }),
      clock,
      log,
      kept,
    });
    const sender = createSender({ store, channels: list, clock, log, answered: outbox.flush });
    return { store, outbox, sender, conditions: createConditions({ store, outbox, clock, kept }), cut };
  }

  return {
    ...{ db, clock, channels, sent, logged, startProcess },
    sends: () => db.query<SendRow>(sql`select * from notice_sends order by notice_id, channel`),
    types: async () =>
      (await db.query<{ type: string }>(sql`select type from notices order by id`)).map(({ type }) => type),
  };
}

function cuttable(db: Database, cut: { is_cut: boolean }): Database {
  const guard = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      if (cut.is_cut) throw new DatabaseError("unavailable", "The test has cut it off.");
      return call(...args);
    };
  };
  return {
    engine: db.engine,
    close: db.close,
    batch: guard(db.batch),
    // Generic members, which the guard passes through unchanged.
    query: guard(db.query) as Database["query"],
    transaction: guard(db.transaction) as Database["transaction"],
  };
}
