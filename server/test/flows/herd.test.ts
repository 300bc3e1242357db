// A herd: 200,000 retries of one webhook that are due in the same second, under a real server. They go out at the webhook's
// rate, and neither fresh events of the same webhook nor other webhooks wait for them. Counted in requests, not in time.
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { Webhook } from "#contract/destinations.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";

const HERD = 200_000;
const RATE_PER_SECOND = 200;
const FRESH = 8;
/** What a lane keeps in memory at this rate, twice: what is queued before it, and what is claimed with it. */
const BETWEEN_MAX = 200;

async function furnish(server: ServerProcess, url: string) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const call = async <Body>(method: string, path: string, body?: unknown) => {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, JSON.stringify(answer));
    return answer.body;
  };
  const app = (await call<{ id: string }>("POST", "/api/apps", { name: "Shop" })).id;
  const hook = (path: string, event: string, settings: object = {}) =>
    call<Webhook>("POST", `/api/apps/${app}/webhooks`, { url: `${url}${path}`, events: [event], ...settings });
  const herd = await hook("/herd", "link.claim", { rate_per_second: RATE_PER_SECOND });
  await hook("/other", "link.app_open");
  return { app, herd_id: herd.id };
}

/** Each failed once, a minute ago, and all of them are due again since the same moment. */
function insertHerd(dir: string, app_id: string, destination_id: string): void {
  const database = new DatabaseSync(join(dir, "linkme.db"));
  const now = Date.now();
  const numbers = `with recursive n (i) as (select 1 union all select i + 1 from n where i < ${HERD})`;
  const position = "printf('00000000-0000-7000-8000-%012x', i)";
  database.exec("begin");
  database
    .prepare(`${numbers} insert into events (app_id, position, id, event, link_id, target_id, created_at, body)
      select ?, ${position}, ${position}, 'link.claim', null, null, ?, '{"id":"' || ${position} || '"}' from n`)
    .run(app_id, now - 60_000);
  database
    .prepare(`${numbers} insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures,
      leased, due_at, trigger, created_at)
      select ?, ${position}, ?, 'link.claim', 'pending', 'down', 1, 1, 0, ?, 'auto', ? from n`)
    .run(destination_id, app_id, now - 30_000, now - 60_000);
  database.exec("commit");
  database.close();
}

test(`${HERD} retries due at once keep neither fresh events nor other webhooks waiting`, async () => {
  const arrivals: string[] = [];
  const receiver = await startReceiver(({ path, body }) => {
    arrivals.push(`${path} ${JSON.parse(body.toString()).id}`);
    return { status: 204 };
  });
  after(() => receiver.close());
  const first = await startServer();
  const { app, herd_id } = await furnish(first, receiver.url);
  await first.stop();
  insertHerd(first.dir, app, herd_id);
  const server = await startServer({ dir: first.dir, env: { LINKME_ADMIN_TOKEN: first.admin_token } });
  const headers = { authorization: `Bearer ${server.admin_token}` };
  await receiver.waitFor(2 * RATE_PER_SECOND, "the herd");
  for (let n = 0; n < FRESH; n++) {
    for (const [event, path] of [
      ["link.claim", "/herd"],
      ["link.app_open", "/other"],
    ]) {
      const before = arrivals.length;
      const url = `/api/apps/${app}/events`;
      const answer = await server.request<{ accepted: string[] }>("POST", url, { event, data: { n } }, headers);
      assert.equal(answer.status, 202);
      const wanted = `${path} ${answer.body.accepted[0]}`;
      await receiver.waitFor(() => arrivals.includes(wanted, before), `a fresh event at ${path}`);
      const between = arrivals.indexOf(wanted, before) - before;
      assert.ok(between <= BETWEEN_MAX, `${between} requests before a fresh event at ${path}`);
    }
  }
  const shown = await server.request<Webhook>("GET", `/api/webhooks/${herd_id}`, undefined, headers);
  const { pending, rate_limit_per_second, limited_because } = shown.body.health;
  assert.ok(pending > HERD / 2, "and most of the herd still waits");
  assert.deepEqual([rate_limit_per_second, limited_because], [RATE_PER_SECOND, null]);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  const sent = arrivals.filter((one) => one.startsWith("/herd"));
  assert.equal(new Set(sent).size, sent.length, "each once");
});
