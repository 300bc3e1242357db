// What clicks, app events and identities hold of a person: found by key, read, and removed. Called by the persons module, which
// knows under which keys somebody is known.
import type { Database, Row } from "../platform/database.ts";
import { paddedList, type Statement, sql } from "../platform/sql.ts";
import type { AppEventRow } from "./app-event-store.ts";
import type { IdentityRow, TiedClick } from "./identity.ts";

/** Under which somebody is known: a click, a user of the app, or a device by its hash. */
export interface Key {
  readonly kind: "cid" | "user" | "device";
  readonly value: string;
}

/** A click as somebody may ask to see it. */
export interface PersonClick extends Row {
  cid: string;
  link_id: string;
  platform: string;
  dest_url: string;
  utm: string | null;
  params: string | null;
  os_version: string | null;
  locale: string | null;
  ga: string | null;
  user_id: string | null;
  device: string | null;
  claim_type: string | null;
  created_at: number;
  claimed_at: number | null;
}

export type PersonsStore = ReturnType<typeof createPersonsStore>;

export function createPersonsStore({ query }: Pick<Database, "query">) {
  /** In the order of their tokens, after one. */
  function findClicks(app_id: string, { kind, value }: Key, after: string, limit: number): Promise<PersonClick[]> {
    const of: Record<Key["kind"], Statement> = {
      cid: sql`cid = ${value}`,
      user: sql`user_id = ${value} and user_id is not null`,
      device: sql`device = ${value} and device is not null`,
    };
    return query(sql`select cid, link_id, platform, dest_url, utm, params, os_version, locale, ga, user_id, device,
        claim_type, created_at, claimed_at
      from clicks where app_id = ${app_id} and ${of[kind]} and cid > ${after} order by cid limit ${limit}`);
  }

  /** Oldest first, after an id. */
  function findAppEvents(app_id: string, { kind, value }: Key, after: string, limit: number): Promise<AppEventRow[]> {
    const of: Record<Key["kind"], Statement> = {
      cid: sql`cid = ${value} and cid is not null`,
      user: sql`user_id = ${value} and user_id is not null`,
      device: sql`device = ${value} and device is not null`,
    };
    return query(sql`select * from app_events where app_id = ${app_id} and ${of[kind]} and id > ${after}
      order by id limit ${limit}`);
  }

  /** The first app event about a click that tells of a user. */
  async function findFirstUser(app_id: string, cid: string): Promise<{ user_id: string; id: string } | null> {
    const found = await query<{ user_id: string; id: string }>(sql`select user_id, id from app_events
      where app_id = ${app_id} and cid = ${cid} and cid is not null and user_id is not null order by id limit 1`);
    return found[0] ?? null;
  }

  /** Of a device or a user; of a user the devices, too, on which that one was seen last. None for a click. */
  async function findIdentities(app_id: string, { kind, value }: Key, limit: number): Promise<IdentityRow[]> {
    if (kind === "cid") return [];
    const own = sql`select * from identities where app_id = ${app_id} and kind = ${kind} and key = ${value}`;
    if (kind === "device") return query<IdentityRow & Row>(own);
    return query<IdentityRow & Row>(sql`${own} union all select * from (select * from identities
      where app_id = ${app_id} and user_id = ${value} and user_id is not null order by key limit ${limit}) as devices`);
  }

  return { findClicks, findAppEvents, findFirstUser, findIdentities };
}

/** Stays when it has been claimed, or tied, since it was found: what it leads to now is to be found first. */
export function removeClickOf(app_id: string, { cid, user_id, device }: TiedClick): Statement {
  return sql`delete from clicks where app_id = ${app_id} and cid = ${cid}
    and coalesce(user_id, '') = ${user_id ?? ""} and coalesce(device, '') = ${device ?? ""} returning cid`;
}

export function removeAppEventsOf(app_id: string, ids: readonly string[]): Statement {
  return sql`delete from app_events where app_id = ${app_id} and id in (${paddedList(ids)}) returning id`;
}

/** @param keys of one kind */
export function removeIdentitiesOf(app_id: string, kind: "user" | "device", keys: readonly string[]): Statement {
  return sql`delete from identities where app_id = ${app_id} and kind = ${kind} and key in (${paddedList(keys)})
    returning key`;
}

/** A device that somebody else uses too stays, and forgets this user. */
export function forgetUser(app_id: string, user_id: string): Statement {
  return sql`update identities set user_id = null
    where app_id = ${app_id} and user_id = ${user_id} and user_id is not null and is_shared = 1`;
}

/** Whoever else has come from this click, on a device that was shared, begins anew. */
export function forgetFirst(app_id: string, cid: string): Statement {
  return sql`update identities set first_cid = null, ga = null
    where app_id = ${app_id} and first_cid = ${cid} and first_cid is not null`;
}
