// Waits until every delivery is settled, then reads through the API what became of each event. Called by main.ts after
// the journey; waits for a bounded time and returns what there is, for the verdict names what is missing.
import { setTimeout as pause } from "node:timers/promises";
import { DeliveriesPage, DeliveryDetail } from "#contract/deliveries.ts";
import { EventsPage, EventWithFates } from "#contract/events.ts";
import { PAGE_LIMIT_MAX } from "#contract/fields.ts";
import type { ServerProcess } from "../../server/test/support/server-process.ts";
import { call } from "./client.ts";
import type { Promised } from "./verdict.ts";

const POLL_MS = 100;
/** First attempt, a retry after a second, and much room for a slow machine. */
const SETTLE_TIMEOUT_MS = 15_000;

export type Server = Pick<ServerProcess, "request" | "admin_token">;

/**
 * @param count how many deliveries there must be in the end
 * @param watch_ms how long to go on afterwards: an event that is delivered once too often comes with the next retry
 */
export async function waitUntilSettled(
  server: Server,
  { webhook_id }: Promised,
  { count, watch_ms }: { count: number; watch_ms: number },
): Promise<void> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const { items } = await read(
      server,
      `/api/webhooks/${webhook_id}/deliveries?limit=${PAGE_LIMIT_MAX}`,
      DeliveriesPage,
    );
    if (items.length >= count && items.every(({ state }) => state !== "pending")) break;
    await pause(POLL_MS);
  }
  await pause(watch_ms);
}

/** A page is far more than the demo makes; what is beyond it would be too many in any case. */
export async function observe(
  server: Server,
  { app_id, webhook_id }: Promised,
): Promise<{ deliveries: DeliveryDetail[]; events: EventWithFates[] }> {
  const limit = `limit=${PAGE_LIMIT_MAX}`;
  const delivered = await read(server, `/api/webhooks/${webhook_id}/deliveries?${limit}`, DeliveriesPage);
  const stored = await read(server, `/api/apps/${app_id}/events?${limit}`, EventsPage);
  const deliveries: DeliveryDetail[] = [];
  const events: EventWithFates[] = [];
  for (const { id } of delivered.items) deliveries.push(await read(server, `/api/deliveries/${id}`, DeliveryDetail));
  for (const { id } of stored.items) events.push(await read(server, `/api/events/${id}`, EventWithFates));
  return { deliveries, events };
}

async function read<Schema extends Parameters<typeof call>[1]["answer"]>(server: Server, path: string, answer: Schema) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  return (await call(server, { method: "GET", path, headers, status: 200, answer })).body;
}
