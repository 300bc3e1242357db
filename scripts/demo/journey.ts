// The journey: the calls of an operator, of three visitors' browsers and of the apps on their phones, as they would come
// over the network. Called by main.ts; tells each step as it is done, and returns what was done for expectation.ts.
import { z } from "zod";
import { App } from "#contract/apps.ts";
import { Webhook } from "#contract/destinations.ts";
import { EVENT_TYPES } from "#contract/events.ts";
import { LinkCreated, LinkPayload } from "#contract/links.ts";
import type { ServerProcess } from "../../server/test/support/server-process.ts";
import { call, JourneyError } from "./client.ts";
import type { DemoLink, Visit } from "./expectation.ts";
import { shortId } from "./table.ts";

const APP_ID = "demo";
const BUNDLE_ID = "com.example.shop";
const APP_STORE = "https://apps.apple.com/app/id1234567890";
const PLAY_STORE = `https://play.google.com/store/apps/details?id=${BUNDLE_ID}`;
const WEBSITE = "https://shop.example/winter-sale";
const PATH = "/products/42";
const UTM = { utm_source: "newsletter", utm_campaign: "winter-sale" };

const SAFARI_ON_IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const CHROME_ON_ANDROID =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Mobile Safari/537.36";
const FIREFOX_ON_DESKTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0";
const IPHONE = { platform: "ios", bundleId: BUNDLE_ID, osVersion: "17.4", deviceModel: "iPhone", locale: "en_NZ" };

export interface Stage {
  server: Pick<ServerProcess, "request" | "admin_token">;
  /** One line of the story. */
  tell(what: string, request: string, result: string): void;
}

/** Creates the app and its webhook. */
export async function createWebhook(stage: Stage, url: string): Promise<{ app_id: string; webhook: Webhook }> {
  const input = { id: APP_ID, name: "Demo shop", ios_bundle_id: BUNDLE_ID, android_package: BUNDLE_ID };
  const stores = { ios_store_url: APP_STORE, android_store_url: PLAY_STORE, web_fallback_url: WEBSITE };
  const { body: app } = await operate(stage, "/api/apps", { ...input, ...stores }, App);
  stage.tell("create an app", "POST /api/apps", `201 ${app.id}`);
  const path = `/api/apps/${app.id}/webhooks`;
  const { body: webhook } = await operate(stage, path, { url, events: EVENT_TYPES }, Webhook);
  stage.tell("create a webhook", `POST ${path}`, `201 ${shortId(webhook.id)}, ${webhook.events.length} events, signed`);
  return { app_id: app.id, webhook };
}

export async function createLink(stage: Stage, app_id: string): Promise<DemoLink> {
  const path = `/api/apps/${app_id}/links`;
  const { body: link } = await operate(stage, path, { slug: "winter-sale", deepLink: PATH, utm: UTM }, LinkCreated);
  stage.tell("create a link", `POST ${path}`, `201 ${link.slugUrl}`);
  return { id: link.id, slug: link.slug, path: PATH, utm: UTM };
}

/** Opens the link, goes to the App Store, installs, and claims by network: Apple hands no token to the app. */
export async function visitByIphone(stage: Stage, app_id: string, link: DemoLink): Promise<Visit> {
  const dest_url = await openLink(stage, "iPhone", SAFARI_ON_IPHONE, link);
  const headers = { "x-app-id": app_id, "user-agent": "Shop/1 CFNetwork/1494.0.7 Darwin/23.4.0" };
  const body = { bundleId: BUNDLE_ID, platform: "ios", device: IPHONE };
  const cid = await claim(stage, "iPhone", link, { path: "/api/deferred/claim", headers, body });
  const visit: Visit = {
    platform: "ios",
    dest_url,
    cid,
    claim: { type: "fingerprint", bundle_id: BUNDLE_ID },
    app_opened_at: nowSeconds(),
  };
  await openApp(stage, "iPhone", { headers, link, visit });
  return visit;
}

/** Opens the link, goes to Play, and claims with the token that Play hands to the installed app. */
export async function visitByAndroid(stage: Stage, app_id: string, link: DemoLink): Promise<Visit> {
  const dest_url = await openLink(stage, "Android", CHROME_ON_ANDROID, link);
  const referrer = new URL(dest_url).searchParams.get("referrer");
  const sent = new URLSearchParams(referrer ?? "").get("cid");
  if (referrer === null || sent === null) throw new JourneyError(`The Play address carries no token: ${dest_url}`);
  const headers = { "x-app-id": app_id, "user-agent": "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)" };
  const cid = await claim(stage, "Android", link, { path: "/api/install-referrer", headers, body: { referrer } });
  if (cid !== sent) throw new JourneyError(`The Play address carries the token ${sent}, but ${cid} was claimed.`);
  const visit: Visit = {
    platform: "android",
    dest_url,
    cid,
    claim: { type: "install_referrer", bundle_id: null },
    app_opened_at: nowSeconds(),
  };
  await openApp(stage, "Android", { headers, link, visit });
  return visit;
}

export async function visitByDesktop(stage: Stage, link: DemoLink): Promise<Visit> {
  const dest_url = await openLink(stage, "desktop", FIREFOX_ON_DESKTOP, link);
  // The token stays out of addresses of other people's sites, so it is not known here.
  return { platform: "web", dest_url, cid: null, claim: null, app_opened_at: null };
}

function operate<Schema extends z.ZodType>({ server }: Stage, path: string, body: object, answer: Schema) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  return call(server, { method: "POST", path, headers, body, status: 201, answer });
}

/** Where the link leads; nothing is followed. */
async function openLink({ server, tell }: Stage, who: string, agent: string, { slug }: DemoLink): Promise<string> {
  const path = `/${slug}`;
  const headers = { "user-agent": agent, "accept-language": "en-NZ,en;q=0.9" };
  const { location } = await call(server, { method: "GET", path, headers, status: 302, answer: z.unknown() });
  if (location === null || !URL.canParse(location)) throw new JourneyError(`GET ${path} names no address to go to.`);
  tell(`${who} opens the link`, `GET ${path}`, `302 ${location}`);
  return location;
}

/** @returns the token that was claimed */
async function claim(
  { server, tell }: Stage,
  who: string,
  link: DemoLink,
  request: { path: string; headers: Record<string, string>; body: object },
): Promise<string> {
  const { body: payload } = await call(server, { method: "POST", ...request, status: 200, answer: LinkPayload });
  const { linkId, cid, path } = payload;
  if (linkId !== link.id || path !== link.path || cid === undefined) {
    throw new JourneyError(
      `POST ${request.path} answered another link than the one that was opened: ${linkId} ${path}`,
    );
  }
  tell(`${who} claims`, `POST ${request.path}`, `200 ${path}, cid ${shortId(cid)}`);
  return cid;
}

async function openApp(
  { server, tell }: Stage,
  who: string,
  { headers, link, visit }: { headers: Record<string, string>; link: DemoLink; visit: Visit },
): Promise<void> {
  const { platform, cid, app_opened_at: timestamp } = visit;
  const path = "/api/app-events";
  const body = { type: "open", platform, timestamp, cid, linkId: link.id };
  await call(server, { method: "POST", path, headers, body, status: 204, answer: z.unknown() });
  tell(`${who} opens the app`, `POST ${path}`, "204");
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
