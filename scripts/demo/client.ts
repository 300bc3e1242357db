// Calls the server over HTTP and holds each answer to its status and to the contract's schema. Called by journey.ts and
// observe.ts. An answer that is not as promised ends the demo with a sentence.
import { z } from "zod";
import type { ServerProcess } from "../../server/test/support/server-process.ts";

const SHOWN_MAX_CHARS = 300;

/** The server did something else than promised, so that the journey cannot go on. */
export class JourneyError extends Error {
  override readonly name = "JourneyError";
}

export interface Call<Schema extends z.ZodType> {
  method: "GET" | "POST";
  path: string;
  headers: Record<string, string>;
  body?: unknown;
  status: number;
  /** What the body must be. */
  answer: Schema;
}

/** @throws {JourneyError} another status, or a body that does not fit */
export async function call<Schema extends z.ZodType>(
  server: Pick<ServerProcess, "request">,
  { method, path, headers, body, status, answer }: Call<Schema>,
): Promise<{ body: z.output<Schema>; location: string | null }> {
  const given = await server.request(method, path, body, headers);
  if (given.status !== status) {
    const text = typeof given.body === "string" ? given.body : JSON.stringify(given.body);
    const shown = text.length > SHOWN_MAX_CHARS ? `${text.slice(0, SHOWN_MAX_CHARS)}…` : text;
    throw new JourneyError(`${method} ${path} answered ${given.status} instead of ${status}: ${shown}`);
  }
  const parsed = answer.safeParse(given.body);
  if (!parsed.success) {
    throw new JourneyError(
      `${method} ${path} answered a body that breaks the contract: ${z.prettifyError(parsed.error)}`,
    );
  }
  const { location } = given.headers;
  return { body: parsed.data, location: typeof location === "string" ? location : null };
}
