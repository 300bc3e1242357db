// The calls for webhooks: what is configured, the rotation of a secret, and the checks of a receiver. Part of the route
// table of routes.ts.
import { CheckAnswer, CheckRequest } from "./checks.ts";
import {
  TestAnswer,
  TestBody,
  Webhook,
  WebhookChangesPage,
  WebhookCreate,
  WebhookPatch,
  WebhooksPage,
} from "./destinations.ts";
import { PageQuery } from "./fields.ts";
import { FilterCheck, FilterCheckAnswer } from "./filters.ts";
import { NoQuery, type Route, under } from "./route.ts";
import { NextSecret, PromoteBody, Promotion, Secret, SecretCheck, SecretState } from "./secrets.ts";
import { SIGNING_KEYS_PATH, SigningKeys, SigningKeysQuery } from "./signing-keys.ts";

const in_app = under("app_id");
const by_id = under("id");

const CONFIG_ROUTES = {
  createWebhook: {
    method: "POST",
    path: "/api/apps/{app_id}/webhooks",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Create a webhook; its signing secret is in this answer",
    params: in_app,
    query: NoQuery,
    body: WebhookCreate,
    names_target: true,
    status: 201,
    answer: Webhook,
  },
  listWebhooks: {
    method: "GET",
    path: "/api/apps/{app_id}/webhooks",
    scope: "app_read",
    tag: "Webhooks",
    summary: "List the app's webhooks",
    params: in_app,
    query: PageQuery,
    status: 200,
    answer: WebhooksPage,
  },
  getWebhook: {
    method: "GET",
    path: "/api/webhooks/{id}",
    scope: "app_read",
    tag: "Webhooks",
    summary: "Get a webhook with its state and health",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: Webhook,
  },
  patchWebhook: {
    method: "PATCH",
    path: "/api/webhooks/{id}",
    scope: "app_write",
    tag: "Webhooks",
    summary:
      "Change a webhook; `enabled: true` re-enables a disabled one, and with `recover: true` sends what it missed",
    params: by_id,
    query: NoQuery,
    body: WebhookPatch,
    names_target: true,
    status: 200,
    answer: Webhook,
  },
  listWebhookChanges: {
    method: "GET",
    path: "/api/webhooks/{id}/history",
    scope: "app_read",
    tag: "Webhooks",
    summary: "List the changes of a webhook's state, with cause and who made them",
    params: by_id,
    query: PageQuery,
    status: 200,
    answer: WebhookChangesPage,
  },
  deleteWebhook: {
    method: "DELETE",
    path: "/api/webhooks/{id}",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Delete a webhook and its deliveries",
    params: by_id,
    query: NoQuery,
    status: 204,
    answer: null,
  },
  getWebhookSecret: {
    method: "GET",
    path: "/api/webhooks/{id}/secret",
    // Who holds the secret can sign in the server's name: reading it takes the right to change it.
    scope: "app_write",
    tag: "Webhooks",
    summary: "Show the signing secret, and what is staged or still valid beside it",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: SecretState,
  },
  testWebhook: {
    method: "POST",
    path: "/api/webhooks/{id}/test",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Send a sample event through the normal pipeline",
    params: by_id,
    query: NoQuery,
    body: TestBody,
    status: 202,
    answer: TestAnswer,
  },
} as const satisfies Record<string, Route>;

const SECRET_ROUTES = {
  rotateSecret: {
    method: "POST",
    path: "/api/webhooks/{id}/secret/rotate",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Stage a new secret; the current one goes on signing X-LinkMe-Signature",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: NextSecret,
  },
  checkSecret: {
    method: "POST",
    path: "/api/webhooks/{id}/secret/check",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Send one test event at once whose X-LinkMe-Signature is made with the staged secret",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: SecretCheck,
  },
  promoteSecret: {
    method: "POST",
    path: "/api/webhooks/{id}/secret/promote",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Let the staged secret sign; the old one stays valid for the grace period",
    params: by_id,
    query: NoQuery,
    body: PromoteBody,
    status: 200,
    answer: Promotion,
  },
  undoPromotion: {
    method: "POST",
    path: "/api/webhooks/{id}/secret/undo",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Let the old secret sign again while its grace period lasts; the promoted one is staged again",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: Secret,
  },
  revokeSecret: {
    method: "POST",
    path: "/api/webhooks/{id}/secret/revoke",
    scope: "app_write",
    tag: "Webhooks",
    summary: "The secret leaked: make a new one at once; the old, the staged and the replaced ones die",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: Secret,
  },
  dropNextSecret: {
    method: "DELETE",
    path: "/api/webhooks/{id}/secret/next",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Drop the staged secret",
    params: by_id,
    query: NoQuery,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;

const PUBLIC_KEY_ROUTES = {
  getSigningKeys: {
    method: "GET",
    path: SIGNING_KEYS_PATH,
    scope: "public",
    tag: "Webhooks",
    summary: "The public keys of webhooks that sign with Ed25519, as a JSON Web Key Set",
    query: SigningKeysQuery,
    status: 200,
    answer: SigningKeys,
  },
} as const satisfies Record<string, Route>;

const CHECK_ROUTES = {
  checkReceiver: {
    method: "POST",
    path: "/api/apps/{app_id}/webhooks/check",
    scope: "app_write",
    tag: "Webhooks",
    summary: "Try a receiver before its webhook is saved: one signed sample event, and a forged one if asked for",
    params: in_app,
    query: NoQuery,
    body: CheckRequest,
    names_target: true,
    status: 200,
    answer: CheckAnswer,
  },
  checkFilter: {
    method: "POST",
    path: "/api/apps/{app_id}/webhooks/filter-check",
    scope: "app_read",
    tag: "Webhooks",
    summary: "Try a filter before it is saved: which of the last events would pass, and why the others would not",
    params: in_app,
    query: NoQuery,
    body: FilterCheck,
    status: 200,
    answer: FilterCheckAnswer,
  },
} as const satisfies Record<string, Route>;

export const WEBHOOK_ROUTES = {
  ...CONFIG_ROUTES,
  ...SECRET_ROUTES,
  ...PUBLIC_KEY_ROUTES,
  ...CHECK_ROUTES,
} as const satisfies Record<string, Route>;
