// Our own calls for many links at a time. Unlike LinkMe's own endpoints they refuse fields that they do not know.
import { z } from "zod";
import { CsvText, ImportAnswer } from "./link-csv.ts";
import { LinksCreate, LinksCreated, LinksPage, LinksQuery } from "./link-lists.ts";
import { NoQuery, type Route, under } from "./route.ts";

const in_app = under("app_id");

export const LINK_LIST_ROUTES = {
  searchLinks: {
    method: "GET",
    path: "/api/apps/{app_id}/links/search",
    scope: "app_read",
    tag: "Many links",
    summary: "Search the app's links, newest first; a page may be short, and goes on as long as there is a next_cursor",
    params: in_app,
    query: LinksQuery,
    status: 200,
    answer: LinksPage,
  },
  createLinks: {
    method: "POST",
    path: "/api/apps/{app_id}/links/bulk",
    scope: "app_write",
    tag: "Many links",
    summary: "Create up to 1,000 links, each by itself; answers what became of each",
    params: in_app,
    query: NoQuery,
    body: LinksCreate,
    status: 200,
    answer: LinksCreated,
  },
  importLinks: {
    method: "POST",
    path: "/api/apps/{app_id}/links/import",
    scope: "app_write",
    tag: "Many links",
    summary:
      "Create links from a CSV file of up to 10,000 rows and 1 MiB, each by itself; tells which rows were refused",
    params: in_app,
    query: NoQuery,
    body: CsvText,
    takes_csv: true,
    status: 200,
    answer: ImportAnswer,
  },
  exportLinks: {
    method: "GET",
    path: "/api/apps/{app_id}/links/export",
    scope: "app_read",
    tag: "Many links",
    summary: "All links of the app as CSV, newest first; an import takes it",
    params: in_app,
    query: NoQuery,
    status: 200,
    answer: z.string(),
    answers_csv: true,
  },
} as const satisfies Record<string, Route>;
