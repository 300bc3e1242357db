// Destinations of other types than webhooks: their settings, what they would send, and their deliveries and replays, which are
// those of webhooks under another address.
import type { z } from "zod";
import type { TestAnswer, TestBody, WebhookChangesPage } from "#contract/destinations.ts";
import type { PageQuery } from "#contract/fields.ts";
import type {
  Destination,
  DestinationCheck,
  DestinationCheckBody,
  DestinationCreate,
  DestinationPatch,
  DestinationsPage,
  DestinationType,
  NewPreviewBody,
  Preview,
  PreviewBody,
} from "#contract/vendor-destinations.ts";
import { actorOf } from "./access.ts";
import type { Handlers } from "./bind.ts";
import type { Ledger } from "./deliveries.ts";
import type { Replays } from "./replays.ts";

type Names =
  | "listDestinationTypes"
  | "createDestination"
  | "listDestinations"
  | "getDestination"
  | "patchDestination"
  | "deleteDestination"
  | "listDestinationChanges"
  | "previewDestination"
  | "previewNewDestination"
  | "checkDestination"
  | "testDestination"
  | "listDestinationDeliveries"
  | "createDestinationReplay"
  | "listDestinationReplays";

/** `app_scope` null means any app, and `actor` is who asks. */
export interface DestinationParts {
  types(): DestinationType[];
  destinations: {
    createDestination(app_id: string, input: DestinationCreate, actor: string): Promise<Destination>;
    listDestinations(app_id: string, page: PageQuery): Promise<z.output<typeof DestinationsPage>>;
    getDestination(id: string, app_scope: string | null): Promise<Destination>;
    patchDestination(
      id: string,
      app_scope: string | null,
      patch: DestinationPatch,
      actor: string,
    ): Promise<Destination>;
    deleteDestination(id: string, app_scope: string | null): Promise<void>;
    listVendorChanges(
      id: string,
      app_scope: string | null,
      page: PageQuery,
    ): Promise<z.output<typeof WebhookChangesPage>>;
  };
  trials: {
    previewDestination(id: string, app_scope: string | null, body: PreviewBody): Promise<Preview>;
    previewNewDestination(app_id: string, body: NewPreviewBody): Promise<Preview>;
    checkDestination(id: string, app_scope: string | null, body: DestinationCheckBody): Promise<DestinationCheck>;
  };
  tests: {
    sendTest(destination_id: string, app_scope: string | null, test?: TestBody): Promise<z.output<typeof TestAnswer>>;
  };
  ledger: Pick<Ledger, "listDeliveries">;
  replays: Pick<Replays, "startReplay" | "previewReplay" | "listReplays">;
  showPresent(destinations: readonly Destination[]): Promise<Destination[]>;
}

export function destinationHandlers(parts: DestinationParts): Handlers<Names> {
  const { types, destinations, trials, tests, ledger, replays, showPresent } = parts;

  async function present(destination: Destination): Promise<Destination> {
    const [shown = destination] = await showPresent([destination]);
    return shown;
  }
  /** Webhooks have their own addresses. @throws AppError not_found */
  const named = async ({ params, access }: { params: { id: string }; access: { app_scope: string | null } }) => {
    await destinations.getDestination(params.id, access.app_scope);
    return [params.id, access.app_scope] as const;
  };

  return {
    listDestinationTypes: async () => ({ items: types(), next_cursor: null }),
    createDestination: ({ params, access, body }) =>
      destinations.createDestination(params.app_id, body, actorOf(access)),
    listDestinations: async ({ params, query }) => {
      const page = await destinations.listDestinations(params.app_id, query);
      return { ...page, items: await showPresent(page.items) };
    },
    getDestination: async ({ params, access }) =>
      present(await destinations.getDestination(params.id, access.app_scope)),
    patchDestination: async ({ params, access, body }) =>
      present(await destinations.patchDestination(params.id, access.app_scope, body, actorOf(access))),
    deleteDestination: ({ params, access }) => destinations.deleteDestination(params.id, access.app_scope),
    listDestinationChanges: ({ params, access, query }) =>
      destinations.listVendorChanges(params.id, access.app_scope, query),
    previewDestination: ({ params, access, body }) => trials.previewDestination(params.id, access.app_scope, body),
    previewNewDestination: ({ params, body }) => trials.previewNewDestination(params.app_id, body),
    checkDestination: ({ params, access, body }) => trials.checkDestination(params.id, access.app_scope, body),
    testDestination: async (call) => tests.sendTest(...(await named(call)), call.body),
    async listDestinationDeliveries(call) {
      const { limit, cursor, ...filter } = call.query;
      return ledger.listDeliveries(...(await named(call)), filter, { limit, cursor });
    },
    createDestinationReplay(call) {
      const { body, reply } = call;
      if (!body.dry_run) return named(call).then((name) => replays.startReplay(...name, body));
      reply.code(200);
      return named(call).then((name) => replays.previewReplay(...name, body));
    },
    listDestinationReplays: async (call) => replays.listReplays(...(await named(call)), call.query),
  };
}
