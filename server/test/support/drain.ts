// When a server has nothing left to do: no click waits in its spool, no delivery is pending. Called by the tests of
// server/test/flows/ and by the chaos run after their load has ended.
import { globSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { ServerProcess } from "./server-process.ts";
import type { Site } from "./site.ts";
import { waitUntil } from "./wait.ts";

/** Leases take most of a minute to run out; asking more often would only take the processors from other tests. */
const POLL_MS = 200;

/** @param servers all processes that have a data folder; the first one answers the API */
export async function waitUntilDrained(servers: [ServerProcess, ...ServerProcess[]], site: Site, timeout_ms: number) {
  const [api] = servers;
  const headers = { authorization: `Bearer ${site.admin_token}` };
  await waitUntil(
    async () => {
      // A click leaves the spool after it is in the database, so this order misses none.
      if (servers.some(({ dir }) => countSpooled(dir) > 0)) return false;
      for (const { id } of site.hooks) {
        const path = `/api/webhooks/${id}`;
        const { body } = await api.request<{ health: { pending: number } }>("GET", path, undefined, headers);
        if (body.health.pending > 0) return false;
      }
      return true;
    },
    "the server to deliver everything",
    { timeout_ms, poll_ms: POLL_MS },
  );
}

/** Clicks in the spools of a data folder. */
export function countSpooled(dir: string): number {
  let count = 0;
  for (const file of globSync("spool*.db", { cwd: dir })) {
    const spool = new DatabaseSync(join(dir, file), { readOnly: true, timeout: 1_000 });
    const hasEntries = spool.prepare("select 1 from sqlite_master where name = 'entries'").get() !== undefined;
    if (hasEntries) count += Number(spool.prepare("select count(*) as n from entries").get()?.["n"]);
    spool.close();
  }
  return count;
}
