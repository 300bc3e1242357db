// A database that goes away under visitors: links go on redirecting with tokens that are durable, the process may even be
// killed meanwhile, and when the database is back every one of these clicks is there, with its events, exactly once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startCluster } from "../support/postgres.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const AGENT = { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)" };

async function click(server: ServerProcess): Promise<string | null> {
  const { status, headers } = await server.request("GET", "/hello", undefined, AGENT);
  assert.equal(status, 302);
  return /cid=([0-9a-f]{32})/.exec(String(headers["location"]))?.[1] ?? null;
}

async function clickOften(server: ServerProcess, count: number): Promise<string[]> {
  const cids: string[] = [];
  for (let left = count; left > 0; left -= 10) {
    const found = await Promise.all(Array.from({ length: 10 }, () => click(server)));
    cids.push(...found.filter((cid) => cid !== null));
  }
  return cids;
}

test("clicks of an outage are durable at once and stored once when it is over, across a kill", async () => {
  const cluster = await startCluster();
  const env = { DATABASE_URL: cluster.url, LINKME_ROLE: "edge,api" };
  let server = await startServer({ env });
  const { dir, admin_token } = server;
  const admin = () => ({ authorization: `Bearer ${admin_token}` });
  try {
    const { body: app } = await server.request<{ id: string }>("POST", "/api/apps", { name: "Shop" }, admin());
    const input = { slug: "hello", redirects: { ios: "shop://open" } };
    await server.request("POST", `/api/apps/${app.id}/links`, input, admin());
    const before = await clickOften(server, 20);
    assert.equal(before.length, 20);

    await cluster.stop("immediate");
    const during = await clickOften(server, 200);
    assert.ok(during.length > 0, "visitors get tokens while the database is away");
    const claim = await server.request<{ error: string }>("GET", `/api/deeplink?cid=${during[0]}`, undefined, {
      "x-app-id": app.id,
    });
    assert.deepEqual([claim.status, claim.body.error], [503, "temporarily_unavailable"]);
    assert.ok(claim.headers["retry-after"]);
    await server.kill9();

    await cluster.start();
    server = await startServer({ dir, env: { ...env, LINKME_ADMIN_TOKEN: admin_token } });
    const cids = [...before, ...during];
    const link = () => server.request<{ click_count: number }>("GET", "/api/links/hello", undefined, admin());
    const isDrained = () => server.stdout().includes("spool.drained");
    await waitUntil(
      async () => isDrained() && (await link()).body.click_count >= cids.length,
      "the spool to be drained",
    );
    const claimed = await Promise.all(
      cids.map((cid) => server.request("GET", `/api/deeplink?cid=${cid}`, undefined, { "x-app-id": app.id })),
    );
    assert.deepEqual(new Set(claimed.map(({ status }) => status)), new Set([200]));
    const counts: Record<string, number> = {};
    for (let cursor = ""; ; ) {
      const page = await server.request<{ items: { event: string }[]; next_cursor: string | null }>(
        "GET",
        `/api/apps/${app.id}/events?limit=100${cursor}`,
        undefined,
        admin(),
      );
      for (const { event } of page.body.items) counts[event] = (counts[event] ?? 0) + 1;
      if (page.body.next_cursor === null) break;
      cursor = `&cursor=${page.body.next_cursor}`;
    }
    // A visitor who was sent on without a token, for the spool was slow, may have been counted all the same.
    const { click_count } = (await link()).body;
    assert.ok(click_count >= cids.length && click_count <= 220, `${click_count} clicks of ${cids.length} tokens`);
    const expected = { "link.claim": cids.length, "link.click": click_count, "link.token_created": click_count };
    assert.deepEqual(counts, expected);
  } finally {
    await server.kill9();
    await cluster.remove();
  }
});
