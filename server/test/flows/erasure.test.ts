// An erasure of a person whose process is killed in the midst of it: the next one goes on, and ends it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Erasure } from "#contract/persons.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 40;
/** Erased before the process is killed. */
const EARLY = 5;

test("a process that is killed while it erases a person costs nothing, and others keep what is theirs", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "linkme-erasure-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const env = { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
  const headers = { authorization: `Bearer ${env.LINKME_ADMIN_TOKEN}` };
  const call = async <Body>(server: ServerProcess, method: "GET" | "POST", path: string, body?: object) => {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    return answer.body;
  };
  const first = await startServer({ dir, env });
  await call(first, "POST", "/api/apps", { id: "shop", name: "Shop", analytics_consent: true });
  const events = ["lovelace", "grace"].flatMap((user_id) =>
    Array.from({ length: EVENTS }, (_, n) => ({ event: "link.app_open", data: { user_id, n } })),
  );
  await call(first, "POST", "/api/apps/shop/events", { events });
  const { id } = await call<Erasure>(first, "POST", "/api/apps/shop/erasures", { user_id: "lovelace" });
  const erasureAt = (server: ServerProcess) => call<Erasure>(server, "GET", `/api/erasures/${id}`);
  await waitUntil(async () => (await erasureAt(first)).events >= EARLY, "the first events to be erased");
  await first.kill9();
  const second = await startServer({ dir, env });
  assert.equal((await erasureAt(second)).state, "running");
  await waitUntil(async () => (await erasureAt(second)).state === "done", "the erasure to end");
  const told: (string | undefined)[] = [];
  for (let path = "/api/apps/shop/events?limit=100"; path !== ""; ) {
    type Page = { items: { data: { user_id?: string } }[]; next_cursor: string | null };
    const { items, next_cursor } = await call<Page>(second, "GET", path);
    told.push(...items.map(({ data }) => data.user_id));
    path = next_cursor === null ? "" : `/api/apps/shop/events?limit=100&cursor=${next_cursor}`;
  }
  const count = (name: string | undefined) => told.filter((one) => one === name).length;
  assert.deepEqual([count(undefined), count("lovelace"), count("grace")], [EVENTS, 0, EVENTS]);
  assert.match(second.stdout(), /"event":"person.erased"/);
  assert.doesNotMatch(second.stdout(), /lovelace/);
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
});
