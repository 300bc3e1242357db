// Tells the other processes on the same database what they would find by polling up to a second later: that deliveries of a
// destination are due, that an app's destinations changed, that a replay is due, that dispatchers have joined or left. Sent
// after the commit, gathered and without doubles, on a pooled connection; never waited for, and nothing depends on one. Made
// by compose.ts.
import { type Database, WIRE_TEXT_MAX_CHARS, type WireListener } from "./database.ts";

/** What comes within this time goes together. NOTIFY passes through one lock of the whole server. */
const GATHER_MS = 20;
/** With more ids of a kind, the others had better look for themselves: one look instead of a claim for each. */
const IDS_MAX = 50;

export interface HintListener {
  due(destination_id: string): void;
  changed(app_id: string): void;
  replays(): void;
  dispatchers(): void;
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

export interface Hints {
  due(destination_id: string): void;
  changed(app_id: string): void;
  replays(): void;
  dispatchers(): void;
  listen(listener: HintListener): void;
  /** Sends nothing more, but that a dispatcher has left, and lets go of the connection that listens. */
  stop(): Promise<void>;
}

/** As it is sent; a later version may send more. */
interface Message {
  from: string;
  due?: string[];
  changed?: string[];
  replays?: boolean;
  dispatchers?: boolean;
  all?: boolean;
}

interface Flags {
  replays: boolean;
  dispatchers: boolean;
}

const SILENT: Hints = { due() {}, changed() {}, replays() {}, dispatchers() {}, listen() {}, async stop() {} };

export function createHints({ wire, sender, after, log }: HintsOptions): Hints {
  if (wire === undefined) return SILENT;
  const gathered = { due: new Set<string>(), changed: new Set<string>(), replays: false, dispatchers: false };
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
    gathered.due.clear();
    gathered.changed.clear();
    gathered.replays = false;
    gathered.dispatchers = false;
    // What is lost is found by polling.
    await wire?.send(text).catch(() => {});
    if (state !== "sending") return;
    state = "idle";
    const { due, changed, replays, dispatchers } = gathered;
    if (due.size > 0 || changed.size > 0 || replays || dispatchers) gather();
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
    for (const id of message.changed ?? []) listener.changed(id);
    for (const id of message.due ?? []) listener.due(id);
    if (message.replays) listener.replays();
    if (message.dispatchers) listener.dispatchers();
  }

  async function stop(): Promise<void> {
    const is_leaving = state === "gathering" && gathered.dispatchers;
    state = "stopped";
    cancelTimer();
    if (is_leaving) sending = send();
    await Promise.all([sending, stopListening()]);
  }

  return {
    due: (id) => add(gathered.due, id),
    changed: (id) => add(gathered.changed, id),
    replays() {
      gathered.replays = true;
      gather();
    },
    dispatchers() {
      gathered.dispatchers = true;
      gather();
    },
    listen,
    stop,
  };
}

function composeHints(
  from: string,
  { due, changed, ...flags }: { due: ReadonlySet<string>; changed: ReadonlySet<string> } & Flags,
): string {
  const all = JSON.stringify({ from, all: true } satisfies Message);
  if (due.size > IDS_MAX || changed.size > IDS_MAX) return all;
  const message: Message = { from, due: [...due], changed: [...changed], ...flags };
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
      changed: readIds(fields["changed"]),
      replays: fields["replays"] === true,
      dispatchers: fields["dispatchers"] === true,
      all: fields["all"] === true,
    };
  } catch {
    return null;
  }
}

function readIds(value: unknown): string[] {
  return Array.isArray(value) ? value.slice(0, IDS_MAX).filter((id) => typeof id === "string") : [];
}
