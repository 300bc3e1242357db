// Webhooks of an app, the rotation of their secrets, the test button and the checks of a receiver.
import type { z } from "zod";
import type { CheckAnswer, CheckRequest } from "#contract/checks.ts";
import type {
  TestAnswer,
  TestBody,
  Webhook,
  WebhookChangesPage,
  WebhookCreate,
  WebhookPatch,
  WebhooksPage,
} from "#contract/destinations.ts";
import type { PageQuery } from "#contract/fields.ts";
import type { FilterCheck, FilterCheckAnswer } from "#contract/filters.ts";
import type { NextSecret, Promotion, Secret, SecretCheck, SecretState } from "#contract/secrets.ts";
import type { ShowPresent } from "../deliveries/present-webhooks.ts";
import { actorOf } from "./access.ts";
import type { Handlers } from "./bind.ts";

type Names = ConfigNames | SecretNames | "testWebhook" | "checkReceiver" | "checkFilter";

type ConfigNames =
  | "createWebhook"
  | "listWebhooks"
  | "getWebhook"
  | "patchWebhook"
  | "deleteWebhook"
  | "listWebhookChanges";

type SecretNames =
  | "getWebhookSecret"
  | "rotateSecret"
  | "checkSecret"
  | "promoteSecret"
  | "undoPromotion"
  | "revokeSecret"
  | "dropNextSecret";

/** What this file needs of the destinations; `app_scope` null means any app, and `actor` is who asks. */
export interface Webhooks {
  createWebhook(app_id: string, input: WebhookCreate, actor: string): Promise<Webhook>;
  listWebhooks(app_id: string, page: PageQuery): Promise<z.output<typeof WebhooksPage>>;
  getWebhook(id: string, app_scope: string | null): Promise<Webhook>;
  patchWebhook(id: string, app_scope: string | null, patch: WebhookPatch, actor: string): Promise<Webhook>;
  deleteWebhook(id: string, app_scope: string | null): Promise<void>;
  listChanges(id: string, app_scope: string | null, page: PageQuery): Promise<z.output<typeof WebhookChangesPage>>;
}

/** The same for their signing secrets. */
export interface Rotation {
  getSecret(id: string, app_scope: string | null): Promise<SecretState>;
  rotateSecret(id: string, app_scope: string | null, actor: string): Promise<z.output<typeof NextSecret>>;
  promoteSecret(
    id: string,
    app_scope: string | null,
    grace_seconds: number | undefined,
    actor: string,
  ): Promise<z.output<typeof Promotion>>;
  undoPromotion(id: string, app_scope: string | null, actor: string): Promise<z.output<typeof Secret>>;
  revokeSecret(id: string, app_scope: string | null, actor: string): Promise<z.output<typeof Secret>>;
  dropNextSecret(id: string, app_scope: string | null, actor: string): Promise<void>;
}

export interface Tests {
  sendTest(destination_id: string, app_scope: string | null, test?: TestBody): Promise<z.output<typeof TestAnswer>>;
}

export interface Checks {
  checkSecret(id: string, app_scope: string | null): Promise<SecretCheck>;
  checkReceiver(app_id: string, request: CheckRequest): Promise<CheckAnswer>;
}

export interface FilterChecks {
  checkFilter(app_id: string, request: FilterCheck): Promise<z.output<typeof FilterCheckAnswer>>;
}

export interface WebhookParts {
  webhooks: Webhooks & Rotation;
  tests: Tests;
  checks: Checks & FilterChecks;
  showPresent: ShowPresent;
}

export function webhookHandlers({ webhooks, tests, checks, showPresent }: WebhookParts): Handlers<Names> {
  return {
    checkFilter: ({ params, body }) => checks.checkFilter(params.app_id, body),
    ...configHandlers(webhooks, showPresent),
    testWebhook: ({ params, access, body }) => tests.sendTest(params.id, access.app_scope, body),
    checkReceiver: ({ params, body }) => checks.checkReceiver(params.app_id, body),
    ...secretHandlers(webhooks, checks),
  };
}

function configHandlers(webhooks: Webhooks, showPresent: ShowPresent): Handlers<ConfigNames> {
  async function present(webhook: Webhook): Promise<Webhook> {
    const [shown = webhook] = await showPresent([webhook]);
    return shown;
  }

  return {
    createWebhook: ({ params, access, body }) => webhooks.createWebhook(params.app_id, body, actorOf(access)),
    listWebhooks: async ({ params, query }) => {
      const page = await webhooks.listWebhooks(params.app_id, query);
      return { ...page, items: await showPresent(page.items) };
    },
    getWebhook: async ({ params, access }) => present(await webhooks.getWebhook(params.id, access.app_scope)),
    patchWebhook: async ({ params, access, body }) =>
      present(await webhooks.patchWebhook(params.id, access.app_scope, body, actorOf(access))),
    deleteWebhook: ({ params, access }) => webhooks.deleteWebhook(params.id, access.app_scope),
    listWebhookChanges: ({ params, access, query }) => webhooks.listChanges(params.id, access.app_scope, query),
  };
}

function secretHandlers(rotation: Rotation, checks: Checks): Handlers<SecretNames> {
  return {
    getWebhookSecret: ({ params, access }) => rotation.getSecret(params.id, access.app_scope),
    rotateSecret: ({ params, access }) => rotation.rotateSecret(params.id, access.app_scope, actorOf(access)),
    checkSecret: ({ params, access }) => checks.checkSecret(params.id, access.app_scope),
    promoteSecret: ({ params, access, body }) =>
      rotation.promoteSecret(params.id, access.app_scope, body?.grace_seconds, actorOf(access)),
    undoPromotion: ({ params, access }) => rotation.undoPromotion(params.id, access.app_scope, actorOf(access)),
    revokeSecret: ({ params, access }) => rotation.revokeSecret(params.id, access.app_scope, actorOf(access)),
    dropNextSecret: ({ params, access }) => rotation.dropNextSecret(params.id, access.app_scope, actorOf(access)),
  };
}
