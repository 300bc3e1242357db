// Webhooks that are stopped and turned on again, events that they miss meanwhile, and what a replay does about it: for the
// tests of what is missed. Used by the tests beside server/src/destinations.
import type { EventType } from "#contract/events.ts";
import { createIds } from "../../src/platform/ids.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import { openWorld, START } from "./destinations.ts";
import type { Engine } from "./engines.ts";

const ROWS_AT_ONCE = 1_000;

export async function openStops(engine: Engine) {
  const world = await openWorld(engine);
  const { db, clock, destinations } = world;
  await db.query(sql`delete from events`);
  await db.query(sql`delete from replays`);
  const ids = createIds({ now: () => clock.at, random: (bytes) => void bytes.fill(7) });
  /** Stores events of this moment that nothing fanned out; a second later nothing of the next ones is older. */
  async function addEvents(
    count: number,
    { event = "link.click" as EventType, target = "", platform = "ios", bytes = 0 } = {},
  ) {
    const body = (id: string) =>
      JSON.stringify({ id, data: { platform, ...(bytes > 0 && { text: "x".repeat(bytes) }) } });
    for (let left = count; left > 0; left -= ROWS_AT_ONCE) {
      const values = Array.from({ length: Math.min(left, ROWS_AT_ONCE) }, () => {
        const id = ids.uuid();
        return ["shop", id, id, event, null, target || null, clock.at, body(id)];
      });
      await db.query(
        sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body) values ${rows(values)}`,
      );
    }
    clock.at += 1_000;
  }
  const patch = async (id: string, changes: object) => {
    clock.at += 1_000;
    return destinations.patchWebhook(id, null, changes);
  };
  const missed = async (id: string) => (await destinations.getWebhook(id, null)).missed;
  const countOf = async (id: string) => (await missed(id))?.count ?? 0;
  const turnOffAndOn = async (id: string, events = 0) => {
    await patch(id, { enabled: false });
    if (events > 0) await addEvents(events);
    await patch(id, { enabled: true });
    clock.at += 1;
  };
  /** What a replay does to the first of them. */
  const recover = (id: string, limit = 1_000) =>
    db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
          trigger, created_at)
        select ${id}, position, app_id, event, 'succeeded', 1, 0, 0, 'replay', created_at from events
        where app_id = 'shop' order by position limit ${limit} on conflict do nothing`);
  const insertReplay = (
    id: string,
    target_id = id,
    { until = clock.at, types = '["link.click"]', id: replay_id = "rpl_1" } = {},
  ) =>
    db.query(sql`insert into replays (id, destination_id, target_id, app_id, state, since, until, states,
        missing_events, total, created, succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision,
        created_at, finished_at)
      values (${replay_id}, ${id}, ${target_id}, 'shop', 'done', ${START}, ${until}, '["missing"]', ${types}, 0, 0, 0, 0,
        '', '', 1, 0, 0, 0, ${clock.at}, ${clock.at})`);
  return { ...world, addEvents, patch, missed, countOf, turnOffAndOn, recover, insertReplay };
}
