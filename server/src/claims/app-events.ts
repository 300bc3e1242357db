// App events: what an app's SDK reports. An open is an event for webhooks, link.app_open; everything else is kept for
// analytics. The SDK's own word that a claim has succeeded says more of it, and never makes another claim.
// Created once by compose-edge.ts; called by the API with the app already known.
import type { AppEvent, AppEventsQuery } from "#contract/app-events.ts";
import type { App } from "#contract/apps.ts";
import type { EventData } from "#contract/events.ts";
import type { LinkPayload } from "#contract/links.ts";
import { invalid, notFound, unavailable } from "../errors.ts";
import type { EventRow, NewEvent } from "../events/event.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { Ids } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import { type AppEventBody, claimTypeOf, detailOf, timestampOf, typeOf } from "./app-event.ts";
import * as store from "./app-event-store.ts";
import type { Asking } from "./claims.ts";
import { platformOf } from "./device.ts";
import type { Identities, Learned } from "./identities.ts";
import { readCid } from "./referrer.ts";
import type { Item, Store } from "./storing.ts";

const RETRY_AFTER_SECONDS = 1;
/** It is composed anew while others tie the same device, or destinations change under it. */
const TRIES_MAX = 3;

export interface AppEventsOptions {
  db: Database;
  store: Store;
  identities: Identities;
  accounts: { findApp(id: string): Promise<App | null> };
  ids: Pick<Ids, "uuid">;
  compose(event: NewEvent): EventRow;
  now(): number;
  /** An open could not be kept. */
  failed?(error: unknown): void;
}

export type AppEvents = ReturnType<typeof createAppEvents>;

export function createAppEvents(options: AppEventsOptions) {
  const { db, identities, accounts, ids, compose, now, failed = () => {} } = options;

  /** `POST /api/app-events`. @throws AppError invalid_request, not_found, temporarily_unavailable */
  async function record(app: App, body: AppEventBody, asking: Asking): Promise<void> {
    const type = typeOf(body);
    if (type === null) throw invalid("type", "the name of the event, like open");
    const row = rowOf(app, type, body, asking);
    for (let left = TRIES_MAX; left > 0; left--) {
      const learned = await identities.learn(app, asking, row.cid);
      try {
        await options.store(type === "open" ? openItem(row, learned) : keptItem(row, learned, body));
        return;
      } catch (error) {
        if (!isDatabaseError(error, "unmet")) throw error;
      }
    }
    if ((await accounts.findApp(app.id)) === null) throw notFound("app");
    throw unavailable("The event could not be stored. Send the same request again.", RETRY_AFTER_SECONDS);
  }

  /**
   * The system has opened an app with a link of it. Samples report the open themselves, so it is only kept, as an app event;
   * by the app's setting it is told of in its stead. What is only kept may be lost: no app is to fail for it.
   * @throws AppError temporarily_unavailable, where it is told of
   */
  async function recordOpening(app: App, { linkId, path }: LinkPayload, asking: Asking): Promise<void> {
    const body = { type: "open", linkId, detail: JSON.stringify({ source: "resolve_url", path }) };
    if (app.emit_open_on_resolve) return record(app, body, asking);
    try {
      const row = rowOf(app, "open", body, asking);
      await options.store(keptItem(row, await identities.learn(app, asking, row.cid), body));
    } catch (error) {
      if (!isDatabaseError(error, "unmet")) failed(error);
    }
  }

  function rowOf(app: App, type: string, body: AppEventBody, asking: Asking): store.AppEventRow {
    return {
      app_id: app.id,
      id: ids.uuid(),
      type,
      platform: platformOf(body.platform, asking.device, asking.user_agent),
      cid: readCid(body.cid),
      link_id: body.linkId || null,
      user_id: asking.user_id,
      detail: detailOf(body) ?? null,
      client_time: timestampOf(body) ?? null,
      created_at: now(),
      ...{ device: null, first_cid: null },
    };
  }

  function keptItem(
    row: store.AppEventRow,
    { person, told, identities: rows, clicks }: Learned,
    body: AppEventBody,
  ): Item {
    const { app_id, cid } = row;
    const first_cid = told.first_cid ?? null;
    const claim_type = row.type === "claim" ? claimTypeOf(body) : null;
    const refined =
      claim_type === null || cid === null
        ? []
        : [
            { cid, statement: store.countRefined(app_id, cid, ids.uuid) },
            { cid, statement: store.refineClaim(app_id, cid, claim_type) },
          ];
    return {
      ...{ app_id, events: [], identities: rows, clicks: [...refined, ...clicks] },
      app_event: { ...row, user_id: row.user_id ?? told.user_id ?? null, device: person.device, first_cid },
    };
  }

  function openItem(row: store.AppEventRow, { person, told, identities: rows, clicks }: Learned): Item {
    const { app_id, platform, link_id, cid, detail, client_time } = row;
    const data: EventData["link.app_open"] = { platform, type: "open" };
    const user_id = row.user_id ?? told.user_id ?? null;
    if (link_id !== null) data.link_id = link_id;
    if (cid !== null) data.cid = cid;
    if (user_id !== null) data.user_id = user_id;
    if (told.first_cid !== undefined) data.first_cid = told.first_cid;
    if (told.ga !== undefined) data.ga = told.ga;
    if (detail !== null) data.detail = detail;
    if (client_time !== null) data.timestamp = client_time;
    const event = {
      app_id,
      event: "link.app_open",
      ts: row.created_at,
      data,
      about: { cid, user_id, device: person.device },
    } as const;
    return { app_id, events: [compose(link_id === null ? event : { ...event, link_id })], identities: rows, clicks };
  }

  /** Newest first. @throws AppError invalid_request (cursor) */
  async function list(
    app_id: string,
    { type, limit, cursor }: AppEventsQuery,
  ): Promise<{ items: AppEvent[]; next_cursor: string | null }> {
    const before = cursor === undefined ? undefined : String(decodeCursor(cursor, ["string"])[0]);
    const { found, end } = await store.pageAppEvents(db, app_id, { type, before }, limit);
    return { items: found.map(presentAppEvent), next_cursor: end === null ? null : encodeCursor([end]) };
  }

  return { record, recordOpening, list };
}

export function presentAppEvent(row: store.AppEventRow): AppEvent {
  const event: AppEvent = {
    id: row.id,
    type: row.type,
    platform: row.platform,
    created_at: timeText(row.created_at),
  };
  if (row.cid !== null) event.cid = row.cid;
  if (row.link_id !== null) event.link_id = row.link_id;
  if (row.user_id !== null) event.user_id = row.user_id;
  if (row.first_cid !== null) event.first_cid = row.first_cid;
  if (row.detail !== null) event.detail = row.detail;
  if (row.client_time !== null) event.timestamp = row.client_time;
  return event;
}
