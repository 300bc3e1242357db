// Operator notices as the management API uses them: the last ones, a test of every way out, the signing secret.
// Created once by compose-notices.ts. Only the operator may call.
import { NOTICE_CHANNELS, type Notice, type NoticeSecret, type NoticesPage } from "#contract/notices.ts";
import { refuse } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { Ids } from "../platform/ids.ts";
import type { Channel } from "./channels.ts";
import { createNotice, type NoticeRow, type SendRow, showNotice } from "./notice.ts";
import type { NoticeStore } from "./store.ts";

const HOW_TO_SET_UP: Readonly<Record<Channel["name"], string>> = {
  log: "",
  webhook: "Not set up: set LINKME_OPERATOR_WEBHOOK_URL",
  mail: "Not set up: set LINKME_SMTP_URL, LINKME_SMTP_FROM and LINKME_SMTP_TO",
};

export interface NoticesOptions {
  store: Pick<NoticeStore, "page" | "keep">;
  channels: readonly Channel[];
  ids: Pick<Ids, "uuid">;
  now(): number;
  signing_secret: string;
}

export function createNotices({ store, channels, ids, now, signing_secret }: NoticesOptions) {
  let is_testing = false;

  /** @throws AppError invalid_request (cursor) */
  async function listNotices(page: { limit: number; cursor?: string | undefined }): Promise<NoticesPage> {
    const before = page.cursor === undefined ? null : String(decodeCursor(page.cursor, ["string"])[0]);
    const found = await store.page(before, page.limit + 1);
    const shown = found.slice(0, page.limit);
    const last = found.length > page.limit ? shown.at(-1) : undefined;
    return {
      items: shown.map(({ notice, sends }) => showNotice(notice, inOrder(sends))),
      next_cursor: last === undefined ? null : encodeCursor([last.notice.id]),
    };
  }

  /** One attempt on every way out, without the database. @throws AppError rate_limited while another one is under way */
  async function testNotice(): Promise<Notice> {
    if (is_testing) throw refuse("rate_limited", "Another test is under way; it ends within 20 s.");
    is_testing = true;
    try {
      const message = "This is a test that you asked for. If it reaches you, notices do; there is nothing to be done.";
      const notice = createNotice({ type: "notice.test", message, data: { test: true } }, ids.uuid(), now());
      const sends = await Promise.all(NOTICE_CHANNELS.map((name) => tryOnce(notice, name)));
      // The result is the answer; that it is not on record while the database is away is known by then.
      await store.keep(notice, sends).catch((error: unknown) => {
        if (!isDatabaseError(error, "unavailable")) throw error;
      });
      return showNotice(notice, sends);
    } finally {
      is_testing = false;
    }
  }

  async function tryOnce(notice: NoticeRow, name: Channel["name"]): Promise<SendRow> {
    const blank = { notice_id: notice.id, channel: name, due_at: null, sent_at: null };
    const channel = channels.find((one) => one.name === name);
    if (channel === undefined) return { ...blank, state: "off", attempts: 0, error: HOW_TO_SET_UP[name] };
    const error = await channel.send([notice], 1);
    if (error !== null) return { ...blank, state: "failed", attempts: 1, error };
    return { ...blank, state: "sent", attempts: 1, sent_at: now(), error };
  }

  async function getNoticeSecret(): Promise<NoticeSecret> {
    return { signing_secret };
  }

  return { listNotices, testNotice, getNoticeSecret };
}

function inOrder(sends: readonly SendRow[]): SendRow[] {
  return [...sends].sort((a, b) => NOTICE_CHANNELS.indexOf(a.channel) - NOTICE_CHANNELS.indexOf(b.channel));
}
