// LinkMe's own endpoints, as its SDKs call them. Unknown fields are ignored here, and paths and names are LinkMe's.
import { z } from "zod";
import {
  Link,
  LinkCreate,
  LinkCreated,
  LinkCreateOfApp,
  LinkPatch,
  LinkPayload,
  ListedLink,
  ShortLinkCreate,
} from "./links.ts";
import { type Route, under } from "./route.ts";
import { UserIds } from "./users.ts";

const URL_TEXT_MAX_CHARS = 8_192;
const REFERRER_MAX_CHARS = 8_192;
const SHORT_TEXT_MAX_CHARS = 200;

const in_app = under("app_id");
const by_id = under("id");
const AnyQuery = z.object({});
const ShortText = z.string().max(SHORT_TEXT_MAX_CHARS);
/** Untrusted, optional, and of a shape that differs between SDKs: read member by member. */
const Device = z.unknown();

export const LINKME_ROUTES = {
  resolveToken: {
    method: "GET",
    path: "/api/deeplink",
    scope: "sdk",
    tag: "SDK",
    summary: "Claim the payload of a click token",
    query: z.object({ cid: z.string().max(SHORT_TEXT_MAX_CHARS).optional(), ...UserIds }),
    status: 200,
    answer: LinkPayload,
  },
  resolveUrl: {
    method: "POST",
    path: "/api/deeplink/resolve-url",
    scope: "sdk",
    tag: "SDK",
    summary: "Resolve a link that the operating system opened in the app",
    query: AnyQuery,
    body: z.object({ url: z.string().max(URL_TEXT_MAX_CHARS), device: Device.optional(), ...UserIds }),
    status: 200,
    answer: LinkPayload,
  },
  claimDeferred: {
    method: "POST",
    path: "/api/deferred/claim",
    scope: "sdk",
    tag: "SDK",
    summary: "Claim the newest matching click without a token",
    query: AnyQuery,
    body: z.object({
      ...{ bundleId: ShortText.nullish(), platform: ShortText.nullish(), device: Device.optional() },
      ...UserIds,
    }),
    status: 200,
    answer: LinkPayload,
  },
  claimInstallReferrer: {
    method: "POST",
    path: "/api/install-referrer",
    scope: "sdk",
    tag: "SDK",
    summary: "Claim the click token in a Play install referrer",
    query: AnyQuery,
    body: z.object({ referrer: z.string().max(REFERRER_MAX_CHARS), ...UserIds }),
    status: 200,
    answer: LinkPayload,
  },
  recordAppEvent: {
    method: "POST",
    path: "/api/app-events",
    scope: "sdk",
    tag: "SDK",
    summary: "Record an app event; `open` becomes link.app_open",
    query: AnyQuery,
    body: z.looseObject({}),
    status: 204,
    answer: null,
  },
  createLink: {
    method: "POST",
    path: "/api/apps/{app_id}/links",
    scope: "app_write",
    tag: "Links",
    summary: "Create a link; unknown fields are ignored, as LinkMe ignores them",
    params: in_app,
    query: AnyQuery,
    body: LinkCreate,
    status: 201,
    answer: LinkCreated,
  },
  createLinkOfApp: {
    method: "POST",
    path: "/api/links",
    scope: "app_write",
    tag: "Links",
    summary: "Create a link by the names of the stored link; the app is the key's",
    query: AnyQuery,
    body: LinkCreateOfApp,
    status: 201,
    answer: LinkCreated,
  },
  createShortLink: {
    method: "POST",
    path: "/s",
    scope: "app_write",
    tag: "Links",
    summary: "Shorten an address; the app is the key's",
    query: AnyQuery,
    body: ShortLinkCreate,
    status: 201,
    answer: LinkCreated,
  },
  listLinks: {
    method: "GET",
    path: "/api/apps/{app_id}/links",
    scope: "app_read",
    tag: "Links",
    summary: "List the app's links as a bare array",
    params: in_app,
    query: AnyQuery,
    status: 200,
    answer: z.array(ListedLink),
  },
  getLink: {
    method: "GET",
    path: "/api/links/{id}",
    scope: "app_read",
    tag: "Links",
    summary: "Get a link by id or slug",
    params: by_id,
    query: AnyQuery,
    status: 200,
    answer: Link,
  },
  patchLink: {
    method: "PATCH",
    path: "/api/links/{id}",
    scope: "app_write",
    tag: "Links",
    summary: "Change a link",
    params: by_id,
    query: AnyQuery,
    body: LinkPatch,
    status: 200,
    answer: Link,
  },
  deleteLink: {
    method: "DELETE",
    path: "/api/links/{id}",
    scope: "app_write",
    tag: "Links",
    summary: "Delete a link for good",
    params: by_id,
    query: AnyQuery,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;
