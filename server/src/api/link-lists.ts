// Many links at a time. Called by compose-edge.ts for processes with the role `api`.
import type { Links } from "../links/links.ts";
import type { Handlers } from "./bind.ts";

type Names = "searchLinks";

export function linkListHandlers(links: Links): Handlers<Names> {
  return {
    searchLinks: ({ params, query }) => links.search(params.app_id, query),
  };
}
