// Webhooks of an app, the rotation of their secrets, the test button and the checks of a receiver.
import type { z } from "zod";
import type { CheckAnswer, CheckRequest } from "#contract/checks.ts";
import type {
  TestAnswer,
  TestBody,
  Webhook,
  WebhookCreate,
  WebhookPatch,
  WebhooksPage,
} from "#contract/destinations.ts";
import type { PageQuery } from "#contract/fields.ts";
import type { FilterCheck, FilterCheckAnswer } from "#contract/filters.ts";
import type { NextSecret, Promotion, Secret, SecretCheck, SecretState } from "#contract/secrets.ts";
import type { Handlers } from "./bind.ts";

type Names = ConfigNames | SecretNames | "testWebhook" | "checkReceiver" | "checkFilter";

type ConfigNames = "createWebhook" | "listWebhooks" | "getWebhook" | "patchWebhook" | "deleteWebhook";

type SecretNames =
  | "getWebhookSecret"
  | "rotateSecret"
  | "checkSecret"
  | "promoteSecret"
  | "undoPromotion"
  | "revokeSecret"
  | "dropNextSecret";

/** What this file needs of the destinations; `app_scope` null means any app. */
export interface Webhooks {
  createWebhook(app_id: string, input: WebhookCreate): Promise<Webhook>;
  listWebhooks(app_id: string, page: PageQuery): Promise<z.output<typeof WebhooksPage>>;
  getWebhook(id: string, app_scope: string | null): Promise<Webhook>;
  patchWebhook(id: string, app_scope: string | null, patch: WebhookPatch): Promise<Webhook>;
  deleteWebhook(id: string, app_scope: string | null): Promise<void>;
}

/** The same for their signing secrets. */
export interface Rotation {
  getSecret(id: string, app_scope: string | null): Promise<SecretState>;
  rotateSecret(id: string, app_scope: string | null): Promise<z.output<typeof NextSecret>>;
  promoteSecret(id: string, app_scope: string | null, grace_seconds?: number): Promise<z.output<typeof Promotion>>;
  undoPromotion(id: string, app_scope: string | null): Promise<z.output<typeof Secret>>;
  revokeSecret(id: string, app_scope: string | null): Promise<z.output<typeof Secret>>;
  dropNextSecret(id: string, app_scope: string | null): Promise<void>;
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

export function webhookHandlers(
  webhooks: Webhooks & Rotation,
  tests: Tests,
  checks: Checks & FilterChecks,
): Handlers<Names> {
  return {
    checkFilter: ({ params, body }) => checks.checkFilter(params.app_id, body),
    createWebhook: ({ params, body }) => webhooks.createWebhook(params.app_id, body),
    listWebhooks: ({ params, query }) => webhooks.listWebhooks(params.app_id, query),
    getWebhook: ({ params, access }) => webhooks.getWebhook(params.id, access.app_scope),
    patchWebhook: ({ params, access, body }) => webhooks.patchWebhook(params.id, access.app_scope, body),
    deleteWebhook: ({ params, access }) => webhooks.deleteWebhook(params.id, access.app_scope),
    testWebhook: ({ params, access, body }) => tests.sendTest(params.id, access.app_scope, body),
    checkReceiver: ({ params, body }) => checks.checkReceiver(params.app_id, body),
    ...secretHandlers(webhooks, checks),
  };
}

function secretHandlers(rotation: Rotation, checks: Checks): Handlers<SecretNames> {
  return {
    getWebhookSecret: ({ params, access }) => rotation.getSecret(params.id, access.app_scope),
    rotateSecret: ({ params, access }) => rotation.rotateSecret(params.id, access.app_scope),
    checkSecret: ({ params, access }) => checks.checkSecret(params.id, access.app_scope),
    promoteSecret: ({ params, access, body }) =>
      rotation.promoteSecret(params.id, access.app_scope, body?.grace_seconds),
    undoPromotion: ({ params, access }) => rotation.undoPromotion(params.id, access.app_scope),
    revokeSecret: ({ params, access }) => rotation.revokeSecret(params.id, access.app_scope),
    dropNextSecret: ({ params, access }) => rotation.dropNextSecret(params.id, access.app_scope),
  };
}
