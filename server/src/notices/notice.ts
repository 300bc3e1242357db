// What a notice is, how it reads on each way out, and when an attempt is made again. Pure. Called by the rest of the module,
// and by whatever has something to tell.
import type { Notice, NoticeChannelName, NoticeSend, NoticeType, SendState, Severity } from "#contract/notices.ts";
import { timeText } from "../platform/time-text.ts";

/** What somebody has to tell; the id and the time are added when it is kept. */
export interface NewNotice {
  type: NoticeType;
  /** What happened and what to do next, in one or two sentences without secrets. */
  message: string;
  data: Readonly<Record<string, unknown>>;
  app_id?: string;
  destination_id?: string;
}

/** As it is stored; `data` is JSON. */
export interface NoticeRow {
  id: string;
  type: NoticeType;
  severity: Severity;
  app_id: string | null;
  destination_id: string | null;
  message: string;
  data: string;
  created_at: number;
}

/** One way out of one notice. */
export interface SendRow {
  notice_id: string;
  channel: NoticeChannelName;
  state: SendState;
  attempts: number;
  due_at: number | null;
  sent_at: number | null;
  error: string | null;
}

const SEVERITY: Readonly<Record<NoticeType, Severity>> = {
  "webhook.paused": "warning",
  "webhook.resumed": "info",
  "webhook.disabled": "critical",
  "backlog.old": "warning",
  "backlog.recovered": "info",
  "disk.low": "critical",
  "disk.recovered": "info",
  "drain.failing": "critical",
  "drain.recovered": "info",
  "database.failing": "critical",
  "database.recovered": "info",
  "notice.test": "info",
};

/** Before each attempt after the first, in ms. Together about six hours. */
export const RETRY_DELAYS_MS: readonly number[] = [
  5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 5_400_000, 10_800_000,
];
/** A notice that could not leave for so long is no news any more. */
export const STALE_MS = 86_400_000;

export function createNotice(notice: NewNotice, id: string, at: number): NoticeRow {
  return {
    id,
    type: notice.type,
    severity: SEVERITY[notice.type],
    app_id: notice.app_id ?? null,
    destination_id: notice.destination_id ?? null,
    message: notice.message,
    data: JSON.stringify(notice.data),
    created_at: at,
  };
}

/** When an attempt that failed is made again; null when it was the last one. */
function nextAttemptAt(attempts: number, now: number): number | null {
  const delay = RETRY_DELAYS_MS[attempts - 1];
  return delay === undefined ? null : now + delay;
}

/** What becomes of one way out after an attempt. */
export function settle(send: SendRow, error: string | null, now: number): SendRow {
  if (error === null) return { ...send, state: "sent", due_at: null, sent_at: now, error: null };
  const due_at = nextAttemptAt(send.attempts, now);
  return { ...send, state: due_at === null ? "failed" : "pending", due_at, error };
}

/** The body that the operator's webhook gets, the same bytes each time. Without an app there is no `app_id`. */
export function composeBody(notice: NoticeRow): string {
  const { id, type, created_at, app_id, severity, destination_id, message } = notice;
  return JSON.stringify({
    id,
    event: type,
    ts: timeText(created_at),
    ...(app_id !== null && { app_id }),
    data: { severity, message, ...(destination_id !== null && { destination_id }), ...readData(notice) },
  });
}

/** One mail for one notice or for several. */
export function composeMail(notices: readonly NoticeRow[]): { subject: string; text: string } {
  const [first] = notices;
  const subject = notices.length === 1 && first ? titleOf(first) : `${notices.length} notices`;
  const texts = notices.map((notice) => {
    const facts = Object.entries({ app_id: notice.app_id, destination_id: notice.destination_id, ...readData(notice) });
    const known = facts.filter(([, value]) => value !== null && value !== undefined);
    const lines = known.map(
      ([name, value]) => `  ${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`,
    );
    return [
      `${timeText(notice.created_at)}  ${notice.type} (${notice.severity})`,
      "",
      notice.message,
      "",
      ...lines,
    ].join("\n");
  });
  return { subject: `[LinkMe] ${oneLine(subject)}`, text: `${texts.join("\n\n----\n\n")}\n` };
}

/** The fields of its log line. */
export function composeLog(notice: NoticeRow): Record<string, unknown> {
  const { id: notice_id, type, severity, app_id, destination_id, message } = notice;
  const ids = { ...(app_id !== null && { app_id }), ...(destination_id !== null && { destination_id }) };
  return { type, severity, notice_id, ...ids, message, data: readData(notice) };
}

export function showNotice(notice: NoticeRow, sends: readonly SendRow[]): Notice {
  const { id, type, severity, app_id, destination_id, message, created_at } = notice;
  const ts = timeText(created_at);
  return {
    id,
    type,
    severity,
    ts,
    app_id,
    destination_id,
    message,
    data: readData(notice),
    channels: sends.map(showSend),
  };
}

function showSend({ channel, state, attempts, due_at, sent_at, error }: SendRow): NoticeSend {
  return {
    ...{ channel, state, attempts, error },
    sent_at: timeText(sent_at),
    next_attempt_at: timeText(due_at),
  };
}

const TITLE: Readonly<Record<NoticeType, string>> = {
  "webhook.paused": "Webhook paused",
  "webhook.resumed": "Webhook resumed",
  "webhook.disabled": "Webhook disabled",
  "backlog.old": "Deliveries are late",
  "backlog.recovered": "Deliveries are on time again",
  "disk.low": "Little disk space left",
  "disk.recovered": "Enough disk space again",
  "drain.failing": "Clicks cannot be stored",
  "drain.recovered": "Clicks are stored again",
  "database.failing": "The database takes nothing",
  "database.recovered": "The database is back",
  "notice.test": "Test notice",
};

function titleOf({ type, destination_id, data }: NoticeRow): string {
  const node = readData({ data })["node"];
  const about = destination_id ?? (typeof node === "string" ? node : null);
  return about === null ? TITLE[type] : `${TITLE[type]}: ${about}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

/** Written by createNotice alone. */
function readData({ data }: Pick<NoticeRow, "data">): Record<string, unknown> {
  return JSON.parse(data) as Record<string, unknown>;
}
