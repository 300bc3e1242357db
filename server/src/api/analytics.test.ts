// What visitors do and what the API then says of it, over the whole server.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openApi } from "../../test/support/api.ts";
import { composeCountries } from "../../test/support/mmdb.ts";
import { PHONE } from "../../test/support/site.ts";
import { waitUntil } from "../../test/support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "linkme-analytics-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const countries = join(directory, "countries.mmdb");
// Injected requests come from 127.0.0.1.
writeFileSync(countries, composeCountries({ 127: "NZ" }));
// What clicks add up to is counted by a dispatcher.
const api = await openApi({ LINKME_ROLE: "edge,api,dispatcher", LINKME_GEOIP_DATABASE: countries });

async function shop() {
  const app_id = await api.createApp();
  const create = async (slug: string) => {
    const redirects = { ios: "shop://open", web: "https://shop.example/" };
    const input = { slug: `${slug}-${app_id.slice(-8)}`, redirects, allowParamPassthrough: true };
    const { status, body } = await api.call("POST", `/api/apps/${app_id}/links`, input);
    assert.equal(status, 201, JSON.stringify(body));
    return body;
  };
  const ask = async (query = "") => (await api.call("GET", `/api/apps/${app_id}/analytics?${query}`)).body;
  const open = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    api.call(method, path, undefined, { token: null, headers: { "user-agent": PHONE, ...headers } });
  return { app_id, spring: await create("spring"), autumn: await create("autumn"), ask, open };
}

test("clicks are counted by day, hour and property, with bots apart", async () => {
  const { spring, autumn, ask, open } = await shop();
  const from = { referer: "https://news.example/today?secret=1" };
  assert.equal((await open(`/${spring.slug}?utm_source=mail&utm_campaign=march`, from)).status, 302);
  await open(`/${spring.slug}?utm_source=mail`);
  await open(`/${autumn.slug}`);
  await open(`/${spring.slug}`, {}, "HEAD");
  await open(`/${spring.slug}`, { "user-agent": "Slackbot-LinkExpanding 1.0" });
  await open(`/${spring.slug}`, { "user-agent": "Slackbot-LinkExpanding 1.0" }, "HEAD");
  await waitUntil(async () => (await ask()).totals.clicks === 3, "the clicks to be counted");
  await waitUntil(async () => (await ask()).totals.bots === 1, "the bot to be counted");
  for (const query of ["", "by=hour"]) {
    const all = await ask(query);
    assert.deepEqual(all.totals, { clicks: 3, bots: 1 });
    assert.equal(
      all.series.reduce((sum: number, one: { clicks: number }) => sum + one.clicks, 0),
      3,
    );
    assert.equal(all.series.length, query === "" ? 30 : 24);
    assert.equal(all.top, null);
    assert.deepEqual((await ask(`${query}&link_id=${spring.id}`)).totals, { clicks: 2, bots: 1 });
    assert.deepEqual((await ask(`${query}&link_id=${autumn.slug}`)).totals, { clicks: 1, bots: 0 });
  }
  const top = async (dimension: string, query = "") => (await ask(`dimension=${dimension}&${query}`)).top;
  const none = { other: 0, unknown: 0 };
  assert.deepEqual(await top("platform"), { dimension: "platform", values: [{ value: "ios", clicks: 3 }], ...none });
  assert.deepEqual(await top("country"), { dimension: "country", values: [{ value: "NZ", clicks: 3 }], ...none });
  assert.deepEqual((await top("utm_source")).values, [{ value: "mail", clicks: 2 }]);
  assert.equal((await top("utm_source")).unknown, 1);
  assert.deepEqual((await top("utm_campaign", `link_id=${spring.id}`)).values, [{ value: "march", clicks: 1 }]);
  assert.deepEqual((await top("referrer")).values, [{ value: "news.example", clicks: 1 }]);
});

test("values beyond the limit are the others", async () => {
  const { spring, ask, open } = await shop();
  for (const source of ["a", "b", "b", "c"]) await open(`/${spring.slug}?utm_source=${source}`);
  await waitUntil(async () => (await ask()).totals.clicks === 4, "the clicks to be counted");
  const { top } = await ask("dimension=utm_source&limit=1");
  assert.deepEqual(top, { dimension: "utm_source", values: [{ value: "b", clicks: 2 }], other: 2, unknown: 0 });
});

test("whatever a visitor writes into the query is counted and breaks nothing", async () => {
  const { spring, ask, open } = await shop();
  for (const source of ["%00", "%F0%9F%98%80", "%E2%80%AE", "a%0Ab", "x".repeat(400), "%27%3B--"]) {
    assert.equal((await open(`/${spring.slug}?utm_source=${source}`)).status, 302);
  }
  await waitUntil(async () => (await ask()).totals.clicks === 6, "the clicks to be counted");
  const { top } = await ask("dimension=utm_source");
  assert.equal(top.values.length, 5);
  assert.equal(top.unknown, 1);
});

test("a link of another app, or one that is not there, does not exist", async () => {
  const [one, other] = [await shop(), await shop()];
  for (const link_id of [other.spring.id, other.spring.slug, "lnk_none", "not%20a%20slug"]) {
    const { status } = await api.call("GET", `/api/apps/${one.app_id}/analytics?link_id=${link_id}`);
    assert.equal(status, 404, link_id);
  }
});

test("a question that cannot be answered names the field and what is accepted", async () => {
  const { app_id } = await shop();
  for (const [query, path, message] of [
    ["since=yesterday", "since", /ISO 8601/],
    ["by=week", "by", /day or hour/],
    ["dimension=colour", "dimension", /one of platform, os, browser/],
    ["dimension=os&limit=101", "limit", /from 1 to 100/],
    ["dimension=os&limit=0", "limit", /from 1 to 100/],
    ["by=hour&dimension=os", "dimension", /leave out/],
    ["since=2020-01-01T00:00:00Z", "since", /at most 400 days/],
    ["link=x", "link", /./],
  ] as const) {
    const { status, body } = await api.call("GET", `/api/apps/${app_id}/analytics?${query}`);
    assert.equal(status, 400, query);
    const detail = body.details.find((one: { path: string }) => one.path === path);
    assert.match(detail?.message ?? JSON.stringify(body), message, query);
  }
});
