// Who calls, and whether the route's scope lets them. Called before the body is read. Keys that are remembered are
// judged without waiting, for ingest is the hot path.
import type { App } from "#contract/apps.ts";
import type { Scope } from "#contract/route.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { type ApiKey, createTokenCheck } from "../accounts/credentials.ts";
import type { OwnedKind } from "../accounts/owners-store.ts";
import { parseDeliveryId } from "../deliveries/delivery.ts";
import { type AppError, notFound, refuse } from "../errors.ts";

/** A caller that was let in. */
export interface Access {
  /** Null: every app. Else ids of other apps do not exist for this caller. */
  app_scope: string | null;
  /** The server key that was used; null for the admin token and on open routes. */
  key: ApiKey | null;
}

/** A caller of an SDK endpoint; both are optional until an app demands them. */
export interface SdkCaller {
  app: App | null;
  key: ApiKey | null;
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

const OPEN: Access = { app_scope: null, key: null };
const ADMIN: Access = OPEN;
const BEARER_MAX_CHARS = 600;

/** By what name a caller's changes are kept. A key may be gone when that is read, so it is told by label and hint too. */
export function actorOf({ key }: Access): string {
  if (key === null) return "operator";
  return `key:${key.id} (${key.label === "" ? "" : `${key.label}, `}${key.key_hint})`;
}

export interface Gate {
  /**
   * The caller, at once or after a look into the database. Throws or rejects with AppError.
   * @param named what the path names by its id; absent: no id that could be one
   */
  enter(scope: Scope, headers: Headers, app_id: string | undefined, named?: Named): Access | Promise<Access>;
}

/** What a path names by `{id}`. */
export interface Named {
  kind: NamedKind;
  id: string;
  /** Counts a call that is refused, before anybody looks whose the id is. @throws AppError rate_limited */
  count(access: Access): void;
}

/** By the segment before the id, with the word of answers. */
const NAMED = {
  ...{ webhooks: "webhook", deliveries: "delivery", replays: "replay", events: "event", links: "link" },
  ...{ destinations: "destination", keys: "key", domains: "domain", erasures: "erasure", "utm-presets": "UTM preset" },
} satisfies Record<OwnedKind | "deliveries", string>;
export type NamedKind = keyof typeof NAMED;

/** @throws Error for a path whose id names something unknown: say above what it is */
export function namedKindOf(path: string): NamedKind | null {
  const kind = /^\/api\/([a-z-]+)\/\{id\}/.exec(path)?.[1];
  if (kind === undefined) return null;
  if (!Object.hasOwn(NAMED, kind)) throw new Error(`Nobody knows whose the id in ${path} is`);
  return kind as NamedKind;
}

export function createGate(accounts: Accounts, admin_token: string): Gate {
  const isAdminToken = createTokenCheck(admin_token);

  function enter(scope: Scope, headers: Headers, app_id: string | undefined, named?: Named): Access | Promise<Access> {
    if (scope === "public" || scope === "sdk") return OPEN;
    const token = readBearer(headers.authorization);
    // A key in its own form cannot be the admin token's: the cheap look-up comes first, the hashing of tokens second.
    const key = accounts.peekKey(token);
    if (key) return admit(key, scope, app_id, named);
    if (isAdminToken(token)) return enterAsAdmin(app_id);
    if (key === null) throw unknownToken();
    return accounts.findKey(token).then((found) => {
      if (found === null) throw unknownToken();
      return admit(found, scope, app_id, named);
    });
  }

  /** A key belongs to one app: another app's address is answered like one that does not exist, before any right is judged. */
  function admit(
    key: ApiKey,
    scope: Scope,
    app_id: string | undefined,
    named: Named | undefined,
  ): Access | Promise<Access> {
    if (key.kind === "app") {
      throw refuse("forbidden", "App keys serve the SDK endpoints only; use a server key (sk_…) or the admin token.");
    }
    if (app_id !== undefined && app_id !== key.app_id) throw notFound("app");
    if (scope === "admin") throw refuse("forbidden", "Only the admin token may do this.");
    const lacking =
      scope === "app_read" && !key.can_read ? "can_read" : scope === "app_write" && !key.can_write && "can_write";
    const access = { app_scope: key.app_id, key };
    if (lacking === false) return access;
    if (named === undefined) throw lacks(lacking);
    named.count(access);
    return isOwn(named, key.app_id).then((is_own) => {
      throw is_own ? lacks(lacking) : notFound(NAMED[named.kind]);
    });
  }

  async function isOwn({ kind, id }: Pick<Named, "kind" | "id">, app_id: string): Promise<boolean> {
    if (kind !== "deliveries") return accounts.isOwn(kind, id, app_id);
    const key = parseDeliveryId(id);
    return key !== null && accounts.isOwn("webhooks", key.destination_id, app_id);
  }

  async function enterAsAdmin(app_id: string | undefined): Promise<Access> {
    // A key implies its app; the admin may name one that does not exist.
    if (app_id !== undefined && (await accounts.findApp(app_id)) === null) throw notFound("app");
    return ADMIN;
  }

  return { enter };
}

function lacks(right: string): AppError {
  return refuse("forbidden", `This key lacks ${right}; create one that has it.`);
}

function readBearer(header: string | undefined | string[]): string {
  if (typeof header !== "string") {
    throw refuse("unauthorized", "Send the admin token or a server key as `Authorization: Bearer <token>`.");
  }
  const token = /^bearer +(\S+) *$/i.exec(header.slice(0, BEARER_MAX_CHARS))?.[1];
  if (token === undefined) throw refuse("unauthorized", "The Authorization header must be `Bearer <token>`.");
  return token;
}

function unknownToken(): AppError {
  return refuse("unauthorized", "This token is not known, or has expired.");
}

/**
 * Who calls an SDK endpoint, by `x-app-id` and `x-api-key`. A header that is sent must be right, even where none is needed.
 * @param rights of which a key needs one
 * @throws AppError 401 for a key that is not valid, 403 for one without a right or of another app, 404 for an unknown app
 */
export async function identifySdk(
  accounts: Accounts,
  headers: Headers,
  rights: readonly ("can_read" | "can_write")[] = ["can_read"],
): Promise<SdkCaller> {
  const app_id = one(headers["x-app-id"]);
  const presented = one(headers["x-api-key"]);
  const key = presented === null ? null : await accounts.findKey(presented);
  if (presented !== null && key === null) throw refuse("unauthorized", "x-api-key is not known, or has expired.");
  if (key !== null && !rights.some((right) => key[right])) throw lacks("can_read");
  if (key !== null && app_id !== null && key.app_id !== app_id) {
    throw refuse("forbidden", "x-api-key belongs to another app than x-app-id.");
  }
  const named = app_id ?? key?.app_id ?? null;
  const app = named === null ? null : await accounts.findApp(named);
  if (named !== null && app === null) throw notFound("app");
  if (app !== null) demandKey(app, { app, key });
  return { app, key };
}

/** To be called again when the app became known by other means than the headers. */
export function demandKey(app: App, caller: SdkCaller): void {
  if (app.require_api_key && caller.key?.app_id !== app.id) {
    throw refuse("unauthorized", "This app demands x-app-id and a valid x-api-key.");
  }
}

/** The same for app events, for which either right is enough, or an app may demand a key that writes: web pages have one that reads. */
export function demandEventKey(app: App, caller: SdkCaller): void {
  demandKey(app, caller);
  const { key } = caller;
  if (!app.app_events_need_write) return;
  if (key?.app_id !== app.id) {
    throw refuse("unauthorized", "App events of this app demand x-app-id and a valid x-api-key that has can_write.");
  }
  if (!key.can_write) throw lacks("can_write");
}

function one(header: string | string[] | undefined): string | null {
  return typeof header === "string" && header !== "" ? header : null;
}
