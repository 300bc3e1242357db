// The rows of the route table for replays, whose schemas are in replays.ts. routes.ts has the whole table.
import { z } from "zod";
import { PageQuery } from "./fields.ts";
import { Replay, ReplayCreate, ReplayPreview, ReplayResume, ReplaysPage } from "./replays.ts";
import { type Route, under } from "./route.ts";

const by_id = under("id");
const NoQuery = z.strictObject({});

export const REPLAY_ROUTES = {
  createReplay: {
    method: "POST",
    path: "/api/webhooks/{id}/replays",
    scope: "app_write",
    tag: "Replays",
    summary: "Send again what failed or was missed; with `dry_run`, 200 and what that would be",
    params: by_id,
    query: NoQuery,
    body: ReplayCreate,
    status: 202,
    answer: Replay,
    other: { status: 200, answer: ReplayPreview },
  },
  listReplays: {
    method: "GET",
    path: "/api/webhooks/{id}/replays",
    scope: "app_read",
    tag: "Replays",
    summary: "List the replays of a webhook, and those that send to it",
    params: by_id,
    query: PageQuery,
    status: 200,
    answer: ReplaysPage,
  },
  getReplay: {
    method: "GET",
    path: "/api/replays/{id}",
    scope: "app_read",
    tag: "Replays",
    summary: "Get a replay with its progress",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: Replay,
  },
  pauseReplay: {
    method: "POST",
    path: "/api/replays/{id}/pause",
    scope: "app_write",
    tag: "Replays",
    summary: "Hand out nothing more until it is resumed",
    params: by_id,
    query: NoQuery,
    status: 202,
    answer: Replay,
  },
  resumeReplay: {
    method: "POST",
    path: "/api/replays/{id}/resume",
    scope: "app_write",
    tag: "Replays",
    summary: "Go on with a paused replay, at another rate if one is given",
    params: by_id,
    query: NoQuery,
    body: ReplayResume,
    status: 202,
    answer: Replay,
  },
  cancelReplay: {
    method: "POST",
    path: "/api/replays/{id}/cancel",
    scope: "app_write",
    tag: "Replays",
    summary: "End a replay: nothing more is sent, and what waits goes back to what it was",
    params: by_id,
    query: NoQuery,
    status: 202,
    answer: Replay,
  },
} as const satisfies Record<string, Route>;
