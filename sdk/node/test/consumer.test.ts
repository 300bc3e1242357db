// A project that was written for LinkMe's Node client 0.2.14, with this package in its place: packed, installed without a
// network, compiled in both module systems under two ways of resolving, and run against a real server.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ServerProcess, startServer } from "../../../server/test/support/server-process.ts";
import { buildPackage, NPM, run, TSC, ZOD } from "./support/package.ts";

/** The calls of a user, with the types that the package promises. Both module systems are given the same. */
const BODY = `
  const asked: string[] = [];
  const options: NodeSDKOptions = {
    baseUrl: process.env.BASE_URL,
    apiKey: process.env.API_KEY,
    fetch: async (input, init) => {
      asked.push(typeof input === "string" ? input : input instanceof URL ? input.href : input.url);
      const headers = new Headers(init?.headers);
      headers.set("x-request-id", "consumer");
      const signal = init?.signal ?? AbortSignal.timeout(60_000);
      const response = await fetch(input, { ...init, headers, signal });
      return response.redirected ? response.clone() : response;
    },
  };
  const logged = (inner: typeof fetch): typeof fetch => async (...call) => inner(...call);
  const client: LinkMeClient = new LinkMeClient({ ...options, fetch: logged(options.fetch ?? fetch) });
  const plain = new LinkMeClient({ baseUrl: process.env.BASE_URL, apiKey: process.env.API_KEY, fetch });
  const shared: typeof fetch | undefined = options.fetch;
  const appId = process.env.APP_ID ?? "";
  const input: CreateLinkInput = {
    appId,
    slug: "spring",
    deepLink: "/promo/spring",
    redirects: { ios: "shop://promo", android: null, web: "https://shop.example/", forceWeb: false },
    utm: { utm_source: "mail" },
    utmOverrides: { utm_source: false },
    allowParamPassthrough: true,
    customData: { line: 1, on: true, none: null },
    og: { title: "Spring", description: "It is here", imageUrl: "https://shop.example/a.png" },
  };
  async function main(): Promise<void> {
    const created: { id: string; app_id: string; domain_id: string | null; slug: string; slugUrl: string } =
      await client.createLink(input);
    const shown = await client.createLink({ appId, displayInPortal: true });
    const listed = await client.listLinks(appId);
    const clicks: number | undefined = listed[0]?.clicks;
    const first: Link = await client.getLink(created.id);
    const bySlug = await plain.getLink("spring");
    const untouched = await client.updateLink("spring", {});
    const updates: UpdateLinkInput = { enabled: 0, utm: '{"utm_source":"sms"}', web_fallback_url: null };
    const off: 0 | 1 = (await client.updateLink(created.id, updates)).enabled;
    const gone: void = await client.deleteLink("spring");
    const wrong: { status?: number; detail?: { error?: string }; message?: string } =
      await client.getLink("spring").catch((error) => error);
    const again: typeof wrong = await client.deleteLink("a/b c").catch((error) => error);
    const form: z.ZodError = await client.createLink({ appId: "" }).catch((error) => error);
    const empty: Error = await client.listLinks(" ").catch((error) => error);
    const receiver: Receiver = createReceiver({ secrets: "whsec_local", dedupe: memoryDedupe() });
    receiver.on("link.click", (event) => event.data.dest_url).onError(() => {});
    const listener: (request: IncomingMessage, response: ServerResponse) => Promise<void> = toExpressHandler(receiver);
    const listening = createServer(listener);
    const signed = await signTestPayload({ id: "1", event: "link.shared" }, { secret: "whsec_local" });
    const url = "http://receiver.test/";
    const received = await receiver.handle(new Request(url, { method: "POST", ...signed }));
    const forged = await receiver.handle(new Request(url, { method: "POST", ...signed, body: "{}" }));
    const envelope = await Promise.resolve({ event: "e" }).then(parseLinkMeWebhookEnvelope).catch((error: Error) => error);
    console.log(JSON.stringify({
      created,
      found: [first, bySlug, untouched].map((link) => [link.id, link.deep_link_path, link.utm, link.og_title]),
      hidden: listed.map(({ slug, internal }) => [slug === "spring" ? slug : slug === shown.slug, internal]),
      clicks,
      off,
      gone,
      asked: [asked.length, asked[0] === process.env.BASE_URL + "api/apps/" + appId + "/links", shared === options.fetch],
      wrong: [wrong instanceof Error, wrong.status, wrong.detail?.error, wrong.message],
      again: [again.status, again.message],
      form: form instanceof z.ZodError && form.issues[0]?.message,
      empty: empty.message,
      parsed: LinkSchema.extend({ more: z.number() }).safeParse({ ...first, more: 1 }).success,
      envelope: envelope instanceof z.ZodError && envelope.issues[0]?.path,
      received: [received.status, forged.status, receiver.counts().unknown_event, listening.listening],
      refused: UpdateLinkInputSchema.safeParse({ enabled: true }).success,
    }));
  }
  void main();
`;
const SOURCE = `
  import LinkMeClient, {
    LinkSchema, parseLinkMeWebhookEnvelope, UpdateLinkInputSchema, type CreateLinkInput, type Link, type NodeSDKOptions,
    type UpdateLinkInput,
  } from "@li-nk.me/node-sdk";
  import { createReceiver, memoryDedupe, signTestPayload, type Receiver } from "@li-nk.me/node-sdk/receiver";
  import { toExpressHandler } from "@li-nk.me/node-sdk/receiver/express";
  import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
  import { z } from "zod";
  ${BODY}`;
/** A module, CommonJS, and what bundlers take: the imports of a `.cts` file become calls of `require`. */
const FILES = ["esm.mts", "cjs.cts", "bundled.ts"];

let project = "";
let server: ServerProcess;

before(async () => {
  project = mkdtempSync(join(tmpdir(), "linkme-node-consumer-"));
  const built = join(project, "built");
  mkdirSync(built);
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }');
  const starting = startServer();
  buildPackage(built);
  const [command, args] = NPM;
  const quiet = [
    "--offline",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
  ];
  run(command, [...args, "pack", ...quiet, built], project);
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball, "npm pack left a file");
  run(command, [...args, "install", ...quiet, `./${tarball}`, ZOD], project);
  for (const name of FILES) writeFileSync(join(project, name), SOURCE);
  server = await starting;
});

after(async () => {
  await server?.stop();
  rmSync(project, { recursive: true, force: true });
});

/** An app of this id, and a key of it that may write. */
async function createApp(on: ServerProcess, id: string): Promise<string> {
  const headers = { authorization: `Bearer ${on.admin_token}` };
  await on.request("POST", "/api/apps", { id, name: id }, headers);
  const { body } = await on.request<{ key: string }>("POST", `/api/apps/${id}/keys`, { kind: "server" }, headers);
  return body.key;
}

const strict = ["--strict", "--target", "es2022", "--types", "node", "--skipLibCheck", "false"];
const roots = ["--typeRoots", join(ZOD, "../@types")];

test("a consumer compiles with node16, and does the same as a module and as CommonJS", async () => {
  run(process.execPath, [TSC, ...strict, ...roots, "--module", "node16", "esm.mts", "cjs.cts"], project);
  assert.match(readFileSync(join(project, "cjs.cjs"), "utf8"), /require\("@li-nk.me\/node-sdk"\)/);
  for (const file of ["esm.mjs", "cjs.cjs"]) {
    const app_id = file.slice(0, 3);
    const env = { BASE_URL: `${server.url}/`, API_KEY: await createApp(server, app_id), APP_ID: app_id };
    const { created, ...seen } = JSON.parse(run(process.execPath, [file], project, env));
    assert.equal(created.app_id, app_id);
    assert.deepEqual(Object.keys(created).sort(), ["app_id", "domain_id", "id", "slug", "slugUrl"]);
    const link = [created.id, "/promo/spring", '{"utm_source":"mail"}', "Spring"];
    assert.deepEqual(seen, {
      found: [link, link, link],
      hidden: [
        [true, 0],
        ["spring", 1],
      ],
      clicks: 0,
      off: 0,
      asked: [9, true, true],
      wrong: [true, 404, "not_found", "HTTP 404 for /api/links/spring"],
      again: [404, "HTTP 404 for DELETE /api/links/a%2Fb%20c"],
      form: "appId is required",
      empty: "appId is required",
      parsed: true,
      envelope: ["id"],
      received: [200, 401, 1, false],
      refused: false,
    });
  }
});

test("a consumer compiles as bundlers resolve", () => {
  const bundler = ["--module", "esnext", "--moduleResolution", "bundler", "--noEmit"];
  run(process.execPath, [TSC, ...strict, ...roots, ...bundler, "bundled.ts"], project);
});
