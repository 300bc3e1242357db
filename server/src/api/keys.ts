// API keys and domains of an app.
import type { Accounts } from "../accounts/accounts.ts";
import type { Handlers } from "./bind.ts";

type Names = "createKey" | "listKeys" | "deleteKey" | "createDomain" | "listDomains" | "deleteDomain";

export function keyHandlers(accounts: Accounts): Handlers<Names> {
  return {
    createKey: ({ params, body, access }) => accounts.createKey(params.app_id, body, access.key),
    listKeys: ({ params, query }) => accounts.listKeys(params.app_id, query),
    deleteKey: ({ params, access }) => accounts.deleteKey(params.id, access.app_scope),
    createDomain: ({ params, body }) => accounts.createDomain(params.app_id, body.hostname),
    listDomains: ({ params, query }) => accounts.listDomains(params.app_id, query),
    deleteDomain: ({ params, access }) => accounts.deleteDomain(params.id, access.app_scope),
  };
}
