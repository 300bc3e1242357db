// Apps, their keys and their domains: management, and the cached look-ups of the hot path. Called by the API, and by
// links for hosts and app settings. Changes hold at once in this process and within LOOKUP_TTL_MS in the others.
// `app_scope` limits a call to one app; an id of another app is answered like one that does not exist.

import type { z } from "zod";
import {
  APP_DEFAULTS,
  type App,
  type AppCreate,
  type AppPatch,
  type AppSettings,
  type Domain,
  type Key,
  type KeyCreate,
  type NewKey,
} from "#contract/apps.ts";
import { type AppError, invalid, notFound, refuse } from "../errors.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { IdSource, Ids } from "../platform/ids.ts";
import { composePage, type Page, type PageInput, placeOf } from "../platform/page.ts";
import { timeText } from "../platform/time-text.ts";
import {
  type ApiKey,
  composeKey,
  fitsKind,
  hashOf,
  hintOf,
  isLive,
  KEY_RANDOM_BYTES,
  looksLikeKey,
} from "./credentials.ts";
import { createLookup } from "./lookup.ts";
import { isOwn, type OwnedKind } from "./owners-store.ts";
import { createRemovals } from "./removals.ts";
import * as store from "./store.ts";

/** How long another process may still use a key, app or domain that was changed or deleted. */
const LOOKUP_TTL_MS = 1_000;
const LOOKUP_MAX_ENTRIES = 10_000;
const DOMAINS_MAX = 100;
/** Each costs a row and, while it is in use, a place among those that are remembered. */
export const KEYS_PER_APP_MAX = 500;
const ALL_APPS_MAX = 1_000;

export interface AccountsOptions {
  db: Database;
  ids: Ids;
  source: IdSource;
  /** For apps that are created without. */
  keeping?: Keeping;
  /** How many domains an app may have. */
  domains_max?: number;
}

type Keeping = Partial<Pick<AppSettings, "event_retention_days" | "delivery_retention_days">>;

export type Accounts = ReturnType<typeof createAccounts>;

export function createAccounts({ db, ids, source, keeping = {}, domains_max = DOMAINS_MAX }: AccountsOptions) {
  const lookup = { now: source.now, ttl_ms: LOOKUP_TTL_MS, max_entries: LOOKUP_MAX_ENTRIES };
  const removals = createRemovals({ db, now: source.now });
  const keys = createLookup<ApiKey>({
    ...lookup,
    load: async (hashes) => byHash(await store.selectKeysByHash(db, hashes)),
  });
  const apps = createLookup<App>({ ...lookup, load: async (app_ids) => byId(await store.selectAppsById(db, app_ids)) });
  const domains = createLookup<Domain>({
    ...lookup,
    load: async (hosts) => byHost(await store.selectDomainsByHost(db, hosts)),
  });

  async function createApp(input: z.output<typeof AppCreate>): Promise<App> {
    const { name, id = ids.prefixed("app"), ...settings } = input;
    if (input.id !== undefined && !(await removals.waitFor(id))) throw stillRemoved(id);
    const now = source.now();
    const columns = { ...toColumns(APP_DEFAULTS), ...toColumns(keeping), ...toColumns(settings) };
    // The defaults name every setting, so no column is missing.
    const row = { ...columns, id, name, created_at: now, updated_at: now } as store.AppRow;
    try {
      await store.insertApp(db, row);
    } catch (error) {
      if (isDatabaseError(error, "unique")) throw refuse("conflict", `There is an app with the id ${id} already.`);
      // It was deleted between the look and the insert.
      if (isDatabaseError(error, "unmet")) throw stillRemoved(id);
      throw error;
    }
    apps.forget(id);
    return toApp(row);
  }

  async function listApps(app_scope: string | null, page: PageInput): Promise<Page<App>> {
    return composePage(await store.selectApps(db, app_scope, placeOf(page), page.limit + 1), page.limit, toApp);
  }

  /** The newest apps, as many as a list in one piece may hold. */
  async function listAllApps(): Promise<App[]> {
    return (await store.selectApps(db, null, null, ALL_APPS_MAX)).map(toApp);
  }

  async function getApp(id: string): Promise<App> {
    const [row] = await store.selectAppsById(db, [id]);
    if (row === undefined) throw notFound("app");
    return toApp(row);
  }

  async function patchApp(id: string, patch: z.output<typeof AppPatch>): Promise<App> {
    const row = await store.updateApp(db, id, { ...toColumns(patch), updated_at: source.now() });
    if (row === null) throw notFound("app");
    apps.forget(id);
    return toApp(row);
  }

  /** Everything that the app's row owns is gone when this returns; `finishRemovals` deletes the rest. */
  async function deleteApp(id: string): Promise<void> {
    try {
      await store.deleteApp(db, id, source.now());
    } catch (error) {
      if (isDatabaseError(error, "unmet")) throw notFound("app");
      throw error;
    }
    for (const cache of [keys, apps, domains]) cache.clear();
  }

  async function createKey(app_id: string, input: z.output<typeof KeyCreate>, by: ApiKey | null): Promise<NewKey> {
    const now = source.now();
    const row = composeKeyRow(app_id, input, now, by);
    if (row.can_read + row.can_write === 0)
      throw invalid("can_read", "can_read or can_write true: this key could do nothing");
    if (row.expires_at !== null && row.expires_at <= now) throw invalid("expires_at", "a time in the future, or null");
    if (by !== null) refuseMoreThan(by, row);
    const key = input.key === undefined ? makeKey(input.kind) : takeOver(input.key, input.kind, by);
    const complete: store.KeyRow = { ...row, key_hash: hashOf(key), key_hint: hintOf(key) };
    try {
      await store.insertKey(db, complete, KEYS_PER_APP_MAX);
    } catch (error) {
      if (isDatabaseError(error, "unique")) throw refuse("conflict", "This key is in use already.");
      if (isDatabaseError(error, "unmet")) throw await whyNoKey(app_id);
      throw error;
    }
    keys.forget(complete.key_hash);
    return { ...toKey(complete), key };
  }

  async function whyNoKey(app_id: string): Promise<AppError> {
    if ((await store.selectAppsById(db, [app_id])).length === 0) return notFound("app");
    return refuse("conflict", `An app may have ${KEYS_PER_APP_MAX} keys. Delete one that nobody uses.`);
  }

  function makeKey(kind: Key["kind"]): string {
    const random = new Uint8Array(KEY_RANDOM_BYTES);
    source.random(random);
    return composeKey(kind, random);
  }

  function composeKeyRow(app_id: string, input: z.output<typeof KeyCreate>, now: number, by: ApiKey | null) {
    return {
      id: ids.prefixed("key"),
      app_id,
      kind: input.kind,
      label: input.label,
      can_read: Number(input.can_read),
      can_write: Number(input.can_write ?? input.kind === "server"),
      expires_at: input.expires_at ? Date.parse(input.expires_at) : null,
      created_at: now,
      origin_id: by?.origin_id ?? null,
    };
  }

  async function listKeys(app_id: string, page: PageInput): Promise<Page<Key>> {
    return composePage(await store.selectKeys(db, app_id, placeOf(page), page.limit + 1), page.limit, toKey);
  }

  async function deleteKey(id: string, app_scope: string | null): Promise<void> {
    const key_hash = await store.deleteKey(db, id, app_scope);
    if (key_hash === null) throw notFound("key");
    keys.forget(key_hash);
  }

  async function createDomain(app_id: string, hostname: string): Promise<Domain> {
    const row = { id: ids.prefixed("dom"), app_id, hostname, created_at: source.now() };
    try {
      await store.insertDomain(db, row, domains_max);
    } catch (error) {
      if (isDatabaseError(error, "unmet")) throw await whyNoDomain(app_id);
      if (isDatabaseError(error, "unique")) throw refuse("conflict", `The host ${hostname} is connected already.`);
      throw error;
    }
    domains.forget(hostname);
    return toDomain(row);
  }

  async function whyNoDomain(app_id: string): Promise<AppError> {
    if ((await store.selectAppsById(db, [app_id])).length === 0) return notFound("app");
    return refuse("conflict", `An app may have ${domains_max} domains. Delete one, or raise LINKME_DOMAINS_PER_APP.`);
  }

  async function listDomains(app_id: string, page: PageInput): Promise<Page<Domain>> {
    return composePage(await store.selectDomains(db, app_id, placeOf(page), page.limit + 1), page.limit, toDomain);
  }

  async function deleteDomain(id: string, app_scope: string | null): Promise<void> {
    const hostname = await store.deleteDomain(db, id, app_scope);
    if (hostname === null) throw notFound("domain");
    domains.forget(hostname);
  }

  /** A key that is remembered, without waiting: null when it is not valid, undefined when `findKey` has to look. */
  function peekKey(text: string): ApiKey | null | undefined {
    if (!looksLikeKey(text)) return null;
    const key = keys.peek(hashOf(text));
    return key && !isLive(key, source.now()) ? null : key;
  }

  /** The key that a caller presented; null when there is none, or it has expired. */
  async function findKey(text: string): Promise<ApiKey | null> {
    if (!looksLikeKey(text)) return null;
    const key = await keys.find(hashOf(text));
    return key && isLive(key, source.now()) ? key : null;
  }

  return {
    createApp,
    listApps,
    listAllApps,
    getApp,
    patchApp,
    deleteApp,
    createKey,
    listKeys,
    deleteKey,
    createDomain,
    listDomains,
    deleteDomain,
    peekKey,
    findKey,
    /** Whether what has this id is of the app. */
    isOwn: (kind: OwnedKind, id: string, app_id: string) => isOwn(db, kind, id, app_id),
    /** An app's settings, cached. */
    findApp: apps.find,
    /** What is remembered of an app, without waiting: undefined when `findApp` has to look. */
    peekApp: apps.peek,
    /** Which app a host belongs to, cached; the host in lower case, without a port. */
    findDomain: domains.find,
    peekDomain: domains.peek,
    /** Removes what is left of what was deleted. Safe to run in several processes. */
    finishRemovals: removals.finish,
  };
}

/** A server key can give away what it has and no more, so that a leaked one cannot outlive or outgrow itself. */
function refuseMoreThan(by: ApiKey, row: { can_read: number; can_write: number; expires_at: number | null }): void {
  const outgrows = (row.can_read === 1 && !by.can_read) || (row.can_write === 1 && !by.can_write);
  const outlives = by.expires_at !== null && (row.expires_at === null || row.expires_at > by.expires_at);
  if (outgrows || outlives) {
    throw refuse("forbidden", "A server key can only create keys with no more rights and no later end than its own.");
  }
}

/** A key from elsewhere is as good as whoever made it: the operator answers for that, and nobody finds out by trying. */
function takeOver(key: string, kind: Key["kind"], by: ApiKey | null): string {
  if (by !== null)
    throw refuse("forbidden", "Only the admin token may bring a key along; leave `key` out for a new one.");
  if (!fitsKind(key, kind)) throw invalid("key", `one that begins as keys of kind ${kind} do, or another kind`);
  return key;
}

/** The columns of the settings that are given; absent ones are left out. */
function toColumns(settings: Partial<AppSettings> & { name?: string | undefined }): Partial<store.AppRow> {
  const columns = Object.entries(settings).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [[name, typeof value === "boolean" ? Number(value) : Array.isArray(value) ? JSON.stringify(value) : value]];
  });
  return Object.fromEntries(columns);
}

function toApp(row: store.AppRow): App {
  return {
    id: row.id,
    name: row.name,
    ios_bundle_id: row.ios_bundle_id,
    ios_team_id: row.ios_team_id,
    ios_store_url: row.ios_store_url,
    ios_enable_pasteboard: row.ios_enable_pasteboard === 1,
    android_package: row.android_package,
    // Written by toColumns from a value of this type.
    android_sha256: JSON.parse(row.android_sha256) as string[],
    android_store_url: row.android_store_url,
    web_fallback_url: row.web_fallback_url,
    require_api_key: row.require_api_key === 1,
    analytics_consent: row.analytics_consent === 1,
    match_window_seconds: row.match_window_seconds,
    event_retention_days: row.event_retention_days,
    delivery_retention_days: row.delivery_retention_days,
    emit_open_on_resolve: row.emit_open_on_resolve === 1,
    match_install_referrer: row.match_install_referrer === 1,
    app_events_need_write: row.app_events_need_write === 1,
    cid_on_web_fallback: row.cid_on_web_fallback === 1,
    created_at: timeText(row.created_at),
    updated_at: timeText(row.updated_at),
  };
}

function toKey(row: store.KeyRow): Key {
  const { id, kind, label, key_hint } = row;
  const flags = { can_read: row.can_read === 1, can_write: row.can_write === 1 };
  const expires_at = timeText(row.expires_at);
  return { id, kind, label, key_hint, ...flags, expires_at, created_at: timeText(row.created_at) };
}

function toDomain(row: store.DomainRow): Domain {
  return { ...row, created_at: timeText(row.created_at) };
}

function byHash(rows: store.KeyRow[]): Map<string, ApiKey> {
  return new Map(
    rows.map(({ key_hash, id, app_id, kind, label, key_hint, can_read, can_write, expires_at, origin_id }) => [
      key_hash,
      {
        ...{ id, app_id, kind, label, key_hint, can_read: can_read === 1, can_write: can_write === 1, expires_at },
        origin_id: origin_id ?? id,
      },
    ]),
  );
}

function byId(rows: store.AppRow[]): Map<string, App> {
  return new Map(rows.map((row) => [row.id, toApp(row)]));
}

function byHost(rows: store.DomainRow[]): Map<string, Domain> {
  return new Map(rows.map((row) => [row.hostname, toDomain(row)]));
}

function stillRemoved(app_id: string): AppError {
  const advice = "Send the same request again later, or choose another id.";
  return refuse("conflict", `The app ${app_id} was deleted, and what belonged to it is still being removed. ${advice}`);
}
