// Managing webhooks: what the API's routes for them call. Reads, decides in webhook-row.ts, writes in one transaction.
// `app_scope` limits a call to one app; null is the operator. An id of another app is like one that does not exist.
import type { Webhook, WebhookCreate, WebhookPatch } from "#contract/destinations.ts";
import { notFound, refuse } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import type { Ids } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow, Preparing } from "./destination.ts";
import type { Advise } from "./last-tries.ts";
import type { Stop } from "./missed.ts";
import type { MissedStore } from "./missed-store.ts";
import type { NamedReplay } from "./replay-step.ts";
import { readSecrets } from "./secrets.ts";
import { createShowing } from "./showing.ts";
import { DESTINATIONS_PER_APP_MAX, type DestinationStore, SYSTEM } from "./store.ts";
import { newWebhookRow, patchWebhookRow, readWebhookConfig, showWebhook } from "./webhook-row.ts";
import { checkUrl, found, newSecret, type UrlCheck, within } from "./webhook-rules.ts";

export interface WebhookOptions extends Preparing {
  ids: Pick<Ids, "prefixed">;
  now(): number;
  egress: UrlCheck;
  /** Seconds between attempts, for webhooks that bring no schedule. */
  default_retry_schedule: readonly number[];
  /** Without it a webhook that fails says only that its receiver is to be mended. */
  advise?: Advise;
}

interface WebhookDependencies extends WebhookOptions {
  store: DestinationStore;
  missed_store: MissedStore;
  /** Called after a change was committed, before the call that made it answers. */
  changed(row: { id: string; app_id: string }): Promise<void>;
}

export function createWebhooks(dependencies: WebhookDependencies) {
  const { store, sealer, ids, now, egress, changed } = dependencies;
  const showing = createShowing({ ...dependencies, adviseFor: adviseAfterPromotion });

  /** The only answer, beside those of rotation.ts, that shows the signing secret. */
  async function createWebhook(app_id: string, input: WebhookCreate, actor = SYSTEM): Promise<Webhook> {
    await checkUrl(egress, input.url);
    const secret = newSecret();
    const { default_retry_schedule } = dependencies;
    const made = { id: ids.prefixed("dst"), app_id, secret, now: now(), default_retry_schedule };
    const row = newWebhookRow(made, input, sealer);
    const result = await store.insert(row, actor);
    if (result === "no_such_app") throw notFound("app");
    if (result === "too_many") {
      throw refuse("conflict", `An app has at most ${DESTINATIONS_PER_APP_MAX} webhooks: delete one first.`);
    }
    await changed(row);
    return { ...(await showOne(row)), signing_secret: secret };
  }

  async function listWebhooks(app_id: string, page: { limit: number; cursor?: string | undefined }) {
    const after = page.cursor === undefined ? null : readCursor(page.cursor);
    const rows = await store.page(app_id, "webhook", after, page.limit + 1);
    if (rows.length === 0 && !(await store.appExists(app_id))) throw notFound("app");
    const shown = rows.slice(0, page.limit);
    const last = rows.length > page.limit ? shown.at(-1) : undefined;
    return {
      items: await show(shown),
      next_cursor: last === undefined ? null : encodeCursor([last.created_at, last.id]),
    };
  }

  /** @param sender the replay that has just been asked for, of what it missed */
  async function getWebhook(id: string, app_scope: string | null, sender?: NamedReplay): Promise<Webhook> {
    return showOne(await found(store.find(id, within(app_scope))), sender);
  }

  async function patchWebhook(
    id: string,
    app_scope: string | null,
    patch: WebhookPatch,
    actor = SYSTEM,
  ): Promise<Webhook> {
    const scope = within(app_scope);
    // Looked up first: a stranger's id must not start a name lookup, nor be told apart by its answer.
    await found(store.find(id, scope));
    if (patch.url !== undefined) await checkUrl(egress, patch.url);
    const at = now();
    const result = await found(
      store.change(id, scope, { now: at, actor }, (row) => patchWebhookRow(row, patch, at, sealer)),
    );
    if (result.changed) await changed(result.row);
    return showOne(result.row);
  }

  async function deleteWebhook(id: string, app_scope: string | null): Promise<void> {
    const app_id = await found(store.remove(id, within(app_scope), now()));
    await changed({ id, app_id });
  }

  async function show(rows: readonly DestinationRow[], sender?: NamedReplay): Promise<Webhook[]> {
    const at = now();
    const told = await showing.factsOf(rows, at, sender);
    return told.map(({ row, facts }) => showWebhook(row, facts, at));
  }

  async function showOne(row: DestinationRow, sender?: NamedReplay): Promise<Webhook> {
    const [shown] = await show([row], sender);
    if (shown === undefined) throw new Error("one row shows as one webhook");
    return shown;
  }

  /** When it was off or disabled, from the first time on that is not recovered. @throws AppError not_found */
  async function openStops(id: string, app_scope: string | null): Promise<Stop[]> {
    return dependencies.missed_store.findStops(await found(store.find(id, within(app_scope))));
  }

  return { createWebhook, listWebhooks, getWebhook, patchWebhook, deleteWebhook, openStops };
}

/** What a receiver answers that does not take a signature. */
const UNVERIFIED: readonly (number | null)[] = [400, 401, 403];

/** While the promotion of a secret can be undone, that is what to do where the receiver has not been told the new one. */
function adviseAfterPromotion(row: DestinationRow, advise: Advise, now: number): Advise {
  const { next, previous } = readSecrets(row);
  // With another one staged since, undoing is refused.
  const can_undo = next === undefined && previous !== undefined && previous.valid_until > now;
  if (!can_undo || !readWebhookConfig(row).signing) return advise;
  const until = timeText(previous.valid_until);
  const undo = `Its signing secret was promoted lately: if the receiver knows only the one before, which is valid until ${until}, take that back with POST /api/webhooks/${row.id}/secret/undo.`;
  return (tried) => {
    const advice = advise(tried);
    return advice !== null && UNVERIFIED.includes(tried.status_code) ? `${advice} ${undo}` : advice;
  };
}

function readCursor(cursor: string): [number, string] {
  // decodeCursor has checked the types.
  return decodeCursor(cursor, ["number", "string"]) as [number, string];
}
