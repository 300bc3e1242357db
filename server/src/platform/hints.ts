// Tells the other processes on the same database what they would find by polling up to a second later: that deliveries of a
// destination are due, that an app's destinations changed, that a replay is due, that dispatchers have joined or left, and
// which attempts are not to be made although they are claimed, one by one or all of a replay. Sent after the commit, gathered
// and without doubles, on a pooled connection; nothing depends on one, and only who has changed a destination waits until it is
// sent (flush), so that what comes after the answer finds the others told. Made by compose-pipeline.ts.
import { type Database, WIRE_TEXT_MAX_CHARS, type WireListener } from "./database.ts";

/** What comes within this time goes together. NOTIFY passes through one lock of the whole server. */
const GATHER_MS = 20;
/** Who polls has looked by then, if the database answers at all. */
const FLUSH_LIMIT_MS = 1_000;
/** With more ids of a kind, the others had better look for themselves: one look instead of a claim for each. */
const IDS_MAX = 50;
/** Attempts of one message, whose names are longer; more go with the next. */
const DROPPED_MAX = 40;
const DROPPED_WAITING_MAX = 2_000;
const CANCELED_MAX = 20;

/** This attempt of a delivery, and every earlier one: it was canceled, or another one was asked for. */
export interface Dropped {
  destination_id: string;
  position: string;
  attempt: number;
}

/** What one process says to the others, and what they hear. */
interface Telling {
  /** @param is_asked whether some of it is what a person asked for: a webhook that rests or is off is sent nothing else */
  due(destination_id: string, is_asked: boolean): void;
  changed(app_id: string): void;
  replays(): void;
  dispatchers(): void;
  dropped(attempt: Dropped): void;
  /** A replay: nothing that has not begun is sent for it any more. */
  canceled(replay_id: string): void;
}

export interface HintListener extends Telling {
  /** Anything may have become due or changed. */
  all(): void;
}

export interface HintsOptions {
  wire: Database["wire"];
  /** This process, so that it passes over what it sent itself. */
  sender: string;
  after(delay_ms: number, callback: () => void): () => void;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
}

export interface Hints extends Telling {
  /** Sends at once what waits to be sent, and resolves when that is done, has failed, or has taken a second. */
  flush(): Promise<void>;
  listen(listener: HintListener): void;
  /** Sends nothing more, but that a dispatcher has left, and lets go of the connection that listens. */
  stop(): Promise<void>;
}

/** As it is sent; a later version may send more. */
interface Message {
  from: string;
  due?: string[];
  /** Those of `due` of which a person asked for something. */
  asked?: string[];
  changed?: string[];
  replays?: boolean;
  dispatchers?: boolean;
  dropped?: Dropped[];
  canceled?: string[];
  all?: boolean;
}

interface Gathered {
  due: Set<string>;
  asked: Set<string>;
  changed: Set<string>;
  replays: boolean;
  dispatchers: boolean;
  /** By delivery; the last word on each. */
  dropped: Map<string, Dropped>;
  canceled: Set<string>;
}

const SILENT: Hints = {
  due() {},
  changed() {},
  replays() {},
  dispatchers() {},
  dropped() {},
  canceled() {},
  async flush() {},
  listen() {},
  async stop() {},
};

export function createHints({ wire, sender, after, log }: HintsOptions): Hints {
  if (wire === undefined) return SILENT;
  let gathered = nothing();
  let state: "idle" | "gathering" | "sending" | "stopped" = "idle";
  let cancelTimer = () => {};
  let sending: Promise<void> = Promise.resolve();
  let stopListening = async () => {};

  function add(to: Set<string>, id: string): void {
    // One too many says that there are too many.
    if (to.size <= IDS_MAX) to.add(id);
    gather();
  }

  function gather(): void {
    if (state !== "idle") return;
    state = "gathering";
    cancelTimer = after(GATHER_MS, () => {
      state = "sending";
      sending = send();
    });
  }

  async function send(): Promise<void> {
    const text = composeHints(sender, gathered);
    const rest = [...gathered.dropped].slice(DROPPED_MAX);
    gathered = { ...nothing(), dropped: new Map(rest) };
    // What is lost is found by polling.
    await wire?.send(text).catch(() => {});
    if (state !== "sending") return;
    state = "idle";
    const { due, changed, replays, dispatchers, dropped, canceled } = gathered;
    const sets = [due, changed, dropped, canceled];
    if (replays || dispatchers || sets.some(({ size }) => size > 0)) gather();
  }

  function flush(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancelLimit = after(FLUSH_LIMIT_MS, over.resolve);
    return Promise.race([sendGathered(), over.promise]).finally(cancelLimit);
  }

  async function sendGathered(): Promise<void> {
    // What is being sent may have been composed before the caller's.
    await sending;
    if (state === "gathering") {
      cancelTimer();
      state = "sending";
      sending = send();
    }
    await sending;
  }

  function listen(listener: HintListener): void {
    const wire_listener: WireListener = {
      heard: (text) => hear(text, listener),
      missed: listener.all,
      cut: (error) => log("hints.cut", { error }, "warn"),
      mended: () => log("hints.mended", {}),
    };
    stopListening = wire?.listen(wire_listener) ?? stopListening;
  }

  function hear(text: string, listener: HintListener): void {
    const message = readHints(text);
    if (message === null || message.from === sender) return;
    if (message.all) listener.all();
    const asked = new Set(message.asked);
    for (const id of message.changed ?? []) listener.changed(id);
    for (const id of message.due ?? []) listener.due(id, asked.has(id));
    if (message.replays) listener.replays();
    if (message.dispatchers) listener.dispatchers();
    for (const attempt of message.dropped ?? []) listener.dropped(attempt);
    for (const id of message.canceled ?? []) listener.canceled(id);
  }

  async function stop(): Promise<void> {
    const is_leaving = state === "gathering" && gathered.dispatchers;
    state = "stopped";
    cancelTimer();
    if (is_leaving) sending = send();
    await Promise.all([sending, stopListening()]);
  }

  return {
    due(id, is_asked) {
      add(gathered.due, id);
      if (is_asked && gathered.due.has(id)) gathered.asked.add(id);
    },
    changed: (id) => add(gathered.changed, id),
    dropped(attempt) {
      const key = `${attempt.destination_id} ${attempt.position}`;
      // With more, the others find out when they renew their leases.
      if (gathered.dropped.has(key) || gathered.dropped.size < DROPPED_WAITING_MAX) gathered.dropped.set(key, attempt);
      gather();
    },
    canceled: (id) => add(gathered.canceled, id),
    replays() {
      gathered.replays = true;
      gather();
    },
    dispatchers() {
      gathered.dispatchers = true;
      gather();
    },
    flush,
    listen,
    stop,
  };
}

function nothing(): Gathered {
  const flags = { replays: false, dispatchers: false };
  return { due: new Set(), asked: new Set(), changed: new Set(), ...flags, dropped: new Map(), canceled: new Set() };
}

function composeHints(from: string, gathered: Gathered): string {
  const { due, asked, changed, dropped: all_dropped, canceled: all_canceled, ...flags } = gathered;
  const dropped = [...all_dropped.values()].slice(0, DROPPED_MAX);
  // What does not fit is found by polling.
  const canceled = [...all_canceled].slice(0, CANCELED_MAX);
  const all = JSON.stringify({ from, all: true, dropped, canceled } satisfies Message);
  if (due.size > IDS_MAX || changed.size > IDS_MAX) return all;
  const ids = { due: [...due], asked: [...asked], changed: [...changed] };
  const message: Message = { from, ...ids, dropped, canceled, ...flags };
  const text = JSON.stringify(message);
  return text.length > WIRE_TEXT_MAX_CHARS ? all : text;
}

/** Null for what is none of ours: whoever may use the database may send to its channels. */
function readHints(text: string): Message | null {
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read !== "object" || read === null || !("from" in read) || typeof read.from !== "string") return null;
    const fields: Record<string, unknown> = { ...read };
    return {
      from: read.from,
      due: readIds(fields["due"]),
      // A version that does not tell them apart may mean any.
      asked: readIds(fields["asked"] ?? fields["due"]),
      changed: readIds(fields["changed"]),
      replays: fields["replays"] === true,
      dispatchers: fields["dispatchers"] === true,
      dropped: Array.isArray(fields["dropped"]) ? fields["dropped"].slice(0, DROPPED_MAX).filter(isDropped) : [],
      canceled: readIds(fields["canceled"]),
      all: fields["all"] === true,
    };
  } catch {
    return null;
  }
}

function isDropped(value: unknown): value is Dropped {
  if (typeof value !== "object" || value === null) return false;
  const { destination_id, position, attempt }: Partial<Record<keyof Dropped, unknown>> = value;
  return typeof destination_id === "string" && typeof position === "string" && Number.isSafeInteger(attempt);
}

function readIds(value: unknown): string[] {
  return Array.isArray(value) ? value.slice(0, IDS_MAX).filter((id) => typeof id === "string") : [];
}
