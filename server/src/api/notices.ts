// Operator notices: the last ones, a test of every way out, the secret that signs them. The operator's alone.
import type { PageQuery } from "#contract/fields.ts";
import type { Notice, NoticeSecret, NoticesPage } from "#contract/notices.ts";
import type { Handlers } from "./bind.ts";

/** What this file needs of the notices. */
export interface Notices {
  listNotices(page: PageQuery): Promise<NoticesPage>;
  testNotice(): Promise<Notice>;
  getNoticeSecret(): Promise<NoticeSecret>;
}

export function noticeHandlers(notices: Notices): Handlers<"listNotices" | "testNotice" | "getNoticeSecret"> {
  return {
    listNotices: ({ query }) => notices.listNotices(query),
    testNotice: () => notices.testNotice(),
    getNoticeSecret: () => notices.getNoticeSecret(),
  };
}
