// What one row of the route table says. The tables are routes.ts, its parts and, for LinkMe's own
// endpoints, linkme-routes.ts.
import { z } from "zod";

/**
 * Who may call: anybody; an app's SDK (app headers, cross-origin); the admin token or a server key of the app with
 * `can_read`, or with `can_write`; the admin token alone.
 */
export const SCOPES = ["public", "sdk", "app_read", "app_write", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** With parameters in braces, as OpenAPI writes them. */
  readonly path: `/api/${string}` | `/.well-known/${string}` | "/s";
  readonly scope: Scope;
  readonly tag: string;
  readonly summary: string;
  readonly params?: z.ZodObject;
  readonly query: z.ZodObject;
  /** A schema that accepts undefined makes the body optional. */
  readonly body?: z.ZodType;
  readonly status: 200 | 201 | 202 | 204;
  /** Null for an answer without a body. */
  readonly answer: z.ZodType | null;
  /** What a call may be answered instead, where it asks for something else: its handler sets this status. */
  readonly other?: { readonly status: 200; readonly answer: z.ZodType };
  /** The field `url` of the body is where events go. */
  readonly names_target?: true;
  /** The body is CSV, and no JSON. */
  readonly takes_csv?: true;
  /** The answer is CSV, sent while it is read. */
  readonly answers_csv?: true;
  /** The answer is a stream of server-sent events without end, and `answer` is the data of each. */
  readonly streams?: true;
}

/** The call knows no query fields. */
export const NoQuery = z.strictObject({});

const PATH_ID_PATTERN = /^[A-Za-z0-9_-]{1,100}$/;

/** One id in the path. A text that no id can have is answered like an id that does not exist. */
export function under<Name extends string>(name: Name) {
  const id: z.ZodString = z.string().regex(PATH_ID_PATTERN);
  // The computed key widens to string; the shape has exactly this one member.
  return z.object({ [name]: id } as Record<Name, z.ZodString>);
}
