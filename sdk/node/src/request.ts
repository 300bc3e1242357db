// One call of the server's API: the address, the headers that every call carries, and what becomes of an answer that is not
// 2xx. Called by client.ts.
import { LinkMeRequestError } from "./errors.ts";

/** As much of `fetch` as the client uses: every one of the type `typeof fetch` fits. */
export type ClientFetch = (
  url: string,
  init: { method?: string; headers: Record<string, string>; body?: string },
) => Promise<{ ok: boolean; status: number; json(): Promise<unknown> }>;

export interface Connection {
  base_url: string;
  api_key: string | undefined;
  fetch: ClientFetch;
}

/**
 * Sends one call and resolves with the JSON of the answer, or with undefined after a DELETE, whose answer has no body.
 *
 * @param path Begins with a slash; slashes that follow each other become one.
 * @throws {LinkMeRequestError} when the answer is not 2xx; what `fetch` throws passes through.
 */
export async function sendCall(connection: Connection, path: string, method?: string, body?: object): Promise<unknown> {
  // LinkMe's servers are sent this type on each call, also where there is no body.
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (connection.api_key) headers["Authorization"] = `Bearer ${connection.api_key}`;
  const response = await connection.fetch(connection.base_url + path.replace(/\/{2,}/g, "/"), {
    ...(method === undefined ? {} : { method }),
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) {
    const asked = method === "DELETE" ? `DELETE ${path}` : path;
    throw new LinkMeRequestError(asked, response.status, await readDetail(response));
  }
  return method === "DELETE" ? undefined : response.json();
}

async function readDetail(response: { json(): Promise<unknown> }): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    // A proxy answered with a page, or with nothing: the status has to say it all.
    return undefined;
  }
}
