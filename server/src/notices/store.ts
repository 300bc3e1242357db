// The tables `notices`, `notice_sends` and `notice_conditions`. Whoever changes a state that is to be told adds `keep` to
// its own transaction; the sender claims what is due. Called by the rest of the module and by the stores of others.
import type { NoticeChannelName } from "#contract/notices.ts";
import type { Database, Query } from "../platform/database.ts";
import { list, rows, SKIP_LOCKED, type Statement, sql } from "../platform/sql.ts";
import type { NoticeRow, SendRow } from "./notice.ts";

/** Older notices are deleted, and so are those behind so many newer ones. */
export const KEPT_MS = 90 * 86_400_000;
export const KEPT_MAX = 10_000;
/** Notices that one step deletes. */
const REMOVE_MAX = 500;

/** A way out that was claimed, with its notice. */
export interface Claimed {
  send: SendRow;
  notice: NoticeRow;
}

export type NoticeStore = ReturnType<typeof createNoticeStore>;

/** Keeps a notice, and says by which ways it is to leave; for a transaction of the caller's. */
export function keepNotice(notice: NoticeRow, sends: readonly SendRow[]): Statement[] {
  const { id, type, severity, app_id, destination_id, message, data, created_at } = notice;
  return [
    sql`insert into notices (id, type, severity, app_id, destination_id, message, data, created_at)
      values (${id}, ${type}, ${severity}, ${app_id}, ${destination_id}, ${message}, ${data}, ${created_at})`,
    sql`insert into notice_sends (notice_id, channel, state, attempts, due_at, sent_at, error) values ${rows(
      sends.map((one) => [one.notice_id, one.channel, one.state, one.attempts, one.due_at, one.sent_at, one.error]),
    )}`,
  ];
}

export function createNoticeStore(db: Database) {
  async function keep(notice: NoticeRow, sends: readonly SendRow[]): Promise<void> {
    await db.batch(keepNotice(notice, sends));
  }

  /** Leases what is due on one way out, the oldest first; the lease ends at `lease_until`. */
  async function claim(
    channel: NoticeChannelName,
    now: number,
    lease_until: number,
    limit: number,
  ): Promise<Claimed[]> {
    const sends = await db.query<SendRow>(
      sql`update notice_sends set due_at = ${lease_until}, attempts = attempts + 1
        where channel = ${channel} and due_at <= ${now} and notice_id in (
          select notice_id from notice_sends where channel = ${channel} and due_at <= ${now}
          order by due_at, notice_id limit ${limit} ${SKIP_LOCKED})
        returning notice_id, channel, state, attempts, due_at, sent_at, error`,
    );
    const notices = await find(sends.map((send) => send.notice_id));
    const claimed = sends.flatMap((send) => {
      const notice = notices.get(send.notice_id);
      return notice === undefined ? [] : [{ send, notice }];
    });
    return claimed.sort((a, b) => (a.notice.id < b.notice.id ? -1 : 1));
  }

  async function find(ids: readonly string[]): Promise<Map<string, NoticeRow>> {
    if (ids.length === 0) return new Map();
    const found = await db.query<NoticeRow>(sql`select * from notices where id in (${list(ids)})`);
    return new Map(found.map((row) => [row.id, row]));
  }

  /** Writes what became of an attempt, unless somebody else has claimed it since. */
  async function settle(sends: readonly SendRow[]): Promise<void> {
    await db.batch(
      sends.map(
        (send) => sql`update notice_sends set state = ${send.state}, due_at = ${send.due_at}, sent_at = ${send.sent_at},
            error = ${send.error}
          where notice_id = ${send.notice_id} and channel = ${send.channel} and attempts = ${send.attempts}
            and state = 'pending'`,
      ),
    );
  }

  /** Whether anything is due on one of these ways. */
  async function isDue(channels: readonly NoticeChannelName[], now: number): Promise<boolean> {
    const found = await db.query(
      sql`select 1 as due from notice_sends where due_at <= ${now} and channel in (${list(channels)}) limit 1`,
    );
    return found.length > 0;
  }

  /** Newest first, before an id. */
  async function page(before: string | null, limit: number): Promise<{ notice: NoticeRow; sends: SendRow[] }[]> {
    const from = before === null ? sql`true` : sql`id < ${before}`;
    const notices = await db.query<NoticeRow>(sql`select * from notices where ${from} order by id desc limit ${limit}`);
    if (notices.length === 0) return [];
    const sends = await db.query<SendRow>(
      sql`select * from notice_sends where notice_id in (${list(notices.map(({ id }) => id))})`,
    );
    return notices.map((notice) => ({ notice, sends: sends.filter(({ notice_id }) => notice_id === notice.id) }));
  }

  /**
   * One step of forgetting; answers whether another one may be needed. What was open somewhere and has not been seen since goes
   * too: that process is gone.
   */
  function prune(oldest_id: string, seen_before: number): Promise<boolean> {
    return db.transaction(async (query) => {
      await query(sql`delete from notice_conditions where seen_at < ${seen_before}`);
      const found = await query<{ id: string }>(
        sql`select id from notices where id < ${oldest_id}
          or id <= (select id from notices order by id desc limit 1 offset ${KEPT_MAX})
          order by id limit ${REMOVE_MAX}`,
      );
      if (found.length === 0) return false;
      const ids = list(found.map(({ id }) => id));
      await query(sql`delete from notice_sends where notice_id in (${ids})`);
      await query(sql`delete from notices where id in (${ids})`);
      return found.length === REMOVE_MAX;
    });
  }

  /**
   * Says that something holds at this moment. True when nobody had said so before: then the notice about it, if there is one,
   * is kept in the same transaction.
   */
  function open(condition: Condition, now: number, notice: readonly Statement[]): Promise<boolean> {
    const { kind, subject } = condition;
    return db.transaction(async (query) => {
      const begun = await query(
        sql`insert into notice_conditions (kind, subject, opened_at, seen_at) values (${kind}, ${subject}, ${now}, ${now})
          on conflict (kind, subject) do nothing returning kind`,
      );
      if (begun.length > 0) await runAll(query, notice);
      else await query(touchCondition(condition, now));
      return begun.length > 0;
    });
  }

  /** Says that it goes on, without making a beginning of it. */
  async function touch(condition: Condition, now: number): Promise<void> {
    await db.query(touchCondition(condition, now));
  }

  /** Ends it, unless somebody saw it since `seen_before`; with the notice about that in the same transaction. */
  function close(
    { kind, subject }: Condition,
    seen_before: number,
    compose: (opened_at: number) => readonly Statement[],
  ): Promise<boolean> {
    return db.transaction(async (query) => {
      const ended = await query<{ opened_at: number }>(
        sql`delete from notice_conditions where kind = ${kind} and subject = ${subject} and seen_at <= ${seen_before}
          returning opened_at`,
      );
      if (ended[0] !== undefined) await runAll(query, compose(ended[0].opened_at));
      return ended.length > 0;
    });
  }

  /** What is open of a kind. */
  async function openSubjects(kind: string, limit: number): Promise<string[]> {
    const found = await db.query<{ subject: string }>(
      sql`select subject from notice_conditions where kind = ${kind} order by opened_at, subject limit ${limit}`,
    );
    return found.map(({ subject }) => subject);
  }

  return { keep, claim, settle, isDue, page, prune, open, touch, close, openSubjects };
}

/** Something that holds for a while: of which kind, and where or for whom. */
export interface Condition {
  kind: string;
  subject: string;
}

/** A write that changes nothing anybody reads, to learn whether the database takes writes. */
export function probeWrite(subject: string, now: number): Statement {
  return sql`insert into notice_conditions (kind, subject, opened_at, seen_at) values ('probe', ${subject}, ${now}, ${now})
    on conflict (kind, subject) do update set seen_at = excluded.seen_at`;
}

function touchCondition({ kind, subject }: Condition, now: number): Statement {
  return sql`update notice_conditions set seen_at = ${now} where kind = ${kind} and subject = ${subject} and seen_at < ${now}`;
}

async function runAll(query: Query, statements: readonly Statement[]): Promise<void> {
  for (const statement of statements) await query(statement);
}
