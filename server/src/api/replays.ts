// Replays: preview, start, list, watch, pause, resume, cancel.
import type { z } from "zod";
import type { PageQuery } from "#contract/fields.ts";
import type { Replay, ReplayCreate, ReplayPreview, ReplayResume, ReplaysPage } from "#contract/replays.ts";
import type { Handlers } from "./bind.ts";

type Names = "createReplay" | "listReplays" | "getReplay" | "pauseReplay" | "resumeReplay" | "cancelReplay";

/** What this file needs of the replays; `app_scope` null means any app. */
export interface Replays {
  previewReplay(destination_id: string, app_scope: string | null, input: ReplayCreate): Promise<ReplayPreview>;
  startReplay(destination_id: string, app_scope: string | null, input: ReplayCreate): Promise<Replay>;
  listReplays(destination_id: string, app_scope: string | null, page: PageQuery): Promise<z.output<typeof ReplaysPage>>;
  getReplay(id: string, app_scope: string | null): Promise<Replay>;
  pauseReplay(id: string, app_scope: string | null): Promise<Replay>;
  resumeReplay(id: string, app_scope: string | null, input: ReplayResume): Promise<Replay>;
  cancelReplay(id: string, app_scope: string | null): Promise<Replay>;
}

export function replayHandlers(replays: Replays): Handlers<Names> {
  return {
    createReplay({ params, access, body, reply }) {
      if (!body.dry_run) return replays.startReplay(params.id, access.app_scope, body);
      reply.code(200);
      return replays.previewReplay(params.id, access.app_scope, body);
    },
    listReplays: ({ params, access, query }) => replays.listReplays(params.id, access.app_scope, query),
    getReplay: ({ params, access }) => replays.getReplay(params.id, access.app_scope),
    pauseReplay: ({ params, access }) => replays.pauseReplay(params.id, access.app_scope),
    resumeReplay: ({ params, access, body }) => replays.resumeReplay(params.id, access.app_scope, body),
    cancelReplay: ({ params, access }) => replays.cancelReplay(params.id, access.app_scope),
  };
}
