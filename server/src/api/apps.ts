// Apps: create, list, read, change, delete.
import type { Accounts } from "../accounts/accounts.ts";
import type { Handlers } from "./bind.ts";

type Names = "createApp" | "listApps" | "getApp" | "patchApp" | "deleteApp";

/** @param forgetApp drops what other modules remember of an app, and has the rest of it removed in the background */
export function appHandlers(accounts: Accounts, forgetApp: (app_id: string) => Promise<void>): Handlers<Names> {
  return {
    createApp: ({ body }) => accounts.createApp(body),
    listApps: ({ query, access }) => accounts.listApps(access.app_scope, query),
    getApp: ({ params }) => accounts.getApp(params.app_id),
    patchApp: ({ params, body }) => accounts.patchApp(params.app_id, body),
    async deleteApp({ params }) {
      await accounts.deleteApp(params.app_id);
      await forgetApp(params.app_id);
    },
  };
}
