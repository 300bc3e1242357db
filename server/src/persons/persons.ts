// Persons: what is stored of somebody is shown, counted and erased, by any name under which they are known. Created once by
// compose-persons.ts; called by the API. What is erased is erased by runner.ts; here it is only asked for.
import type { AppEvent } from "#contract/app-events.ts";
import type { PageQuery } from "#contract/fields.ts";
import {
  type Erasure,
  type ErasureCreate,
  type ErasurePreview,
  type PersonData,
  type PersonQuery,
  SHOWN_MAX,
} from "#contract/persons.ts";
import type { AppEventRow } from "../claims/app-event-store.ts";
import type { Key } from "../claims/persons-store.ts";
import { notFound, refuse } from "../errors.ts";
import type { EventRow } from "../events/event.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { Ids } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import { createFinding, type FindingOptions, isOthers, keysOf, type Names } from "./finding.ts";
import { showClick, showEvent, showIdentity } from "./showing.ts";
import type { ErasureRow, ErasureStore } from "./store.ts";

/** Of a person that is shown or counted while somebody waits. */
const NAMES_MAX = 200;
/** Erasures of an app that are under way at once. */
const OPEN_MAX = 1_000;
/** How long it is on record that something was erased. */
const KEPT_MS = 365 * 24 * 3_600_000;

export interface PersonsOptions extends Pick<FindingOptions, "store" | "about"> {
  erasures: ErasureStore;
  findApp(app_id: string): Promise<unknown>;
  hashDevice(app_id: string, device_id: string): string;
  presentAppEvent(row: AppEventRow): AppEvent;
  ids: Pick<Ids, "prefixed">;
  now(): number;
  wake(): void;
}

export type Persons = ReturnType<typeof createPersons>;

export function createPersons(options: PersonsOptions) {
  const { erasures, now } = options;
  // Nothing is waited for: the caller waits, and what is found is bounded.
  const rest = async () => {};
  const bounds = { names_max: NAMES_MAX, looked_max: SHOWN_MAX };
  const finding = createFinding({ store: options.store, about: options.about, ...bounds, rest });

  /**
   * Whom the name leads to is settled here, and stored with what was asked for: what it will be when the erasure begins nobody
   * has seen. Asked for again while it is under way, it is the same one.
   * @throws AppError not_found; conflict when too many are under way
   */
  async function startErasure(app_id: string, query: ErasureCreate): Promise<Erasure> {
    const key = keyOf(app_id, query);
    const open = await erasures.findOpen(app_id, key);
    if (open !== null) return present(open);
    const counts = { passes: 0, events: 0, clicks: 0, app_events: 0, identities: 0 };
    const row = { id: options.ids.prefixed("era"), app_id, ...key, ...counts, created_at: now(), finished_at: null };
    const limits = { forget_before: now() - KEPT_MS, open_max: OPEN_MAX };
    try {
      await erasures.insert(row, await settle(app_id, key), limits);
    } catch (error) {
      if (!isDatabaseError(error, "unmet")) throw error;
      const asked_meanwhile = await erasures.findOpen(app_id, key);
      if (asked_meanwhile !== null) return present(asked_meanwhile);
      if ((await options.findApp(app_id)) === null) throw notFound("app");
      throw refuse("conflict", `${OPEN_MAX} erasures of this app are under way. Ask again when some of them are done.`);
    }
    options.wake();
    return present(row);
  }

  /**
   * All that the name leads to now. Of somebody whose user is known not the devices: they are found as long as nobody else has
   * come to them, and then they are not this one's alone. A click stays this one's until it is somebody else's.
   */
  async function settle(app_id: string, key: Key): Promise<Key[]> {
    const names = await finding.findNames(app_id, [key]);
    const keys = keysOf(names);
    return names.users.size > 0 ? keys.filter(({ kind }) => kind !== "device") : keys;
  }

  /** @throws AppError not_found */
  async function previewErasure(app_id: string, query: ErasureCreate): Promise<ErasurePreview> {
    const { clicks, events, app_events, identities, is_complete } = await collect(app_id, query);
    return {
      ...{ events: events.filter(({ erased_at }) => erased_at == null).length, clicks: clicks.length },
      ...{ app_events: app_events.length, identities: identities.length, is_complete },
    };
  }

  /** @throws AppError not_found */
  async function showPerson(app_id: string, query: PersonQuery): Promise<PersonData> {
    const { clicks, events, app_events, identities, is_complete } = await collect(app_id, query);
    return {
      ...{ clicks: clicks.map(showClick), events: events.map(showEvent) },
      ...{ app_events: app_events.map(options.presentAppEvent), identities: identities.map(showIdentity), is_complete },
    };
  }

  async function collect(app_id: string, query: PersonQuery) {
    if ((await options.findApp(app_id)) === null) throw notFound("app");
    const names = await finding.findNames(app_id, [keyOf(app_id, query)]);
    const events = new Map<string, EventRow>();
    const app_events = new Map<string, AppEventRow>();
    const keys = keysOf(names);
    const is_whole = [
      await fill(
        events,
        keys,
        (key) => eventsOf(app_id, names, key),
        ({ position }) => position,
      ),
      await fill(
        app_events,
        keys,
        (key) => finding.appEventsOf(app_id, names, key),
        ({ id }) => id,
      ),
    ].every(Boolean);
    const clicks = await Promise.all(
      keys.filter(({ kind }) => kind === "cid").map((key) => finding.findClick(app_id, key)),
    );
    const identities = await Promise.all(
      keys
        .filter(({ kind }) => kind !== "cid")
        .map(async (key) =>
          (await finding.identitiesOf(app_id, key)).filter((one) => one.kind === key.kind && one.key === key.value),
        ),
    );
    return {
      clicks: clicks
        .flat()
        .filter(({ user_id }) => !isOthers(names, user_id))
        .sort((one, other) => one.created_at - other.created_at),
      // Both by an id that begins with the time.
      events: [...events.values()].sort((one, other) => (one.position < other.position ? -1 : 1)),
      app_events: [...app_events.values()].sort((one, other) => (one.id < other.id ? -1 : 1)),
      identities: identities.flat(),
      is_complete: is_whole && !names.is_more,
    };
  }

  async function* eventsOf(app_id: string, names: Names, key: Key): AsyncGenerator<EventRow[]> {
    yield* finding.eventsOf(app_id, names, key);
    if (key.kind === "cid") yield* finding.eventsOfClick(app_id, key.value);
  }

  function keyOf(app_id: string, { user_id, cid, device_id }: PersonQuery): Key {
    if (user_id !== undefined) return { kind: "user", value: user_id };
    if (cid !== undefined) return { kind: "cid", value: cid };
    return { kind: "device", value: options.hashDevice(app_id, device_id ?? "") };
  }

  /** @throws AppError not_found */
  async function getErasure(id: string, app_scope: string | null): Promise<Erasure> {
    const row = await erasures.find(id, app_scope);
    if (row === null) throw notFound("erasure");
    return present(row);
  }

  /** Newest first. @throws AppError invalid_request (cursor) */
  async function listErasures(app_id: string, { limit, cursor }: PageQuery) {
    const [created_at, id] = cursor === undefined ? [] : decodeCursor(cursor, ["number", "string"]);
    const before = cursor === undefined ? null : { created_at: Number(created_at), id: String(id) };
    const found = await erasures.page(app_id, before, limit + 1);
    const shown = found.slice(0, limit);
    const last = shown.at(-1);
    const next_cursor = found.length > limit && last ? encodeCursor([last.created_at, last.id]) : null;
    return { items: shown.map(present), next_cursor };
  }

  return { startErasure, previewErasure, getErasure, listErasures, showPerson };
}

/** Each once; false when there is more than is shown. */
async function fill<One>(
  into: Map<string, One>,
  keys: readonly Key[],
  pagesOf: (key: Key) => AsyncGenerator<One[]>,
  idOf: (one: One) => string,
): Promise<boolean> {
  for (const key of keys) {
    for await (const page of pagesOf(key)) {
      for (const one of page) {
        if (into.size >= SHOWN_MAX) return false;
        into.set(idOf(one), one);
      }
    }
  }
  return true;
}

const NAMED_BY = { user: "user_id", cid: "cid", device: "device_id" } as const;

function present(row: ErasureRow): Erasure {
  const { id, app_id, kind, events, clicks, app_events, identities, created_at, finished_at } = row;
  return {
    ...{ id, app_id, named_by: NAMED_BY[kind], state: finished_at === null ? "running" : "done" },
    ...{ events, clicks, app_events, identities },
    ...{ created_at: timeText(created_at), finished_at: timeText(finished_at) },
  };
}
