// Sends the notices that are kept in the database, in every process that dispatches or answers the management API. Each way
// out goes its own pace, so that a mail server that hangs keeps no line from the log. A claim is a lease: as a rule one
// process sends, and what a process that dies has claimed another one sends when the lease has run out.
import type { NoticeChannelName } from "#contract/notices.ts";
import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import { uuidFloor } from "../platform/ids.ts";
import type { LogLevel } from "../platform/log.ts";
import type { Channel } from "./channels.ts";
import { type SendRow, STALE_MS, settle } from "./notice.ts";
import { type Claimed, KEPT_MS, type NoticeStore } from "./store.ts";

const POLL_MS = 5_000;
/** After a hint, so that the notices of one moment leave together. */
const HINT_MS = 50;
/** Longer than any way out may take. */
export const LEASE_MS = 30_000;
const PRUNE_EVERY_MS = 3_600_000;
/** A stop waits so long for what became of the last attempts to be written. */
const STOP_WAIT_MS = 1_000;

export interface SenderOptions {
  store: Pick<NoticeStore, "claim" | "settle" | "isDue" | "prune">;
  channels: readonly Channel[];
  clock: Clock;
  log(event: string, fields: Record<string, unknown>, level?: LogLevel): void;
  /** Called when the database has answered. */
  answered(): Promise<void>;
}

export type Sender = ReturnType<typeof createSender>;

export function createSender({ store, channels, clock, log, answered }: SenderOptions) {
  const names = channels.map(({ name }) => name);
  const running = new Map<NoticeChannelName, Promise<void>>();
  const stopping = Promise.withResolvers<"stopped">();
  let state: "idle" | "running" | "stopping" = "idle";
  let looking: Promise<void> | undefined;
  let hint: "none" | "waiting" | "late" = "none";
  let pruned_at = Number.NEGATIVE_INFINITY;
  let cancelTimer = () => {};

  /** Sends all that is due on one way, a batch after the other. */
  async function run(channel: Channel): Promise<void> {
    while (state !== "stopping") {
      const now = clock.now();
      const claimed = await store.claim(channel.name, now, now + LEASE_MS, channel.batch);
      if (claimed.length === 0) return;
      await store.settle(await sendBatch(channel, claimed));
    }
  }

  async function sendBatch(channel: Channel, claimed: readonly Claimed[]): Promise<SendRow[]> {
    const now = clock.now();
    const is_stale = ({ notice }: Claimed) => now - notice.created_at > STALE_MS;
    const old = claimed.filter(is_stale).map(({ send }) => giveUp(send));
    const fresh = claimed.filter((one) => !is_stale(one));
    if (fresh.length === 0) return old;
    const sends = fresh.map(({ send }) => send);
    const attempt = Math.max(...sends.map(({ attempts }) => attempts));
    const notices = fresh.map(({ notice }) => notice);
    const result = await Promise.race([channel.send(notices, attempt).then((error) => ({ error })), stopping.promise]);
    if (result === "stopped") return [...old, ...sends.map((send) => putBack(send, clock.now()))];
    const settled = sends.map((send) => settle(send, result.error, clock.now()));
    if (result.error !== null) noteFailure(channel, settled, result.error);
    return [...old, ...settled];
  }

  function noteFailure(channel: Channel, settled: readonly SendRow[], error: string): void {
    const has_ended = settled.some(({ state: now_state }) => now_state === "failed");
    const fields = { channel: channel.name, notices: settled.length, reason: error };
    log(has_ended ? "notice.failed" : "notice.not_sent", fields, "warn");
  }

  async function look(): Promise<void> {
    hint = "none";
    if (await store.isDue(names, clock.now())) for (const channel of channels) runOnce(channel);
    await answered();
    await pruneNowAndThen();
  }

  function runOnce(channel: Channel): void {
    if (running.has(channel.name) || state !== "running") return;
    const work = run(channel)
      .catch((error: unknown) => note(error))
      .finally(() => running.delete(channel.name));
    running.set(channel.name, work);
  }

  /** What a database that is away means is said by others; the next poll tries again. */
  function note(error: unknown): void {
    if (state === "running" && !isDatabaseError(error, "unavailable")) log("notices.not_sent", { error }, "warn");
  }

  async function pruneNowAndThen(): Promise<void> {
    const now = clock.now();
    if (now - pruned_at < PRUNE_EVERY_MS && now >= pruned_at) return;
    // A step at each look, until nothing is left.
    if (!(await store.prune(uuidFloor(now - KEPT_MS), now - KEPT_MS))) pruned_at = now;
  }

  async function loop(): Promise<void> {
    looking = look().catch((error: unknown) => note(error));
    await looking;
    looking = undefined;
    // TypeScript does not see that a hint may come while it looks.
    schedule((hint as "none" | "late") === "late" ? HINT_MS : POLL_MS);
  }

  function schedule(delay_ms: number): void {
    cancelTimer();
    if (state === "running") cancelTimer = clock.after(delay_ms, () => void loop());
  }

  /** A hint that something was kept. One that is lost costs a poll. */
  function wake(): void {
    if (state !== "running" || hint !== "none") return;
    if (looking !== undefined) hint = "late";
    else {
      hint = "waiting";
      schedule(HINT_MS);
    }
  }

  function start(): void {
    state = "running";
    schedule(0);
  }

  /** Claims nothing more, and lets nobody wait: what is under way is put back, to be sent again by the next process. */
  async function stop(): Promise<void> {
    if (state !== "running") return;
    state = "stopping";
    cancelTimer();
    stopping.resolve("stopped");
    const ending = Promise.all([looking, ...running.values()]);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(STOP_WAIT_MS, resolve);
    await Promise.race([ending, late]);
    cancel();
  }

  return { wake, start, stop };
}

function giveUp(send: SendRow): SendRow {
  const error = send.error === null ? "It could not leave in a day" : `It could not leave in a day: ${send.error}`;
  return { ...send, state: "failed", due_at: null, error };
}

function putBack(send: SendRow, now: number): SendRow {
  return { ...send, due_at: now, error: "The server stopped before it had an answer" };
}
