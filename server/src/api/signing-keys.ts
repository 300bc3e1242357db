// The document of public keys, for anybody: any host, any origin, cached by whoever likes to.
import type { SigningKeys } from "#contract/signing-keys.ts";
import type { Handlers } from "./bind.ts";

/** So long may a receiver go on with what it has read; a key signs for a day beyond its replacement, unless told otherwise. */
const MAX_AGE_SECONDS = 300;
const HTTP_NOT_MODIFIED = 304;

/** What this file needs of the destinations. */
export interface KeyDocuments {
  signingKeys(webhook_id: string | null): Promise<{ document: SigningKeys; etag: string }>;
}

export function signingKeyHandlers({ signingKeys }: KeyDocuments): Handlers<"getSigningKeys"> {
  return {
    async getSigningKeys({ query, request, reply }) {
      const { document, etag } = await signingKeys(query.webhook_id ?? null);
      reply.header("cache-control", `public, max-age=${MAX_AGE_SECONDS}`);
      reply.header("etag", etag);
      reply.header("access-control-allow-origin", "*");
      // With this status Node sends the headers alone.
      if (isKnown(request.headers["if-none-match"], etag)) reply.code(HTTP_NOT_MODIFIED);
      return document;
    },
  };
}

/** Caches may mark a tag as weak, and send several. */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
}
