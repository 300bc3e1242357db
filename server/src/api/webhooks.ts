// Webhooks of an app, and the test button.
import type { z } from "zod";
import type { Secret, TestAnswer, Webhook, WebhookCreate, WebhookPatch, WebhooksPage } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type { PageQuery } from "#contract/fields.ts";
import type { Handlers } from "./bind.ts";

type Names =
  | "createWebhook"
  | "listWebhooks"
  | "getWebhook"
  | "patchWebhook"
  | "deleteWebhook"
  | "getWebhookSecret"
  | "testWebhook";

/** What this file needs of the destinations; `app_scope` null means any app. */
export interface Webhooks {
  createWebhook(app_id: string, input: WebhookCreate): Promise<Webhook>;
  listWebhooks(app_id: string, page: PageQuery): Promise<z.output<typeof WebhooksPage>>;
  getWebhook(id: string, app_scope: string | null): Promise<Webhook>;
  patchWebhook(id: string, app_scope: string | null, patch: WebhookPatch): Promise<Webhook>;
  deleteWebhook(id: string, app_scope: string | null): Promise<void>;
  getSecret(id: string, app_scope: string | null): Promise<z.output<typeof Secret>>;
}

export interface Tests {
  sendTest(destination_id: string, app_scope: string | null, event?: EventType): Promise<z.output<typeof TestAnswer>>;
}

export function webhookHandlers(webhooks: Webhooks, tests: Tests): Handlers<Names> {
  return {
    createWebhook: ({ params, body }) => webhooks.createWebhook(params.app_id, body),
    listWebhooks: ({ params, query }) => webhooks.listWebhooks(params.app_id, query),
    getWebhook: ({ params, access }) => webhooks.getWebhook(params.id, access.app_scope),
    patchWebhook: ({ params, access, body }) => webhooks.patchWebhook(params.id, access.app_scope, body),
    deleteWebhook: ({ params, access }) => webhooks.deleteWebhook(params.id, access.app_scope),
    getWebhookSecret: ({ params, access }) => webhooks.getSecret(params.id, access.app_scope),
    testWebhook: ({ params, access, body }) => tests.sendTest(params.id, access.app_scope, body?.event),
  };
}
