// SQL that tells whose something is, by its id alone: for a key without the right to it, which is not to learn of what other
// apps have. Called by accounts.ts.
import type { Database } from "../platform/database.ts";
import { type Statement, sql } from "../platform/sql.ts";

/** What a path names by `{id}`, by the segment before it. A delivery is its webhook's (access.ts). */
export type OwnedKind = keyof typeof OWNED;

const ofDestination = (id: string, app_id: string) =>
  sql`select 1 as own from destinations where id = ${id} and app_id = ${app_id}`;

/** Each asks by a key of its table. */
const OWNED = {
  webhooks: ofDestination,
  destinations: ofDestination,
  replays: (id: string, app_id: string) => sql`select 1 as own from replays where id = ${id} and app_id = ${app_id}`,
  keys: (id: string, app_id: string) => sql`select 1 as own from api_keys where id = ${id} and app_id = ${app_id}`,
  domains: (id: string, app_id: string) => sql`select 1 as own from domains where id = ${id} and app_id = ${app_id}`,
  erasures: (id: string, app_id: string) => sql`select 1 as own from erasures where id = ${id} and app_id = ${app_id}`,
  "utm-presets": (id: string, app_id: string) =>
    sql`select 1 as own from utm_presets where id = ${id} and app_id = ${app_id}`,
  links: (id: string, app_id: string) => sql`select 1 as own from links where id = ${id} and app_id = ${app_id}
    union all select 1 as own from links where slug = ${id} and app_id = ${app_id}`,
  // Of those that were given theirs from outside, the index knows.
  events: (id: string, app_id: string) => sql`select 1 as own from events where app_id = ${app_id} and position = ${id}
    union all select 1 as own from events where id = ${id} and app_id = ${app_id} and id <> position`,
} satisfies Record<string, (id: string, app_id: string) => Statement>;

export async function isOwn({ query }: Pick<Database, "query">, kind: OwnedKind, id: string, app_id: string) {
  return (await query(OWNED[kind](id, app_id))).length > 0;
}
