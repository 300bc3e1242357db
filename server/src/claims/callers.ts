// Which app an SDK's call is of, where its headers do not say so. Created once by compose-edge.ts; called by the API.
import type { App, Domain } from "#contract/apps.ts";
import { invalid, notFound } from "../errors.ts";
import type { LinkRow } from "../links/link.ts";
import { hostWithoutPort } from "../links/target.ts";
import type { Database } from "../platform/database.ts";
import type { AppEventBody } from "./app-event.ts";
import { demandCid, findCid, noMatch, readCid } from "./referrer.ts";
import * as store from "./store.ts";

export interface CallersOptions {
  db: Database;
  links: { findLink(id: string): Promise<LinkRow | null> };
  accounts: {
    findApp(id: string): Promise<App | null>;
    findDomain(hostname: string): Promise<Domain | null>;
  };
}

export type Callers = ReturnType<typeof createCallers>;

export function createCallers({ db, links, accounts }: CallersOptions) {
  /**
   * The app of a caller that does not name it: by bundle id or package name, else by host, else the only one there is.
   * @throws AppError invalid_request
   */
  async function findCallerApp(bundle_id: string | null, host: string): Promise<App> {
    const app = await guessApp(bundle_id, host);
    if (app === null) throw invalid("x-app-id", "the id of your app in this header: nothing else says which app calls");
    return app;
  }

  async function guessApp(bundle_id: string | null, host: string): Promise<App | null> {
    const by_bundle = bundle_id ? await store.selectAppsByBundle(db, bundle_id) : [];
    const hostname = hostWithoutPort(host);
    const by_host = by_bundle.length === 1 || hostname === null ? null : await accounts.findDomain(hostname);
    const first = by_bundle.length === 1 || by_host !== null ? by_bundle : await store.selectFirstApps(db);
    const id = by_host?.app_id ?? (first.length === 1 ? first[0]?.id : undefined);
    return id === undefined ? null : accounts.findApp(id);
  }

  /**
   * The app of a token, for a caller that names no other, else the one that is called where the token is nobody's: it may
   * demand a key of whoever asks, before anything is said of the token. @throws AppError invalid_request, not_found
   */
  async function findTokenApp(cid: string | undefined, host: string): Promise<App> {
    const app = (await appOfClick(demandCid(cid))) ?? (await guessApp(null, host));
    if (app === null) throw notFound("click token");
    return app;
  }

  /** The same of the token in a referrer, which may have none. @throws AppError no_match, not_found */
  async function findReferrerApp(referrer: string, host: string): Promise<App> {
    const token = findCid(referrer);
    const app = (token === null ? null : await appOfClick(token)) ?? (await guessApp(null, host));
    if (app === null) throw token === null ? noMatch() : notFound("click token");
    return app;
  }

  async function appOfClick(cid: string): Promise<App | null> {
    const click = await store.selectClick(db, cid);
    return click === null ? null : accounts.findApp(click.app_id);
  }

  /** The app whose click, else whose link, an app event names; null when it names none that is known. */
  async function findEventApp(body: AppEventBody): Promise<App | null> {
    const cid = readCid(body.cid);
    const click = cid === null ? null : await store.selectClick(db, cid);
    const named = click ?? (body.linkId ? await links.findLink(body.linkId) : null);
    return named === null ? null : accounts.findApp(named.app_id);
  }

  return { findCallerApp, findTokenApp, findReferrerApp, findEventApp };
}
