// Links as CSV over HTTP, on both engines: what is exported is imported as the same links, and what is wrong is told by its line.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { IMPORT_ERRORS_MAX, type ImportAnswer } from "#contract/link-csv.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";
import { EXPORTS_MAX, linkCsvHandlers } from "./link-csv.ts";

const CSV = { "content-type": "text/csv" };

forEachEngine((engine) => {
  const start = async (env: Record<string, string> = {}) => {
    const api = await openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test", ...env });
    const app_id = await api.createApp();
    return { api, app_id };
  };
  const send = (api: TestApi, app_id: string, file: string | Buffer, headers: Record<string, string> = CSV) =>
    api.call("POST", `/api/apps/${app_id}/links/import`, file, { headers });
  const importFile = async (api: TestApi, app_id: string, file: string): Promise<ImportAnswer> => {
    const { status, body } = await send(api, app_id, file);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const exportFile = async (api: TestApi, app_id: string): Promise<string> => {
    const { status, body, headers } = await api.call("GET", `/api/apps/${app_id}/links/export`);
    assert.deepEqual([status, headers["content-type"]], [200, "text/csv; charset=utf-8"]);
    return body;
  };

  test("what is exported is imported as the same links, over many pages", async () => {
    const { api, app_id } = await start();
    await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: "go.shop.example" });
    const full = {
      ...{ slug: "-full", deep_link_path: "/p?a=1", og_title: '=cmd|" /C calc"', og_description: "two\nlines, with ß" },
      ...{ utm: { utm_source: "mail" }, utm_override: { utm_source: true }, custom_data: { n: 1 }, tags: ["a", "b c"] },
      ...{ expires_at: "2099-01-01T00:00:00Z", click_limit: 3, expired_url: "https://shop.example/over" },
      ...{ enabled: 0, internal: 1, allow_param_passthrough: 1, ios_custom_url: "shop://p" },
    };
    await api.call("POST", "/api/links", { app_id, ...full });
    const links = Array.from({ length: 450 }, (_, n) => ({ slug: `s${n}`, og_title: `'${n}` }));
    await api.call("POST", `/api/apps/${app_id}/links/bulk`, { links });
    const file = await exportFile(api, app_id);
    assert.equal(file.split("\r\n").length, 453);
    assert.match(file, /,https:\/\/go\.shop\.example\/s0,0,0,,20/);
    const readAll = async () => {
      const rows = await api.db.query<Record<string, unknown>>(sql`select * from links order by slug`);
      return rows.map(({ id, app_id: _, domain_id, created_at, updated_at, ...rest }) => rest);
    };
    const before = await readAll();
    assert.equal(before.length, 451);
    assert.deepEqual([(await importFile(api, app_id, file)).failed, (await readAll()).length], [451, 451]);
    await api.call("DELETE", `/api/apps/${app_id}`);
    const other = await api.createApp();
    const answer = await importFile(api, other, file);
    assert.deepEqual([answer.created, answer.failed, answer.errors], [451, 0, []]);
    assert.deepEqual(await readAll(), before);
  });

  test("a row that is refused is told by its line and field, and keeps no other back", async () => {
    const { api, app_id } = await start({ LINKME_LINKS_PER_APP: "4" });
    const file = [
      "\ufeffog_title, slug ,web_fallback_url,click_limit,id",
      '"many\r\nlines",one,https://shop.example/,,lnk_1',
      "x,two,shop,,",
      "x,one,,,",
      "x,three,,0,",
      "x,four",
      ",,,7,",
      "x,api,,many,",
      "x,five,,,",
      "x,six,,,",
      "x,seven,,,",
    ].join("\r\n");
    const answer = await importFile(api, app_id, file);
    assert.deepEqual(
      answer.errors.map(({ line, error, details }) => [line, error, ...(details ?? []).map(({ path }) => path)]),
      [
        [4, "invalid_request", "web_fallback_url"],
        [5, "slug_taken", "slug"],
        [6, "invalid_request", "click_limit"],
        [7, "invalid_request"],
        [9, "invalid_request", "slug", "click_limit"],
        [12, "conflict"],
      ],
    );
    assert.deepEqual([answer.created, answer.failed], [4, 6]);
    const { body: one } = await api.call("GET", "/api/links/one");
    assert.deepEqual([one.og_title, one.internal, one.enabled], ["many\r\nlines", 0, 1]);
  });

  test("a large file is taken in one go, and of its errors the first ones are told", async () => {
    const { api, app_id } = await start();
    const lines = Array.from({ length: 2_500 }, (_, n) => `s${n % 1_200},${n % 1_200 === 7 ? "0" : ""}`);
    const answer = await importFile(api, app_id, `slug,click_limit\n${lines.join("\n")}\n`);
    const bad = 3;
    assert.deepEqual([answer.created, answer.failed, answer.errors.length], [1_199, 1_301, IMPORT_ERRORS_MAX]);
    assert.equal(
      answer.errors.filter(({ error }) => error === "invalid_request").length,
      bad - 1,
      "the third is behind",
    );
    assert.deepEqual(answer.errors[1], { ...answer.errors[1], line: 1_202, error: "slug_taken" });
  });

  test("what is no such file is refused", async () => {
    const { api, app_id } = await start();
    for (const [file, headers, status, error] of [
      ["", CSV, 400, "invalid_request"],
      ["slugg\nx\n", CSV, 400, "invalid_request"],
      [Buffer.from("slug\nx\n", "utf16le"), CSV, 400, "invalid_request"],
      [Buffer.from([0x73, 0xff]), CSV, 400, "invalid_request"],
      ["slug\nx\n", { "content-type": "application/json" }, 415, "unsupported_media_type"],
      ["slug\nx\n", { "content-type": "text/plain" }, 415, "unsupported_media_type"],
      ["slug\nx\n", { ...CSV, "content-encoding": "br" }, 415, "unsupported_media_type"],
      [`slug\n${"x".repeat(1024 * 1024)}`, CSV, 413, "too_large"],
    ] as const) {
      const answer = await send(api, app_id, file, headers);
      assert.deepEqual([answer.status, answer.body.error], [status, error], JSON.stringify(answer.body));
      assert.equal(typeof answer.body.request_id, "string");
    }
  });
});

/** More than the sockets of a machine hold for a client that does not read. */
const STUCK = { rows: 2_000, text: "€".repeat(2_500) };

async function openLarge() {
  const api = await openApi();
  const app_id = await api.createApp();
  await api.db.query(sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${STUCK.rows})
    insert into links (id, app_id, slug, og_title, allow_param_passthrough, force_redirect_web, enabled, internal, click_count,
      created_at, updated_at)
    select 'lnk_' || i, ${app_id}, 's' || i, ${STUCK.text}, 0, 0, 1, 0, 0, i, 0 from n`);
  return { api, app_id };
}

test("so many exports are sent at once, and one that is left makes room", async () => {
  const { api, app_id } = await openLarge();
  const address = await api.server.app.listen({ port: 0, host: "127.0.0.1" });
  const headers = { authorization: `Bearer ${await api.createKey(app_id)}` };
  const open = async (): Promise<IncomingMessage> => {
    const asked = get(`${address}/api/apps/${app_id}/links/export`, { headers });
    const [response] = await once(asked, "response");
    return response;
  };
  const opened = await Promise.all(Array.from({ length: EXPORTS_MAX }, open));
  assert.ok(opened.every(({ statusCode }) => statusCode === 200));
  const refused = await open();
  assert.deepEqual([refused.statusCode, refused.headers["retry-after"]], [503, "5"]);
  refused.resume();
  opened[0]?.destroy();
  let again = refused;
  await waitUntil(async () => {
    again = await open();
    if (again.statusCode === 503) again.resume();
    return again.statusCode === 200;
  }, "the place to be free");
  let bytes = 0;
  for await (const chunk of again) bytes += chunk.length;
  assert.ok(bytes > STUCK.rows * STUCK.text.length * 3, "a client that reads gets all");
  for (const response of opened) response.destroy();
});

test("an export whose client reads nothing is left, and said", async () => {
  const { api, app_id } = await openLarge();
  const said = Promise.withResolvers<unknown>();
  const handlers = linkCsvHandlers({
    db: api.db,
    links: { createMany: async () => [] },
    publicUrl: () => "http://links.test",
    log: (event, fields) => said.resolve([event, fields["app_id"]]),
    stalled_max_ms: 50,
  });
  const server = createServer(async (_, raw) => {
    // Of a call it reads these two alone.
    const call = { params: { app_id }, reply: { raw } } as unknown as Parameters<typeof handlers.exportLinks>[0];
    (await handlers.exportLinks(call)).pipe(raw);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // It listens on a port, so it has one.
  const { port } = server.address() as AddressInfo;
  const [response] = await once(get({ port, host: "127.0.0.1" }), "response");
  assert.deepEqual(await said.promise, ["export.failed", app_id]);
  response.destroy();
  server.close();
});
