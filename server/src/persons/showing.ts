// What is stored of a person, as its rows are shown. Pure; called by persons.ts.
import type { Platform, StoredEvent } from "#contract/events.ts";
import type { PersonData } from "#contract/persons.ts";
import { googleIdsOf, type IdentityRow } from "../claims/identity.ts";
import type { PersonClick } from "../claims/persons-store.ts";
import type { EventRow } from "../events/event.ts";
import { parseMap } from "../links/link.ts";
import { isEmpty } from "../links/query.ts";
import { timeText } from "../platform/time-text.ts";

export function showClick(row: PersonClick): PersonData["clicks"][number] {
  const { cid, link_id, dest_url, claim_type, user_id, os_version, locale } = row;
  // Written by click.ts, whose visitors have one.
  const platform = row.platform as Platform;
  const shown: PersonData["clicks"][number] = {
    cid,
    link_id,
    platform,
    dest_url,
    created_at: timeText(row.created_at),
  };
  if (row.claimed_at !== null) shown.claimed_at = timeText(row.claimed_at);
  if (claim_type !== null) shown.claim_type = claim_type;
  if (user_id !== null) shown.user_id = user_id;
  if (os_version !== null) shown.os_version = os_version;
  if (locale !== null) shown.locale = locale;
  for (const name of ["utm", "params"] as const) {
    const map = parseMap(row[name]);
    if (!isEmpty(map)) shown[name] = { ...map };
  }
  if (row.ga !== null) shown.ga = googleIdsOf(row.ga);
  return shown;
}

export function showEvent({ body }: EventRow): StoredEvent {
  // Written by composeEvent, or as a tombstone.
  return JSON.parse(body) as StoredEvent;
}

export function showIdentity({
  kind,
  key,
  user_id,
  first_cid,
  ga,
  seen_at,
}: IdentityRow): PersonData["identities"][number] {
  const shown: PersonData["identities"][number] = { kind, seen_at: timeText(seen_at) };
  const user = kind === "user" ? key : user_id;
  if (user !== null) shown.user_id = user;
  if (first_cid !== null) shown.first_cid = first_cid;
  if (ga !== null) shown.ga = googleIdsOf(ga);
  return shown;
}
