// The table identities, and what clicks know of whose they are. Called by identities.ts; the removal of what has expired is
// decided by the retention module.
import type { Database, Row } from "../platform/database.ts";
import { expectRows, KEPT, paddedList, rows, type Statement, sql } from "../platform/sql.ts";
import type { IdentityRow, Person, TiedClick } from "./identity.ts";

type StoredIdentity = IdentityRow & Row;

/** Of the device and of the user, as far as there are any. */
export function selectIdentities(db: Database, app_id: string, { device, user_id }: Person): Promise<IdentityRow[]> {
  return db.query<StoredIdentity>(sql`select * from identities
      where app_id = ${app_id} and kind = 'device' and key = ${device ?? ""}
    union all select * from identities where app_id = ${app_id} and kind = 'user' and key = ${user_id ?? ""}`);
}

export async function selectTiedClick(db: Database, app_id: string, cid: string): Promise<TiedClick | null> {
  const found = await db.query<TiedClick & Row>(
    sql`select cid, user_id, device, ga from clicks where cid = ${cid} and app_id = ${app_id}`,
  );
  return found[0] ?? null;
}

/**
 * Each row once: PostgreSQL changes none twice in a statement. Unmet when one of them is tied to another first click, which its
 * writer did not know of: an event that tells of it would tell something wrong.
 */
export function upsertIdentities(identities: readonly IdentityRow[]): Statement {
  const list = identities.map(({ app_id, kind, key, first_cid, user_id, is_shared, ga, seen_at }) => [
    ...[app_id, kind, key, first_cid, user_id, is_shared, ga, seen_at],
  ]);
  return expectRows(
    identities.length,
    sql`insert into identities (app_id, kind, key, first_cid, user_id, is_shared, ga, seen_at) values ${rows(list)}
      on conflict (app_id, kind, key) do update set first_cid = excluded.first_cid,
        user_id = coalesce(excluded.user_id, identities.user_id),
        is_shared = case when identities.user_id <> excluded.user_id then 1
          when identities.is_shared = 1 then 1 else excluded.is_shared end,
        ga = case when identities.user_id <> excluded.user_id then null
          when identities.is_shared = 1 or excluded.is_shared = 1 then null else coalesce(identities.ga, excluded.ga) end,
        seen_at = case when identities.seen_at > excluded.seen_at then identities.seen_at else excluded.seen_at end
      where identities.first_cid is null or identities.first_cid = excluded.first_cid
      returning key`,
  );
}

/** What a click knows already stays. Unmet when it is gone. */
export function markClick(app_id: string, cid: string, { user_id, device }: Person): Statement {
  return expectRows(
    1,
    sql`update clicks set user_id = coalesce(user_id, ${user_id}), device = coalesce(device, ${device})
      where cid = ${cid} and app_id = ${app_id} returning cid`,
  );
}

/** Unmet when it is gone: it may have been erased since it was read, and nobody is to be tied to it any more. */
export function keepClick(app_id: string, cid: string): Statement {
  return expectRows(1, sql`select cid from clicks where cid = ${cid} and app_id = ${app_id} ${KEPT}`);
}

export interface AgedIdentity {
  kind: string;
  key: string;
  seen_at: number;
}

export type IdentityExpiry = ReturnType<typeof createIdentityExpiry>;

export function createIdentityExpiry({ query }: Pick<Database, "query">) {
  /** In the order of their keys. */
  function readIdentities(
    app_id: string,
    after: Pick<AgedIdentity, "kind" | "key">,
    limit: number,
  ): Promise<AgedIdentity[]> {
    return query(sql`select kind, key, seen_at from identities
      where app_id = ${app_id} and (kind, key) > (${after.kind}, ${after.key}) order by kind, key limit ${limit}`);
  }

  return { readIdentities };
}

/** Those of them that have not been seen since. */
export function removeIdentities(app_id: string, aged: readonly AgedIdentity[], cutoff: number): Statement[] {
  return [...Map.groupBy(aged, ({ kind }) => kind)].map(
    ([kind, of_kind]) => sql`delete from identities where app_id = ${app_id} and kind = ${kind}
      and key in (${paddedList(of_kind.map(({ key }) => key))}) and seen_at <= ${cutoff}`,
  );
}
