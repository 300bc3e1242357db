// Many rows in every table that grows without end, made in a moment. Called by server/test/conformance/plans.test.ts.
import { WAITS_FOR_TURN } from "../../src/deliveries/turn.ts";
import type { Database } from "../../src/platform/database.ts";
import { sql } from "../../src/platform/sql.ts";

/** So many that reading them all is never the cheapest way, and few enough to be made in a moment. */
const ROWS = 20_000;

/** Events and clicks of an app, and a ledger of them at one destination: most delivered, some failed, some pending. */
export async function fill(
  db: Database,
  { app_id, destination_id }: { app_id: string; destination_id: string },
): Promise<void> {
  const at = Date.UTC(2026, 0, 1);
  const numbers = sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${ROWS})`;
  // As ids are: by time, for the positions of an app begin with it.
  const position = sql`'01900000-0000-7000-8000-' || (100000000000 + i)`;
  await db.query(sql`insert into events (app_id, position, id, event, link_id, created_at, body) ${numbers}
    select ${app_id}, ${position}, ${position}, case when i % 10 = 0 then 'link.claim' else 'link.click' end,
      'lnk_' || (i % 100), cast(${at} as bigint) + i, '{"id":"x"}' from n`);
  await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
      due_at, trigger, created_at) ${numbers}
    select ${destination_id}, ${position}, ${app_id}, 'link.click',
      case when i % 50 = 0 then 'pending' when i % 50 = 1 then 'failed' when i % 50 = 2 then 'canceled' else 'succeeded' end,
      1, 0, 0, case when i % 50 = 0 then cast(${at} as bigint) + i else null end, 'auto', cast(${at} as bigint) + i
    from n`);
  // A backlog that waits for its turns, at a destination of its own.
  await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
      due_at, trigger, created_at, order_key) ${numbers}
    select ${destination_id} || '_backlog', ${position}, ${app_id}, 'link.click', 'pending', 0, 0, 0, cast(${WAITS_FOR_TURN} as bigint), 'auto',
      cast(${at} as bigint) + i, 'lnk_' || (i % 100) from n where i % 4 = 0`);
  await db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
      response_headers, response_snippet, response_truncated) ${numbers}
    select ${destination_id}, ${position}, 1, 'auto', cast(${at} as bigint) + i, 5, 'accepted', '{}', '', 0 from n`);
  // Behind what visitors leave meanwhile, which is folded first.
  await db.query(sql`insert into click_tallies (id, app_id, tallies) ${numbers}
    select 'f' || ${app_id} || (100000000000 + i), ${app_id}, '[]' from n`);
  await db.query(sql`insert into link_tallies (id, tallies) ${numbers}
    select 'f' || ${app_id} || (100000000000 + i), '[]' from n`);
  // What few links add up to. These rows are narrow, so that there have to be more of them.
  for (const [table, unit_ms] of [
    ["click_hours", 3_600_000],
    ["click_days", 86_400_000],
  ] as const) {
    const into = { kind: "statement", parts: [table], values: [] } as const;
    await db.query(sql`insert into ${into} (app_id, link_id, at, clicks, bots) ${numbers}
      select ${app_id}, case when i % 20 = 0 then '' else 'lnk_' || (i % 20) end,
        (cast(${at} as bigint) / ${unit_ms} + i / 20 + part * 1000) * ${unit_ms}, 1, 0
      from n cross join (select 0 as part union all select 1 union all select 2 union all select 3) as s`);
  }
  await db.query(sql`insert into click_parts (app_id, link_id, dimension, at, value, clicks) ${numbers}
    select ${app_id}, case when i % 4 = 0 then '' else 'lnk_' || (i % 4) end, case when i % 3 = 0 then 'os' else 'utm_source' end,
      (cast(${at} as bigint) / 86400000 + i % 400) * 86400000, 'value ' || i, 1 from n`);
  await db.query(sql`insert into links (id, app_id, slug, tags, allow_param_passthrough, force_redirect_web, enabled, internal,
      click_count, created_at, updated_at) ${numbers}
    select ${app_id} || i, ${app_id}, ${app_id} || '-' || i, case when i % 10 = 0 then '["mail"]' end, 0, 0, 1, 0, 0,
      cast(${at} as bigint) + i, 0 from n where exists (select 1 from apps where id = ${app_id})`);
  await db.query(sql`insert into app_events (app_id, id, type, platform, created_at) ${numbers}
    select ${app_id}, ${position}, 'install', 'ios', cast(${at} as bigint) + i from n`);
  await db.query(sql`insert into identities (app_id, kind, key, first_cid, is_shared, seen_at) ${numbers}
    select ${app_id}, case when i % 3 = 0 then 'user' else 'device' end, 'key ' || i, 'c', 0, cast(${at} as bigint) + i from n`);
  await db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, ip_hash, ua_hash, created_at,
      expires_at) ${numbers}
    select ${app_id} || (100000000000 + i), ${app_id}, 'lnk_1', 'ios', '',
      case when i > ${ROWS - 100} then 'h' || (i % 1000) end, case when i > ${ROWS - 100} then 'u' end,
      cast(${at} as bigint) + i, cast(${at} as bigint) + i + 3600000 from n`);
}
