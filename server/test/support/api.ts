// The whole server in the test's own process, without a socket: requests are injected, the database is real.
// Used by the tests of the API; it delivers nothing, for its dispatcher is not started.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { composeServer } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import type { Database } from "../../src/platform/database.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate } from "../../src/platform/migrate.ts";
import type { GoogleAddresses } from "../../src/setup/google.ts";

export const ADMIN_TOKEN = "the operator of these tests";

/** A test calls as fast as it can, from one address; those of the limits set their own. */
const UNLIMITED = {
  LINKME_CLAIMS_PER_MINUTE: "0",
  LINKME_APP_EVENTS_PER_MINUTE: "0",
  LINKME_CALLS_PER_MINUTE: "0",
};

export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  /** Parsed JSON, or the text when it is none. Typed by what JSON.parse answers: the test's assertions check it. */
  body: ReturnType<typeof JSON.parse>;
}

export interface TestApi {
  db: Database;
  server: Awaited<ReturnType<typeof composeServer>>;
  /** An object goes as JSON, a text as it is. `token` null sends none; default is the operator's. */
  call(method: string, url: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  /** Makes an app and answers its id. */
  createApp(settings?: object): Promise<string>;
  /** Makes a key and answers its text. */
  createKey(app_id: string, input?: object): Promise<string>;
}

export interface CallOptions {
  token?: string | null;
  headers?: Record<string, string>;
  /** The answer is a stream without end: of it the status and headers are answered, and it is left. */
  streams?: boolean | undefined;
}

export async function openApi(
  env: Record<string, string> = {},
  { google }: { google?: GoogleAddresses } = {},
): Promise<TestApi> {
  const directory = mkdtempSync(join(tmpdir(), "linkme-api-"));
  const reading = readConfig(
    { DATABASE_URL: `file:${join(directory, "linkme.db")}`, LINKME_ROLE: "edge,api", ...UNLIMITED, ...env },
    () => "",
  );
  if (reading.kind === "problems") throw new Error(reading.problems.join("\n"));
  const db = await openDatabase(reading.config.database_url);
  await migrate(db);
  const admin_token = ADMIN_TOKEN.replaceAll(" ", "-");
  const secrets = { seal_key: randomBytes(32), admin_token, token_file: null, is_token_new: false };
  const server = await composeServer(reading.config, secrets, db, google);
  await server.app.ready();
  await server.open();
  after(async () => {
    await server.stop(2_000);
    rmSync(directory, { recursive: true, force: true });
  });

  async function call(method: string, url: string, body?: unknown, options: CallOptions = {}): Promise<Answer> {
    const { token = admin_token, headers = {} } = options;
    const is_raw = typeof body === "string" || Buffer.isBuffer(body);
    const response = await server.app.inject({
      method: method as "GET",
      url,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { payload: is_raw ? body : JSON.stringify(body) }),
      payloadAsStream: options.streams === true,
    });
    if (options.streams === true) {
      response.stream().destroy();
      return { status: response.statusCode, headers: response.headers, body: "" };
    }
    const is_json = String(response.headers["content-type"]).includes("json") && response.body !== "";
    return { status: response.statusCode, headers: response.headers, body: is_json ? response.json() : response.body };
  }

  return {
    server,
    db,
    call,
    createApp: async (settings = {}) => (await call("POST", "/api/apps", { name: "App", ...settings })).body.id,
    createKey: async (app_id, input = {}) =>
      (await call("POST", `/api/apps/${app_id}/keys`, { kind: "server", ...input })).body.key,
  };
}
