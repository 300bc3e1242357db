// Persons: erase what is stored of somebody, watch that, and show it.
import type { z } from "zod";
import type { PageQuery } from "#contract/fields.ts";
import type {
  Erasure,
  ErasureCreate,
  ErasurePreview,
  ErasuresPage,
  PersonData,
  PersonQuery,
} from "#contract/persons.ts";
import type { Handlers } from "./bind.ts";

type Names = "createErasure" | "listErasures" | "getErasure" | "showPerson";

/** What this file needs of the persons; `app_scope` null means any app. */
export interface Persons {
  startErasure(app_id: string, query: ErasureCreate): Promise<Erasure>;
  previewErasure(app_id: string, query: ErasureCreate): Promise<ErasurePreview>;
  listErasures(app_id: string, page: PageQuery): Promise<z.output<typeof ErasuresPage>>;
  getErasure(id: string, app_scope: string | null): Promise<Erasure>;
  showPerson(app_id: string, query: PersonQuery): Promise<PersonData>;
}

export function personHandlers(persons: Persons): Handlers<Names> {
  return {
    createErasure({ params, body, reply }) {
      if (!body.dry_run) return persons.startErasure(params.app_id, body);
      reply.code(200);
      return persons.previewErasure(params.app_id, body);
    },
    listErasures: ({ params, query }) => persons.listErasures(params.app_id, query),
    getErasure: ({ params, access }) => persons.getErasure(params.id, access.app_scope),
    showPerson: ({ params, body }) => persons.showPerson(params.app_id, body),
  };
}
