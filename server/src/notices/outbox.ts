// Takes what is to be told. As a rule it is kept in the database, in the transaction of what it tells, and leaves from there.
// While the database takes nothing it leaves from memory: a bounded number, each tried as often as any other, and handed
// to the database when that is back. Created once by compose-notices.ts.

import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { Ids } from "../platform/ids.ts";
import type { LogLevel } from "../platform/log.ts";
import type { Statement } from "../platform/sql.ts";
import type { Channel } from "./channels.ts";
import { createNotice, type NewNotice, type NoticeRow, type SendRow, settle } from "./notice.ts";
import { keepNotice, type NoticeStore } from "./store.ts";

/** Notices that leave from memory, or wait there for the database. */
const IN_MEMORY_MAX = 20;

export interface OutboxOptions {
  store: Pick<NoticeStore, "keep">;
  channels: readonly Channel[];
  ids: Pick<Ids, "uuid">;
  clock: Clock;
  log(event: string, fields: Record<string, unknown>, level?: LogLevel): void;
  /** A hint: something was kept that is due now. */
  kept(): void;
}

export type Outbox = ReturnType<typeof createOutbox>;

/** A notice that is not in the database. */
interface InMemory {
  notice: NoticeRow;
  sends: SendRow[];
  under_way: number;
  cancels: Set<() => void>;
}

export function createOutbox({ store, channels, ids, clock, log, kept }: OutboxOptions) {
  const held = new Set<InMemory>();
  let is_stopped = false;

  function create(notice: NewNotice): { notice: NoticeRow; sends: SendRow[] } {
    const now = clock.now();
    const row = createNotice(notice, ids.uuid(), now);
    const blank = {
      notice_id: row.id,
      state: "pending",
      attempts: 0,
      due_at: now,
      sent_at: null,
      error: null,
    } as const;
    return { notice: row, sends: channels.map(({ name }) => ({ ...blank, channel: name })) };
  }

  /** For the transaction of what is told; whoever committed it may say so by `kept`. */
  function compose(notice: NewNotice): Statement[] {
    const made = create(notice);
    return keepNotice(made.notice, made.sends);
  }

  /** Keeps it by itself, or sends it from memory when the database cannot. */
  async function post(notice: NewNotice): Promise<void> {
    const made = create(notice);
    try {
      await store.keep(made.notice, made.sends);
      kept();
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) throw error;
      hold(made.notice, made.sends);
    }
  }

  /** Sends it from memory, for when the database is known to be away. */
  function sendDirectly(notice: NewNotice): void {
    const made = create(notice);
    hold(made.notice, made.sends);
  }

  function hold(notice: NoticeRow, sends: SendRow[]): void {
    if (is_stopped) return;
    for (const oldest of held) {
      if (held.size < IN_MEMORY_MAX) break;
      log("notice.dropped", { type: oldest.notice.type, notice_id: oldest.notice.id }, "warn");
      drop(oldest);
    }
    const one: InMemory = { notice, sends, under_way: 0, cancels: new Set() };
    held.add(one);
    for (const channel of channels) void attempt(one, channel);
  }

  async function attempt(one: InMemory, channel: Channel): Promise<void> {
    const before = one.sends.find((send) => send.channel === channel.name);
    if (before === undefined || !held.has(one)) return;
    one.under_way++;
    const counted = { ...before, attempts: before.attempts + 1 };
    const after = settle(counted, await channel.send([one.notice], counted.attempts), clock.now());
    one.under_way--;
    one.sends = one.sends.map((send) => (send.channel === channel.name ? after : send));
    if (!held.has(one)) return;
    if (after.due_at !== null) again(one, channel, after.due_at - clock.now());
    else if (one.sends.every(({ due_at }) => due_at === null)) await tryToKeep(one);
  }

  function again(one: InMemory, channel: Channel, delay_ms: number): void {
    const cancel = clock.after(delay_ms, () => {
      one.cancels.delete(cancel);
      void attempt(one, channel);
    });
    one.cancels.add(cancel);
  }

  /** To be called when the database answers: what was sent from memory goes on record, and what was not leaves from there. */
  async function flush(): Promise<void> {
    for (const one of [...held]) if (one.under_way === 0) await tryToKeep(one);
  }

  async function tryToKeep(one: InMemory): Promise<void> {
    try {
      await store.keep(one.notice, one.sends);
    } catch (error) {
      if (!isDatabaseError(error, "unique")) {
        // It stays here, and goes with the next flush. An outage is told elsewhere, a mistake of ours nowhere else.
        if (!isDatabaseError(error, "unavailable"))
          log("notice.not_kept", { notice_id: one.notice.id, error }, "error");
        return;
      }
      // There already: an earlier try was committed without an answer.
    }
    drop(one);
    kept();
  }

  function drop(one: InMemory): void {
    held.delete(one);
    for (const cancel of one.cancels) cancel();
    one.cancels.clear();
  }

  /** What is only in memory ends with the process; the log has had it. */
  function stop(): void {
    is_stopped = true;
    for (const one of [...held]) drop(one);
  }

  return { compose, post, sendDirectly, flush, stop, heldCount: () => held.size };
}
