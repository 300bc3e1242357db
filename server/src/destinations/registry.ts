// The destinations of each app, prepared and kept in memory: read by fan-out for every event and by the dispatcher for
// every delivery. Exact: fan-out repeats the version in its transaction and calls `refresh` when it no longer holds;
// `find` reads the version again every second, so a change made by another process is seen within that time.
import { type Destination, type DestinationRow, isStopped } from "./destination.ts";

/** Room for this many destinations over all apps; the app used longest ago makes way. */
const CACHED_DESTINATIONS_MAX = 20_000;
/** How long `find` trusts what it has read, in ms. */
export const VERSION_CHECK_MS = 1_000;
/** Whose turn it is to make way need not be known more exactly: a map whose entries move with each event is written anew again and again. */
const USED_LATELY_MS = 1_000;
/** No app has this version, so a guard with it never holds: what an app that does not exist has. */
export const NO_VERSION = -1;

export interface AppDestinations {
  readonly version: number;
  readonly destinations: readonly Destination[];
  /** What all their filters ask of each event, at most. */
  readonly conditions: number;
  /** How many take events of each type now; a type that none takes is left out. */
  readonly takers: ReadonlyMap<string, number>;
}

interface RegistryOptions {
  store: {
    /** Null for an unknown app. */
    loadApp(app_id: string): Promise<LoadedApp | null>;
    versionOf(app_id: string): Promise<number | null>;
    appOf(destination_id: string): Promise<string | null>;
  };
  prepare(row: DestinationRow): Destination;
  now(): number;
  /**
   * Called for every destination that a load found changed, new or gone, and for all of an app that was not in memory, for
   * whoever holds one of them may hold an old one.
   * @param was_known false when the app was not in memory, so that nothing need have changed
   */
  changed(destination_id: string, was_known: boolean): void;
  capacity?: number;
}

export interface Registry {
  /** What is cached, at once; undefined when `ofApp` would have to read. */
  peek(app_id: string): AppDestinations | undefined;
  ofApp(app_id: string): Promise<AppDestinations>;
  find(destination_id: string): Promise<Destination | null>;
  refresh(app_id: string): Promise<void>;
  /** Takes over what somebody has read. */
  learn(app_id: string, found: LoadedApp | null): void;
}

/** Version and rows of one moment. */
export interface LoadedApp {
  version: number;
  rows: DestinationRow[];
}

interface Entry extends AppDestinations {
  readonly by_id: ReadonlyMap<string, { destination: Destination; text: string }>;
  /** Loads are numbered as they begin, so that a slow one never replaces a later one. */
  readonly load: number;
  checked_at: number;
  /** When it was last moved behind all others. */
  used_at: number;
  /** True after a change that could not be read: served to nobody, and compared with by the next load. */
  is_outdated: boolean;
  checking: Promise<Entry> | null;
}

interface Load {
  running: Promise<Entry>;
  /** Begins when `running` ends; everyone who asks meanwhile shares it. */
  queued: Promise<Entry> | null;
}

export function createRegistry(options: RegistryOptions): Registry {
  const { store, prepare, now } = options;
  const capacity = options.capacity ?? CACHED_DESTINATIONS_MAX;
  /** In the order of last use, but for USED_LATELY_MS. */
  const entries = new Map<string, Entry>();
  const app_of = new Map<string, string>();
  const loads = new Map<string, Load>();
  let load_count = 0;

  async function ofApp(app_id: string): Promise<AppDestinations> {
    return use(app_id) ?? loads.get(app_id)?.running ?? begin(app_id);
  }

  async function find(destination_id: string): Promise<Destination | null> {
    const app_id = app_of.get(destination_id) ?? (await store.appOf(destination_id));
    if (app_id === null) return null;
    const entry = use(app_id) ?? (await (loads.get(app_id)?.running ?? begin(app_id)));
    const age = now() - entry.checked_at;
    // A clock that was set back makes the age negative.
    const current = age >= 0 && age < VERSION_CHECK_MS ? entry : await check(app_id, entry);
    return current.by_id.get(destination_id)?.destination ?? null;
  }

  /** Answers when the cache holds what was committed before this call. */
  async function refresh(app_id: string): Promise<void> {
    try {
      await loadAnew(app_id);
    } catch (error) {
      // The next reader loads, and compares: whoever holds what has changed is told then.
      const kept = entries.get(app_id);
      if (kept !== undefined) kept.is_outdated = true;
      throw error;
    }
  }

  function check(app_id: string, entry: Entry): Promise<Entry> {
    const compare = async () => {
      const asked_at = now();
      const version = await store.versionOf(app_id);
      // Or somebody has read a later one meanwhile, or knows that there is one; of what has made way nobody would know it.
      if (version !== entry.version || entries.get(app_id) !== entry || entry.is_outdated) return loadAnew(app_id);
      entry.checked_at = asked_at;
      return entry;
    };
    entry.checking ??= compare().finally(() => {
      entry.checking = null;
    });
    return entry.checking;
  }

  /** A load under way may have read before the caller's change, so another one follows it. */
  function loadAnew(app_id: string): Promise<Entry> {
    const load = loads.get(app_id);
    if (load === undefined) return begin(app_id);
    load.queued ??= load.running.then(
      () => begin(app_id),
      () => begin(app_id),
    );
    return load.queued;
  }

  function begin(app_id: string): Promise<Entry> {
    const load: Load = { running: read(app_id), queued: null };
    loads.set(app_id, load);
    const done = () => {
      if (loads.get(app_id) === load) loads.delete(app_id);
    };
    load.running.then(done, done);
    return load.running;
  }

  async function read(app_id: string): Promise<Entry> {
    const load = ++load_count;
    const checked_at = now();
    return remember(app_id, await store.loadApp(app_id), load, checked_at);
  }

  function learn(app_id: string, found: LoadedApp | null): void {
    remember(app_id, found, ++load_count, now());
  }

  function remember(app_id: string, found: LoadedApp | null, load: number, checked_at: number): Entry {
    const before = entries.get(app_id);
    if (before !== undefined && before.load > load) return before;
    const by_id = new Map(found?.rows.map((row) => [row.id, keepOrPrepare(row, before)]));
    const destinations = [...by_id.values()].map(({ destination }) => destination);
    const conditions = destinations.reduce((sum, { filter }) => sum + (filter?.conditions ?? 0), 0);
    const version = found?.version ?? NO_VERSION;
    const takers = countTakers(destinations);
    const entry: Entry = {
      version,
      destinations,
      conditions,
      takers,
      by_id,
      load,
      checked_at,
      used_at: now(),
      is_outdated: false,
      checking: null,
    };
    forget(app_id);
    if (found !== null) keep(app_id, entry);
    notify(before, entry);
    return entry;
  }

  /** Unsealing and preparing costs far more than comparing, and an unchanged destination stays the same object. */
  function keepOrPrepare(row: DestinationRow, before: Entry | undefined) {
    const text = JSON.stringify(row);
    const known = before?.by_id.get(row.id);
    return known?.text === text ? known : { destination: prepare(row), text };
  }

  function use(app_id: string): Entry | undefined {
    const entry = entries.get(app_id);
    if (entry === undefined || entry.is_outdated) return undefined;
    const at = now();
    if (at >= entry.used_at && at - entry.used_at < USED_LATELY_MS) return entry;
    entries.delete(app_id);
    entries.set(app_id, entry);
    entry.used_at = at;
    return entry;
  }

  function keep(app_id: string, entry: Entry): void {
    entries.set(app_id, entry);
    for (const id of entry.by_id.keys()) app_of.set(id, app_id);
    // The newest stays even when it fills the cache alone. An app without destinations takes room for one.
    for (const oldest of entries.keys()) {
      if (app_of.size + entries.size <= capacity || oldest === app_id) break;
      forget(oldest);
    }
  }

  function forget(app_id: string): void {
    const entry = entries.get(app_id);
    if (entry === undefined) return;
    entries.delete(app_id);
    for (const id of entry.by_id.keys()) app_of.delete(id);
  }

  function notify(before: Entry | undefined, after: Entry): void {
    for (const id of new Set([...(before?.by_id.keys() ?? []), ...after.by_id.keys()])) {
      if (before?.by_id.get(id) !== after.by_id.get(id)) options.changed(id, before !== undefined);
    }
  }

  return { peek: use, ofApp, find, refresh, learn };
}

function countTakers(destinations: readonly Destination[]): Map<string, number> {
  const takers = new Map<string, number>();
  for (const destination of destinations) {
    if (isStopped(destination)) continue;
    for (const event of destination.events) takers.set(event, (takers.get(event) ?? 0) + 1);
  }
  return takers;
}
