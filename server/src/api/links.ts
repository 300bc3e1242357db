// Links: LinkMe's own calls. Called by compose-edge.ts for processes with the role `api`.
import { invalid, notFound } from "../errors.ts";
import type { Links } from "../links/links.ts";
import type { Access } from "./access.ts";
import type { Handlers } from "./bind.ts";

type Names =
  | "createLink"
  | "createLinkOfApp"
  | "createShortLink"
  | "listLinks"
  | "getLink"
  | "patchLink"
  | "deleteLink";

/** What people make shows in the Portal unless they say otherwise; LinkMe's own call hides what does not say. */
export const SHOWN = 0;

export function linkHandlers(links: Links): Handlers<Names> {
  return {
    createLink: ({ params, body }) => links.create(params.app_id, body),
    createLinkOfApp: ({ body, access }) => links.create(appOf(body, access), body, SHOWN),
    createShortLink({ body, access }) {
      const { slug, url, web_fallback_url } = body;
      const input = { slug, web_fallback_url: url ?? web_fallback_url };
      return links.create(appOf(body, access), input, SHOWN);
    },
    listLinks: ({ params }) => links.list(params.app_id),
    getLink: ({ params, access }) => links.get(params.id, access.app_scope),
    patchLink: ({ params, body, access }) => links.patch(params.id, access.app_scope, body),
    deleteLink: ({ params, access }) => links.remove(params.id, access.app_scope),
  };
}

/** A key tells its app by itself, and may name no other; the operator names one. @throws AppError */
function appOf({ app_id }: { app_id?: string | null | undefined }, { app_scope }: Access): string {
  if (app_scope !== null && app_id && app_id !== app_scope) throw notFound("app", "app_id");
  const named = app_scope ?? app_id;
  if (!named) throw invalid("app_id", "required with the admin token: the id of an app");
  return named;
}
