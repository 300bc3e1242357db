// The rows of the route table for operator notices, whose schemas are in notices.ts. routes.ts has the whole table.
import { PageQuery } from "./fields.ts";
import { Notice, NoticeSecret, NoticesPage } from "./notices.ts";
import { NoQuery, type Route } from "./route.ts";

export const NOTICE_ROUTES = {
  listNotices: {
    method: "GET",
    path: "/api/notices",
    scope: "admin",
    tag: "Notices",
    summary: "List the last operator notices, with what became of each on its ways out",
    query: PageQuery,
    status: 200,
    answer: NoticesPage,
  },
  testNotice: {
    method: "POST",
    path: "/api/notices/test",
    scope: "admin",
    tag: "Notices",
    summary: "Send a test notice on every way out, once, and answer what became of it",
    query: NoQuery,
    status: 200,
    answer: Notice,
  },
  getNoticeSecret: {
    method: "GET",
    path: "/api/notices/secret",
    scope: "admin",
    tag: "Notices",
    summary: "Get the secret that signs what the operator's webhook gets",
    query: NoQuery,
    status: 200,
    answer: NoticeSecret,
  },
} as const satisfies Record<string, Route>;
