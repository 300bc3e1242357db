// The fates of all events of an app, as the API counts them: part by part, and in each part they add up. Called by the tests
// of server/test/flows/ and by the chaos run.
import assert from "node:assert/strict";
import type { ServerProcess } from "./server-process.ts";
import type { Site } from "./site.ts";

interface Part {
  events: number;
  items: { destination_id: string; fates: Record<string, number> }[];
  next_cursor: string | null;
}

export interface Fates {
  events: number;
  /** By webhook. */
  fates: Map<string, Record<string, number>>;
}

/** All parts of all time; in each of them every webhook has as many fates as there are events. */
export async function countFates(server: ServerProcess, site: Site): Promise<Fates> {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  const fates: Fates["fates"] = new Map();
  let events = 0;
  let cursor: string | null = null;
  do {
    const path: string = `/api/apps/${site.app_id}/fates${cursor === null ? "" : `?cursor=${cursor}`}`;
    const { status, body } = await server.request<Part>("GET", path, undefined, headers);
    assert.equal(status, 200, JSON.stringify(body));
    events += body.events;
    for (const { destination_id, fates: counts } of body.items) {
      assert.equal(sumOf(counts), body.events, `${destination_id}: ${JSON.stringify(counts)}`);
      const known = fates.get(destination_id) ?? {};
      for (const [state, count] of Object.entries(counts)) known[state] = (known[state] ?? 0) + count;
      fates.set(destination_id, known);
    }
    cursor = body.next_cursor;
  } while (cursor !== null);
  return { events, fates };
}

export function sumOf(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
