// Managing destinations of other types than webhooks: what the API's routes for them call. Reads, decides in vendor-row.ts,
// writes in one transaction. `app_scope` limits a call to one app; null is the operator. An id of another app, or of a webhook, is
// like one that does not exist.
import type { DestinationCreate, DestinationPatch, Destination as Shown } from "#contract/vendor-destinations.ts";
import { invalid, notFound, refuse } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { type Destination, type DestinationRow, prepareDestination } from "./destination.ts";
import { doubleCounts } from "./double-count.ts";
import type { Stop } from "./missed.ts";
import type { MissedStore } from "./missed-store.ts";
import type { NamedReplay } from "./replay-step.ts";
import { createShowing } from "./showing.ts";
import { DESTINATIONS_PER_APP_MAX, type DestinationStore, type Scope, SYSTEM } from "./store.ts";
import { findType } from "./types.ts";
import { newVendorRow, patchVendorRow, showVendor } from "./vendor-row.ts";
import type { WebhookOptions } from "./webhooks.ts";

interface VendorDependencies extends WebhookOptions {
  store: DestinationStore;
  missed_store: MissedStore;
  /** Called after a change was committed, before the call that made it answers. */
  changed(row: { id: string; app_id: string }): Promise<void>;
}

export function createVendors(dependencies: VendorDependencies) {
  const { store, sealer, ids, now, egress, changed } = dependencies;
  const showing = createShowing(dependencies);

  /** @throws AppError invalid_request, not_found, conflict */
  async function createDestination(app_id: string, input: DestinationCreate, actor = SYSTEM): Promise<Shown> {
    const { default_retry_schedule } = dependencies;
    const made = { id: ids.prefixed("dst"), app_id, now: now(), default_retry_schedule };
    const row = newVendorRow(made, input, sealer);
    await checkTarget(row);
    const result = await store.insert(row, actor);
    if (result === "no_such_app") throw notFound("app");
    if (result === "too_many") {
      throw refuse("conflict", `An app has at most ${DESTINATIONS_PER_APP_MAX} destinations: delete one first.`);
    }
    await changed(row);
    return showOne(row);
  }

  async function listDestinations(app_id: string, page: { limit: number; cursor?: string | undefined }) {
    // decodeCursor has checked the types.
    const after =
      page.cursor === undefined ? null : (decodeCursor(page.cursor, ["number", "string"]) as [number, string]);
    const rows = await store.page(app_id, "vendor", after, page.limit + 1);
    if (rows.length === 0 && !(await store.appExists(app_id))) throw notFound("app");
    const shown = rows.slice(0, page.limit);
    const last = rows.length > page.limit ? shown.at(-1) : undefined;
    return {
      items: await show(shown),
      next_cursor: last === undefined ? null : encodeCursor([last.created_at, last.id]),
    };
  }

  /** @param sender the replay that has just been asked for, of what it missed */
  async function getDestination(id: string, app_scope: string | null, sender?: NamedReplay): Promise<Shown> {
    return showOne(await found(store.find(id, vendorsOf(app_scope))), sender);
  }

  /** @throws AppError invalid_request, not_found */
  async function patchDestination(
    id: string,
    app_scope: string | null,
    patch: DestinationPatch,
    actor = SYSTEM,
  ): Promise<Shown> {
    const scope = vendorsOf(app_scope);
    const before = await found(store.find(id, scope));
    const at = now();
    const planned = patch.config === undefined ? null : patchVendorRow(before, patch, at, sealer);
    if (planned !== null) await checkTarget(planned.row);
    const result = await found(
      store.change(id, scope, { now: at, actor }, (row) => {
        const change = patchVendorRow(row, patch, at, sealer);
        // Of the row as it is now: somebody else may have changed it since.
        if (change !== null && patch.config !== undefined) refuseMovedSecrets(row, change.row, patch.config);
        return change;
      }),
    );
    if (result.changed) await changed(result.row);
    return showOne(result.row);
  }

  async function deleteDestination(id: string, app_scope: string | null): Promise<void> {
    const app_id = await found(store.remove(id, vendorsOf(app_scope), now()));
    await changed({ id, app_id });
  }

  /** One that is stored, as it would send. @throws AppError not_found */
  async function storedTrial(id: string, app_scope: string | null): Promise<Destination> {
    return prepareDestination(await found(store.find(id, vendorsOf(app_scope))), dependencies);
  }

  /** One that is not saved. @throws AppError invalid_request, not_found */
  async function newVendorTrial(app_id: string, input: DestinationCreate): Promise<Destination> {
    if (!(await store.appExists(app_id))) throw notFound("app");
    const made = { id: ids.prefixed("dst"), app_id, now: now(), default_retry_schedule: [] };
    return prepareDestination(newVendorRow(made, input, sealer), dependencies);
  }

  /** When it was off or disabled, from the first time on that is not recovered. @throws AppError not_found */
  async function openDestinationStops(id: string, app_scope: string | null): Promise<Stop[]> {
    return dependencies.missed_store.findStops(await found(store.find(id, vendorsOf(app_scope))));
  }

  /**
   * What is sealed was given for one host: whoever may change settings, and cannot read secrets, would have them sent to another.
   * @throws AppError invalid_request
   */
  function refuseMovedSecrets(before: DestinationRow, after: DestinationRow, config: unknown): void {
    const [path] = findType(after.type)?.maskedPaths(config) ?? [];
    const origin = originOf(before);
    if (path === undefined || (origin !== null && origin === originOf(after))) return;
    throw invalid(
      `config.${path}`,
      "the value itself: the stored one was given for the host that it has been sent to so far",
    );
  }

  function originOf(row: DestinationRow): string | null {
    return URL.parse(prepareDestination(row, dependencies).target)?.origin ?? null;
  }

  /** Where it would send to is looked at before it is saved, as with webhooks. @throws AppError invalid_request */
  async function checkTarget(row: DestinationRow): Promise<void> {
    const destination = prepareDestination(row, dependencies);
    if (destination.misconfigured !== null) throw invalid("config", destination.misconfigured);
    const problem = await egress.check(destination.target);
    if (problem !== null) throw invalid("config", `the address that it sends to is no target: ${problem}`);
  }

  /** @param rows of one app */
  async function show(rows: readonly DestinationRow[], sender?: NamedReplay): Promise<Shown[]> {
    const at = now();
    const [first] = rows;
    if (first === undefined) return [];
    const [told, app] = await Promise.all([showing.factsOf(rows, at, sender), store.loadApp(first.app_id)]);
    return told.map(({ row, facts }) => showVendor(row, facts, doubleCounts(row, app?.rows ?? []), at));
  }

  async function showOne(row: DestinationRow, sender?: NamedReplay): Promise<Shown> {
    const [shown] = await show([row], sender);
    if (shown === undefined) throw new Error("one row shows as one destination");
    return shown;
  }

  return {
    ...{ createDestination, listDestinations, getDestination, patchDestination, deleteDestination },
    ...{ storedTrial, newVendorTrial, openDestinationStops },
  };
}

/** `app_scope` null is the operator. */
export function vendorsOf(app_scope: string | null): Scope {
  return { type: "vendor", app_id: app_scope };
}

async function found<Value>(value: Promise<Value | null>): Promise<Value> {
  const known = await value;
  if (known === null) throw notFound("destination");
  return known;
}
