// The client for links: class, methods, options and defaults are those of LinkMe's published Node client, so that code
// written for it runs unchanged against any server that speaks the same API.
import { type Connection, sendCall } from "./request.ts";
import {
  type CreateLinkInput,
  CreateLinkInputSchema,
  type CreateLinkResponseParsed,
  CreateLinkResponseSchema,
  type ExtendedLinkParsed,
  ExtendedLinkSchema,
  type Link,
  LinkSchema,
  type UpdateLinkInput,
  UpdateLinkInputSchema,
} from "./schemas.ts";

const DEFAULT_BASE_URL = "https://li-nk.me";

export interface NodeSDKOptions {
  /** Where the server is, such as `https://links.example.com`; LinkMe's own when it is absent. */
  baseUrl?: string | undefined;
  /** A key of the app or the workspace, sent as `Authorization: Bearer`. Changes need one that may write. */
  apiKey?: string | undefined;
  /** In place of the global `fetch`: for a proxy, a timeout, a test. It is called with a text and an init, and nothing else. */
  fetch?: typeof fetch | undefined;
}

/**
 * Creates, reads, changes and deletes links.
 *
 * Every method rejects with a `LinkMeRequestError` (`status`, `detail`) when the server refuses, and with a `ZodError` when
 * its argument, or the server's answer, is not of the form that the schemas describe.
 *
 * @example
 * const client = new LinkMeClient({ baseUrl: "https://links.example.com", apiKey: process.env.LINKME_API_KEY });
 * const { slugUrl } = await client.createLink({ appId: "app_…", slug: "spring", deepLink: "/promo/spring" });
 */
export class LinkMeClient {
  readonly #connection: Connection;

  constructor(options: NodeSDKOptions = {}) {
    const fetch = options.fetch ?? (globalThis as { fetch?: typeof globalThis.fetch }).fetch;
    if (!fetch) throw new Error("There is no global fetch here: pass one as options.fetch.");
    const base_url = (options.baseUrl || DEFAULT_BASE_URL).replace(/\/+$/, "");
    this.#connection = { base_url, api_key: options.apiKey, fetch };
  }

  /** Creates a link. Without a slug the server makes one; unless `displayInPortal` is true the Portal does not list it. */
  async createLink(input: CreateLinkInput): Promise<CreateLinkResponseParsed> {
    const { appId, og, displayInPortal = false, ...link } = CreateLinkInputSchema.parse(input);
    const body = {
      ...link,
      deepLink: link.deepLink ?? undefined,
      displayInPortal,
      og_title: og?.title,
      og_description: og?.description,
      og_image_url: og?.imageUrl,
    };
    return CreateLinkResponseSchema.parse(await sendCall(this.#connection, linksOf(appId), "POST", body));
  }

  /** One link, by its id or its slug. */
  async getLink(id: string): Promise<Link> {
    return LinkSchema.parse(await sendCall(this.#connection, addressOf(id)));
  }

  /** The newest links of an app, hidden ones too: LinkMe Server lists up to 1,000 here. More are found by its search. */
  async listLinks(appId: string): Promise<ExtendedLinkParsed[]> {
    if (String(appId ?? "").trim() === "") throw new Error("appId is required");
    return ExtendedLinkSchema.array().parse(await sendCall(this.#connection, linksOf(appId)));
  }

  /** Changes what `updates` names, and resolves with the whole link. `id` may be the slug. */
  async updateLink(id: string, updates: UpdateLinkInput): Promise<Link> {
    const body = UpdateLinkInputSchema.parse(updates);
    return LinkSchema.parse(await sendCall(this.#connection, addressOf(id), "PATCH", body));
  }

  /** Deletes a link for good. `id` may be the slug. */
  async deleteLink(id: string): Promise<void> {
    await sendCall(this.#connection, addressOf(id), "DELETE");
  }
}

function linksOf(app_id: string): string {
  return `/api/apps/${encodeURIComponent(app_id)}/links`;
}

function addressOf(id: string): string {
  return `/api/links/${encodeURIComponent(id)}`;
}
