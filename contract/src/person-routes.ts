// The rows of the route table for erasing a person, and for showing what is stored of one.
import { PageQuery } from "./fields.ts";
import { Erasure, ErasureCreate, ErasurePreview, ErasuresPage, PersonData, PersonQuery } from "./persons.ts";
import { NoQuery, type Route, under } from "./route.ts";

export const PERSON_ROUTES = {
  createErasure: {
    method: "POST",
    path: "/api/apps/{app_id}/erasures",
    scope: "app_write",
    tag: "Persons",
    summary: "Erase all that is stored of a person; with `dry_run`, 200 and how much that would be",
    params: under("app_id"),
    query: NoQuery,
    body: ErasureCreate,
    status: 202,
    answer: Erasure,
    other: { status: 200, answer: ErasurePreview },
  },
  listErasures: {
    method: "GET",
    path: "/api/apps/{app_id}/erasures",
    scope: "app_read",
    tag: "Persons",
    summary: "List the app's erasures, newest first; they do not say of whom",
    params: under("app_id"),
    query: PageQuery,
    status: 200,
    answer: ErasuresPage,
  },
  getErasure: {
    method: "GET",
    path: "/api/erasures/{id}",
    scope: "app_read",
    tag: "Persons",
    summary: "Get an erasure with its progress",
    params: under("id"),
    query: NoQuery,
    status: 200,
    answer: Erasure,
  },
  showPerson: {
    method: "POST",
    path: "/api/apps/{app_id}/persons",
    scope: "app_read",
    tag: "Persons",
    summary: "Show all that is stored of a person; changes nothing",
    params: under("app_id"),
    query: NoQuery,
    body: PersonQuery,
    status: 200,
    answer: PersonData,
  },
} as const satisfies Record<string, Route>;
