// What one app may never learn of another one, nor change about it, by any id in any call: the ids in paths, queries and bodies
// are taken from the route table and its schemas, and each is filled with the other app's. An id that is added is tested
// too, or fails here until it says what it names.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { z } from "zod";
import type { Route } from "#contract/route.ts";
import { ROUTES, type RouteName } from "#contract/routes.ts";
import { type Answer, openApi } from "../../test/support/api.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { cidOf, PHONE } from "../../test/support/site.ts";
import { BEFORE, bodiesOf, createTenant, pathOf, sendTo } from "../../test/support/tenants.ts";
import { startGoogle } from "../../test/support/vendors/google.ts";
import { AppEventBody } from "../claims/app-event.ts";
import { sql } from "../platform/sql.ts";

const MARK = "OnlyTheirs";
const HOST = "127.0.0.1:8080";
const NAMES = Object.keys(ROUTES) as RouteName[];
const SDK = NAMES.filter((name) => ROUTES[name].scope === "sdk");
const MANAGED = NAMES.filter((name) => !["public", "sdk"].includes(ROUTES[name].scope));

const receiver = await startReceiver();
after(() => receiver.close());
const endpoint = `${receiver.url}/webhooks`;
const google = await startGoogle();
after(() => google.close());
const env = { LINKME_EGRESS_ALLOW: "127.0.0.0/8", LINKME_TRUSTED_PROXIES: "127.0.0.0/8" };
const api = await openApi({ ...env, LINKME_PUBLIC_URL: "http://links.test" }, { google: google.addresses });
const BODIES = bodiesOf(endpoint);
const mine = await createTenant(api, endpoint);
const theirs = await createTenant(api, `${endpoint}/${MARK}`, MARK);
const slug = "theirs";
await api.call("POST", `/api/apps/${theirs.app_id}/links`, {
  slug,
  deepLink: `/${MARK}`,
  redirects: { ios: "x://open" },
});
const bundle = `com.example.${MARK}`;
await api.call("PATCH", `/api/apps/${theirs.app_id}`, { ios_bundle_id: bundle });
const cid = await clickTheirs();

/** What an id of the other app is, by the name of the property that takes it. */
const THEIRS: Record<string, string> = {
  app_id: theirs.app_id,
  id: theirs.ids["/api/events/{id}"] ?? "",
  event_id: theirs.ids["/api/events/{id}"] ?? "",
  link_id: theirs.ids["/api/links/{id}"] ?? "",
  linkId: theirs.ids["/api/links/{id}"] ?? "",
  destination_id: theirs.ids["/api/webhooks/{id}"] ?? "",
  target_id: theirs.ids["/api/webhooks/{id}"] ?? "",
  webhook_id: theirs.ids["/api/webhooks/{id}"] ?? "",
  utm_preset_id: theirs.ids["/api/utm-presets/{id}"] ?? "",
  utmPresetId: theirs.ids["/api/utm-presets/{id}"] ?? "",
  ios_bundle_id: bundle,
  bundleId: bundle,
  cid,
};
/** They name nothing of this server: a team at Apple, a user of whoever sends the event, a name for campaigns, a
 * property of Google. */
const OF_OTHERS = ["ios_team_id", "userId", "user_id", "device_id", "utm_id", "property_id", "stream_id"];
/** Where the route takes anything, what it reads. */
const READ: Partial<Record<RouteName, z.ZodType>> = { recordAppEvent: AppEventBody };

async function clickTheirs(): Promise<string> {
  const headers = { host: "links.test", "user-agent": PHONE, "x-forwarded-for": "203.0.113.7" };
  const answer = await api.call("GET", `/${slug}`, undefined, { token: null, headers });
  return cidOf(answer.headers["location"]) ?? assert.fail("their visitor has no token");
}

interface Place {
  name: RouteName;
  part: "query" | "body";
  /** Names from the outside in; null stands for a list's first. */
  path: (string | null)[];
}

/** Every property of a call's query and body that names something by its id. */
const PLACES: Place[] = NAMES.flatMap((name) => {
  const { query, body }: Route = ROUTES[name];
  return (["query", "body"] as const).flatMap((part) => {
    const schema = part === "query" ? query : (READ[name] ?? body);
    if (schema === undefined) return [];
    const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any", reused: "inline" });
    return idsIn(json as JsonSchema, json as JsonSchema).map((path) => ({ name, part, path }));
  });
});

interface JsonSchema {
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
}

function idsIn(schema: JsonSchema, root: JsonSchema, depth = 0): (string | null)[][] {
  // A filter may hold filters.
  if (depth > 6) return [];
  const { $ref } = schema;
  const target = $ref === undefined ? undefined : $ref === "#" ? root : root.$defs?.[$ref.replace("#/$defs/", "")];
  const parts = [
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
    ...(schema.allOf ?? []),
    ...(target ? [target] : []),
  ];
  const found = parts.flatMap((part) => idsIn(part, root, depth + 1));
  if (schema.items !== undefined) found.push(...idsIn(schema.items, root, depth + 1).map((path) => [null, ...path]));
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (/^(?:c?id|.*_id|.*Id)$/.test(name)) found.push([name]);
    else found.push(...idsIn(property, root, depth + 1).map((path) => [name, ...path]));
  }
  return [...new Map(found.map((path) => [path.join(), path])).values()];
}

/** The value, with the property at this place set. */
function withId(value: unknown, [first, ...rest]: (string | null)[], id: string): unknown {
  if (first === undefined) return id;
  if (first === null) return [withId(Array.isArray(value) ? value[0] : undefined, rest, id)];
  const known = typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
  return { ...known, [first]: withId(Object.entries(known).find(([name]) => name === first)?.[1], rest, id) };
}

/** What the database holds of the other app, row by row. */
async function stateOfTheirs(): Promise<string> {
  const tables = await api.db.query<{ name: string }>(sql`select name from sqlite_master where type = 'table'`);
  const webhook_id = theirs.ids["/api/webhooks/{id}"] ?? "";
  const owners = { app_id: theirs.app_id, destination_id: webhook_id, target_id: webhook_id };
  const rows: string[] = [];
  for (const { name } of tables) {
    if (name.startsWith("sqlite_")) continue;
    const all = await api.db.query<Record<string, unknown>>({
      kind: "statement",
      parts: [`select * from ${name}`],
      values: [],
    });
    const of = all.filter((row) =>
      Object.entries(owners).some(
        ([column, id]) => row[column] === id || (name === `${column.slice(0, -3)}s` && row["id"] === id),
      ),
    );
    rows.push(...of.map((row) => `${name} ${JSON.stringify(row)}`));
  }
  assert.ok(rows.length > 10, "an app with one of everything");
  return rows.sort().join("\n");
}

/** The ids that it was asked with may stand in the answer, and nothing else of the other app. */
function assertTellsNothing(answer: Answer, what: string, ...asked: string[]): void {
  const text = asked.reduce(
    (left, id) => left.replaceAll(id, ""),
    JSON.stringify(answer.body) + JSON.stringify(answer.headers),
  );
  for (const known of [MARK, theirs.app_id, ...Object.values(theirs.ids)]) {
    assert.ok(!text.includes(known), `${what} tells ${known}: ${text}`);
  }
  assert.ok(answer.status < 500, `${what}: ${answer.status} ${text}`);
}

async function untouched(work: () => Promise<void>): Promise<void> {
  const before = await stateOfTheirs();
  await work();
  assert.equal(await stateOfTheirs(), before, "nothing of the other app has changed");
}

test("the ids in queries and bodies are found in the schemas of the routes, and each is known", () => {
  const found = PLACES.map(({ name, part, path }) => `${name} ${part} ${path.filter((one) => one !== null).join(".")}`);
  for (const one of [
    "createReplay body target_id",
    "createReplay body link_id",
    "resendDelivery body destination_id",
    "getEvent query app_id",
    "listEvents query link_id",
    "listDeliveries query event_id",
    "ingestEvents body events.id",
    "resolveToken query cid",
    "recordAppEvent body linkId",
  ]) {
    assert.ok(found.includes(one), `${one} among ${found.join(", ")}`);
  }
  const unknown = PLACES.filter(({ path }) => {
    const name = path.at(-1) ?? "";
    return !(name in THEIRS) && !OF_OTHERS.includes(name ?? "");
  });
  assert.deepEqual(unknown, [], "say what it names");
});

test("another app's id in the path of any call tells and changes nothing", () =>
  untouched(async () => {
    for (const name of MANAGED.filter((one) => (ROUTES[one] satisfies Route as Route).params !== undefined)) {
      for (const before of BEFORE[name] ?? []) await call(before, pathOf(before, mine));
      const url = pathOf(name, theirs);
      const answer = await call(name, url);
      assert.equal(answer.status, 404, `${name}: ${answer.status}`);
      assertTellsNothing(answer, name);
    }
  }));

for (const { name, part, path } of PLACES.filter(({ path: of }) => !OF_OTHERS.includes(of.at(-1) ?? ""))) {
  const place = path.filter((one) => one !== null).join(".");
  test(`${name} with another app's ${place} in its ${part} tells and changes nothing`, () =>
    untouched(async () => {
      const id = THEIRS[path.at(-1) ?? ""] ?? "";
      const body = part === "body" ? withId(BODIES[name], path, id) : BODIES[name];
      const url = part === "query" ? `${pathOf(name, mine)}?${place}=${encodeURIComponent(id)}` : pathOf(name, mine);
      for (const headers of ROUTES[name].scope === "sdk" ? ofMine : [{}]) {
        assertTellsNothing(await call(name, url, headers, body), name, id);
      }
      // The operator sees every app, and yet nothing leaves its own; where the operator says for which app, it is that one's.
      if (part === "body" && place !== "app_id" && ROUTES[name].scope !== "sdk")
        await sendTo(api, name, url, { options: {}, body });
    }));
}

/** How an SDK of my app may say so. */
const ofMine: Record<string, string>[] = [
  { "x-app-id": mine.app_id },
  { "x-api-key": mine.app_key },
  { "x-app-id": mine.app_id, "x-api-key": mine.app_key },
];

function call(name: RouteName, url: string, headers: Record<string, string> = {}, body: unknown = BODIES[name]) {
  const { scope, streams }: Route = ROUTES[name];
  const token = scope === "sdk" || scope === "public" ? null : mine.key;
  const agent = { host: HOST, "user-agent": PHONE, "x-forwarded-for": "203.0.113.7" };
  return sendTo(api, name, url, { options: { token, streams, headers: { ...agent, ...headers } }, body });
}

/** What an SDK asks with when it wants the other app's visitor, link or event. */
const WANTED: Partial<Record<RouteName, { query?: string; body?: object }>> = {
  resolveToken: { query: `?cid=${cid}` },
  resolveUrl: { body: { url: `http://links.test/${slug}` } },
  claimDeferred: { body: { platform: "ios", bundleId: bundle, device: { platform: "ios" } } },
  claimInstallReferrer: { body: { referrer: `cid=${cid}` } },
  recordAppEvent: { body: { type: "open", platform: "ios", cid, linkId: THEIRS["linkId"], bundleId: bundle } },
};

for (const name of SDK) {
  const { query = "", body } = WANTED[name] ?? assert.fail(`say how ${name} would ask for another app's`);
  const url = `${ROUTES[name].path}${query}`;

  test(`${name} called for my app finds nothing of another one's visitors and links`, () =>
    untouched(async () => {
      for (const headers of ofMine) {
        assertTellsNothing(await call(name, url, headers, body), name, bundle, cid, THEIRS["linkId"] ?? "");
      }
    }));

  test(`${name} refuses my key for another app, and a key that is asked for and missing`, () =>
    untouched(async () => {
      const foreign = await call(name, url, { "x-app-id": theirs.app_id, "x-api-key": mine.app_key }, body);
      assert.deepEqual([foreign.status, foreign.body.error], [403, "forbidden"]);
      const nobody = await call(name, url, { "x-app-id": theirs.app_id, "x-api-key": "nobody" }, body);
      assert.deepEqual([nobody.status, nobody.body.error], [401, "unauthorized"]);
      for (const answer of [foreign, nobody]) assertTellsNothing(answer, name);
    }));
}

test("an app that demands keys tells nothing without one, whichever way it is named", async () => {
  await api.call("PATCH", `/api/apps/${theirs.app_id}`, { require_api_key: true });
  await untouched(async () => {
    for (const name of SDK) {
      const { query = "", body } = WANTED[name] ?? {};
      const ways: Record<string, string>[] = [{}, { "x-app-id": theirs.app_id }];
      for (const headers of ways) {
        const answer = await call(name, `${ROUTES[name].path}${query}`, headers, body);
        assertTellsNothing(answer, name, bundle, cid, THEIRS["linkId"] ?? "");
        // An app that is told by its bundle alone may be any of several.
        if (name === "claimDeferred" && !("x-app-id" in headers)) assert.ok(answer.status >= 400);
        else assert.deepEqual([answer.status, answer.body.error], [401, "unauthorized"], `${name} ${answer.status}`);
      }
    }
  });
});
