// Finds what is stored of a person: first all names under which they are known, then page by page what is stored under these.
// Everything goes along indexes, in pages. Called by persons.ts to show and to count, and by erasing.ts to erase.
import type { AppEventRow } from "../claims/app-event-store.ts";
import type { IdentityRow } from "../claims/identity.ts";
import type { Key, PersonClick, PersonsStore } from "../claims/persons-store.ts";
import type { AboutStore } from "../events/about-store.ts";
import type { EventRow } from "../events/event.ts";

/** Devices of a user that are looked at at a time. */
const DEVICES_MAX = 200;
const PAGE_ROWS = 50;
const SECOND_MS = 1_000;
/**
 * Where the two events of a click are, by the time in its token: positions are given a moment later, and as much as ten seconds
 * when a clock was set back. Most are found in the first stretch.
 */
const STRETCHES_MS: readonly (readonly [from: number, until: number])[] = [
  [0, 50],
  [-SECOND_MS, 0],
  [50, 2 * SECOND_MS],
  [2 * SECOND_MS, 11 * SECOND_MS],
];
const EVENTS_OF_CLICK = 2;

export interface Names {
  readonly cids: Set<string>;
  readonly users: Set<string>;
  readonly devices: Set<string>;
  /** Those of the cids that are stored, as they were when the names were found. */
  readonly clicks: Map<string, PersonClick>;
  /** There may be more. */
  is_more: boolean;
}

export interface FindingOptions {
  store: PersonsStore;
  about: AboutStore;
  /** Names that are found at a time; what is beyond them is found when these are gone. */
  names_max: number;
  /** Events, and app events, of a user that are looked at for the clicks that they name; absent: all, for they are erased next. */
  looked_max?: number;
  /** Waits after each page, as long as it should. @rejects when it is to end */
  rest(): Promise<void>;
}

export function createFinding({ store, about, names_max, looked_max, rest }: FindingOptions) {
  /**
   * All names that lead on from these: a click to its user and device, these to their clicks, a user to the devices of no other
   * and to the clicks that the user's events name; the click that was named to the user whom its events name, too.
   * There is one user at the most, for whose user is known is nobody else.
   * @param is_settled the seeds are all whom they led to at an earlier time: who has come to them since is somebody else. Then no user
   * is added; and where there is none, a device leads to its clicks alone, for all else may be of whoever has come
   */
  async function findNames(app_id: string, seeds: readonly Key[], is_settled = false): Promise<Names> {
    const names: Names = { cids: new Set(), users: new Set(), devices: new Set(), clicks: new Map(), is_more: false };
    const waiting: Key[] = [];
    const add = (key: Key) => {
      const known = setOf(names, key.kind);
      if (known.has(key.value)) return;
      // The one user is never beyond the bound: who is meant depends on it.
      if (key.kind !== "user" && names.cids.size + names.users.size + names.devices.size >= names_max) {
        names.is_more = true;
        return;
      }
      known.add(key.value);
      waiting.push(key);
    };
    const addUser = (user_id: string | null) => {
      if (!is_settled && user_id !== null && !isOthers(names, user_id)) add({ kind: "user", value: user_id });
    };
    /** Clicks of a device that several share: each may be of another of them. */
    const of_shared = new Set<string>();
    const leadsOn = () => !is_settled || names.users.size > 0;
    for (const seed of seeds) add(seed);
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
      // Of a device that several share, none of them is meant.
      const is_shared =
        of_shared.has(key.value) || (key.kind === "device" && (await deviceOf(app_id, key.value))?.is_shared === 1);
      for await (const clicks of clicksOf(app_id, key)) {
        for (const click of clicks) {
          const { cid, user_id, device } = click;
          if (key.kind === "cid") names.clicks.set(cid, click);
          if (isOthers(names, user_id)) continue;
          if (is_shared && !names.cids.has(cid)) of_shared.add(cid);
          add({ kind: "cid", value: cid });
          if (is_shared) continue;
          addUser(user_id);
          if (device !== null && leadsOn() && (await isAlone(app_id, names, device))) {
            add({ kind: "device", value: device });
          }
        }
        if (names.is_more) break;
      }
      // Only of the one that was named: a device that several share leads to clicks of any of them.
      if (!is_settled && key.kind === "cid" && seeds.includes(key)) addUser(await userOf(app_id, key.value));
      const identities = leadsOn() ? await identitiesOf(app_id, key) : [];
      if (identities.length >= DEVICES_MAX) names.is_more = true;
      for (const identity of identities) {
        if (identity.is_shared === 1 || isOthers(names, identity.user_id)) continue;
        add({ kind: identity.kind, value: identity.key });
        addUser(identity.user_id);
        // A user's first click may have been of a device that others use: the click itself tells whose it is.
        if (identity.first_cid !== null && identity.kind === "device") add({ kind: "cid", value: identity.first_cid });
      }
      if (key.kind !== "user") continue;
      for await (const cid of cidsNamedBy(app_id, names, key)) {
        if (await isFirstNamedBy(app_id, names, cid)) add({ kind: "cid", value: cid });
        if (names.is_more) break;
        await rest();
      }
    }
    return names;
  }

  /** Those that are not known yet: without consent a click does not know itself whose it is. */
  async function* cidsNamedBy(app_id: string, names: Names, key: Key): AsyncGenerator<string> {
    for (const pagesOf of [eventsOf, appEventsOf]) {
      let looked = 0;
      let last: string | null = null;
      for await (const page of pagesOf(app_id, names, key)) {
        for (const { cid = null } of page) {
          if (cid === null || cid === last || names.cids.has(cid)) continue;
          last = cid;
          yield cid;
        }
        looked += page.length;
        if (looked_max === undefined || looked <= looked_max) continue;
        names.is_more = true;
        return;
      }
    }
  }

  async function isFirstNamedBy(app_id: string, names: Names, cid: string): Promise<boolean> {
    return !isOthers(names, await userOf(app_id, cid));
  }

  /** Of a click that does not know it, whoever was told of with it first: an app may name an old one for whoever signs in. */
  async function userOf(app_id: string, cid: string): Promise<string | null> {
    const [click] = await findClick(app_id, { kind: "cid", value: cid });
    if (click !== undefined && click.user_id !== null) return click.user_id;
    const event = await about.findFirstUser(app_id, cid);
    const app_event = await store.findFirstUser(app_id, cid);
    // Both ids begin with the time.
    const is_event = event !== null && (app_event === null || event.position < app_event.id);
    return (is_event ? event : app_event)?.user_id ?? null;
  }

  function identitiesOf(app_id: string, key: Key) {
    return store.findIdentities(app_id, key, DEVICES_MAX);
  }

  async function deviceOf(app_id: string, device: string): Promise<IdentityRow | undefined> {
    const [row] = await store.findIdentities(app_id, { kind: "device", value: device }, 1);
    return row;
  }

  /** Whether nobody else is known on the device. */
  async function isAlone(app_id: string, names: Names, device: string): Promise<boolean> {
    const row = await deviceOf(app_id, device);
    return row === undefined || (row.is_shared === 0 && !isOthers(names, row.user_id));
  }

  function findClick(app_id: string, key: Key): Promise<PersonClick[]> {
    return store.findClicks(app_id, key, "", 1);
  }

  async function* clicksOf(app_id: string, key: Key): AsyncGenerator<PersonClick[]> {
    let after = "";
    for (;;) {
      const page = await store.findClicks(app_id, key, after, PAGE_ROWS);
      if (page.length > 0) yield page;
      if (page.length < PAGE_ROWS) return;
      await rest();
      after = page.at(-1)?.cid ?? "";
    }
  }

  async function* appEventsOf(app_id: string, names: Names, key: Key): AsyncGenerator<AppEventRow[]> {
    let after = "";
    for (;;) {
      const page = await store.findAppEvents(app_id, key, after, PAGE_ROWS);
      const own = page.filter(({ user_id }) => !isOthers(names, user_id));
      if (own.length > 0) yield own;
      if (page.length < PAGE_ROWS) return;
      await rest();
      after = page.at(-1)?.id ?? "";
    }
  }

  async function* eventsOf(app_id: string, names: Names, key: Key): AsyncGenerator<EventRow[]> {
    let after = "";
    for (;;) {
      const page = await about.findAbout(app_id, key, after, PAGE_ROWS);
      const own = page.filter(({ user_id = null }) => !isOthers(names, user_id));
      if (own.length > 0) yield own;
      if (page.length < PAGE_ROWS) return;
      await rest();
      after = page.at(-1)?.position ?? "";
    }
  }

  /** What a click itself has made. */
  async function* eventsOfClick(app_id: string, cid: string): AsyncGenerator<EventRow[]> {
    // A token of another server has no time in it.
    if (!/^[0-9a-f]{32}$/.test(cid)) return;
    const at = Number.parseInt(cid.slice(0, 12), 16);
    let left = EVENTS_OF_CLICK;
    for (const [from, until] of STRETCHES_MS) {
      let after: string | null = null;
      do {
        const looked: Awaited<ReturnType<typeof about.findOfClick>> = await about.findOfClick(app_id, cid, {
          ...{ from: at + from, until: at + until, after },
        });
        if (looked.found.length > 0) yield looked.found;
        left -= looked.found.length;
        after = looked.after;
        if (left <= 0) return;
        await rest();
      } while (after !== null);
    }
  }

  return { findNames, identitiesOf, findClick, appEventsOf, eventsOf, eventsOfClick };
}

export type Finding = ReturnType<typeof createFinding>;

export function setOf(names: Names, kind: Key["kind"]): Set<string> {
  return kind === "cid" ? names.cids : kind === "user" ? names.users : names.devices;
}

/** Users first: they say whose the rest is. */
export function keysOf({ users, devices, cids }: Names): Key[] {
  const of = (kind: Key["kind"], values: Iterable<string>) => [...values].map((value) => ({ kind, value }));
  return [...of("user", users), ...of("device", devices), ...of("cid", cids)];
}

/** Whose user is known is that user's, whichever device or click it names: an app may report an old click for whoever signs in. */
export function isOthers({ users }: Names, user_id: string | null): boolean {
  return user_id !== null && users.size > 0 && !users.has(user_id);
}
