// `@li-nk.me/node-sdk/receiver/outbox-postgres`: a table in your own database where events wait for a worker. An event can be put
// there within a transaction of yours, so that it is there if and only if your own changes are.
// A worker takes rows under a lease: when it dies they are taken again, by itself or by any other.
import type { LinkMeWebhookEnvelope } from "../events.ts";
import { delayOf, messageOf } from "./errors.ts";
import { keyOf } from "./event-key.ts";
import type { HandOff } from "./options.ts";
import { checkTable, indexOf, type PostgresLike } from "./postgres.ts";

export type { PostgresLike } from "./postgres.ts";

const BATCH_DEFAULT = 20;
const LEASE_DEFAULT_MS = 60_000;
const POLL_DEFAULT_MS = 1_000;
const ATTEMPTS_DEFAULT = 20;
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60 * 60 * 1000;
const ERROR_MAX_CHARS = 1_000;

export interface OutboxOptions {
  client: PostgresLike;
  /** Default `linkme_outbox`. */
  table?: string;
}

export interface Outbox extends HandOff {
  /** Creates the table where it is not there yet. For a start, a migration or a test. */
  createTable(): Promise<void>;
  /**
   * Puts an event into the outbox; one that is there already stays as it is.
   *
   * @param client The one of your transaction, so that the event is stored with it or not at all; default: the outbox's.
   */
  enqueue(event: LinkMeWebhookEnvelope, client?: PostgresLike): Promise<void>;
  /** Takes what is due, under a lease. For workers of your own; `drainOutbox` is the ready one. */
  take(count: number, lease_ms: number): Promise<OutboxItem[]>;
  /** Removes what is done. */
  remove(item: OutboxItem): Promise<void>;
  /** Makes an item due again after a while; `null` gives it up: it stays, with its error, and is not taken any more. */
  putBack(item: OutboxItem, delay_ms: number | null, error: unknown): Promise<void>;
}

export interface OutboxItem {
  key: string;
  event: LinkMeWebhookEnvelope;
  /** 1 for the first. */
  attempt: number;
}

/**
 * An outbox, to be given to `createReceiver` as `handOff`.
 *
 * @throws {LinkMeUsageError} `receiver_option`: `table` is no name
 *
 * @example
 * const outbox = postgresOutbox({ client: pool });
 * const receiver = createReceiver({ secrets, handOff: outbox });
 */
export function postgresOutbox(options: OutboxOptions): Outbox {
  const { client } = options;
  const table = checkTable(options.table ?? "linkme_outbox");
  return {
    async createTable() {
      await client.query(
        `create table if not exists ${table} (
          key text primary key,
          event text not null,
          attempts integer not null default 0,
          due_at timestamptz default clock_timestamp(),
          last_error text
        )`,
        [],
      );
      await client.query(`create index if not exists ${indexOf(table, "due_at")} on ${table} (due_at)`, []);
    },
    async enqueue(event, own = client) {
      await own.query(`insert into ${table} (key, event) values ($1, $2) on conflict (key) do nothing`, [
        keyOf(event, "outbox"),
        JSON.stringify(event),
      ]);
    },
    async take(count, lease_ms) {
      // The lease is the time at which the row is due again: a worker that dies needs nobody to clean up.
      const { rows } = await client.query(
        `update ${table} set attempts = attempts + 1, due_at = clock_timestamp() + $2 * interval '1 millisecond'
          where key in (
            select key from ${table} where due_at <= clock_timestamp() order by due_at limit $1 for update skip locked
          )
          returning key, event, attempts`,
        [count, lease_ms],
      );
      return rows.map(({ key, event, attempts }) => ({
        key: String(key),
        // Written by `enqueue` above.
        event: JSON.parse(String(event)) as LinkMeWebhookEnvelope,
        attempt: Number(attempts),
      }));
    },
    async remove({ key, attempt }) {
      // Of a row that somebody else has taken meanwhile nothing is known here.
      await client.query(`delete from ${table} where key = $1 and attempts = $2`, [key, attempt]);
    },
    async putBack({ key, attempt }, delay_ms, error) {
      await client.query(
        `update ${table} set due_at = clock_timestamp() + $3 * interval '1 millisecond', last_error = $4
          where key = $1 and attempts = $2`,
        // Null plus any span is null, and null is never due.
        [key, attempt, delay_ms, messageOf(error).slice(0, ERROR_MAX_CHARS)],
      );
    },
  };
}

export interface DrainOptions {
  outbox: Outbox;
  /** What is done with an event: `receiver.process`. What it rejects with makes the event due again, later each time. */
  process(event: LinkMeWebhookEnvelope): Promise<unknown>;
  /** Ends the loop when it is aborted, after what is in hand. */
  signal?: AbortSignal;
  /** Ends when nothing is due, instead of waiting: for a cron job, or a test. */
  until_empty?: boolean;
  /** How many are in hand at once; default 20. */
  batch?: number;
  /** After it, an event that is still in hand may be taken by another worker; default 60,000. */
  lease_ms?: number;
  /** How long it waits where nothing is due; default 1,000. */
  poll_ms?: number;
  /** After so many attempts an event is given up; default 20, which are more than ten hours. */
  max_attempts?: number;
  /** Told of every failed attempt, and of a database that does not answer; default: the console. */
  onError?(error: unknown, item?: OutboxItem): void;
}

export interface DrainReport {
  /** Events that were done with. */
  done: number;
  /** Attempts that failed. */
  failed: number;
  /** Events that were given up. */
  given_up: number;
}

/**
 * Works off an outbox until it is told to stop. Any number of them may run at once, in any number of processes.
 *
 * @example
 * const stop = new AbortController();
 * process.on("SIGTERM", () => stop.abort());
 * await drainOutbox({ outbox, process: receiver.process, signal: stop.signal });
 */
export async function drainOutbox(options: DrainOptions): Promise<DrainReport> {
  const { outbox, signal, until_empty = false, batch = BATCH_DEFAULT } = options;
  const { lease_ms = LEASE_DEFAULT_MS, poll_ms = POLL_DEFAULT_MS, max_attempts = ATTEMPTS_DEFAULT } = options;
  const report: DrainReport = { done: 0, failed: 0, given_up: 0 };
  const tell = options.onError ?? ((error: unknown) => console.error(`LinkMe outbox: ${messageOf(error)}`));

  async function workOn(item: OutboxItem): Promise<void> {
    try {
      await options.process(item.event);
    } catch (error) {
      tell(error, item);
      report.failed += 1;
      const is_over = item.attempt >= max_attempts;
      if (is_over) report.given_up += 1;
      return outbox.putBack(item, is_over ? null : delayAfter(item.attempt, error), error);
    }
    report.done += 1;
    return outbox.remove(item);
  }

  while (signal?.aborted !== true) {
    let items: OutboxItem[] = [];
    try {
      items = await outbox.take(batch, lease_ms);
    } catch (error) {
      if (until_empty) throw error;
      // The database may answer again: a worker that ends here would have to be started by somebody.
      tell(error);
    }
    const results = await Promise.allSettled(items.map(workOn));
    // What could not be written down is taken again when its lease is over.
    for (const result of results) if (result.status === "rejected") tell(result.reason);
    if (items.length > 0) continue;
    if (until_empty) break;
    await pause(poll_ms, signal);
  }
  return report;
}

/** Twice as long each time, from a second to an hour, unless the error asks for more. */
function delayAfter(attempt: number, error: unknown): number {
  const backoff_ms = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (attempt - 1));
  return Math.max(backoff_ms, delayOf(error) ?? 0);
}

/** Waits, and no longer than until the signal comes. */
function pause(span_ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    // It may have come meanwhile, and it comes only once.
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, span_ms);
    signal?.addEventListener("abort", end);
  });
}
