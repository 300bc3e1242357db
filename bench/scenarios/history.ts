// Scenario `history`: a database with ten million finished attempts of the last weeks, written by SQL, and what a person
// asks of it through the API, one call after another: lists, searches, look-ups, each at random places. Claims are timed
// on a queue of their own in the same tables. Longer than the others, so it runs only when it is named.
import { createDeliveryStore } from "../../server/src/deliveries/store.ts";
import type { Database } from "../../server/src/platform/database.ts";
import { openDatabase } from "../../server/src/platform/database-open.ts";
import type { Statement } from "../../server/src/platform/sql.ts";
import { callApi, createApp, createWebhook } from "../api.ts";
import { percentiles } from "../measure.ts";
import type { Engine, Options } from "../options.ts";
import { type Server, startServer } from "../processes.ts";
import { formatTimes, goalOf, TIMES, type Timing, timeQuestion } from "../questions.ts";
import { formatCount, formatGoals, formatTable, type Goal } from "../report.ts";

/** Rows that one statement of the filling writes; it must end within the server's own statement timeout. */
const CHUNK_ROWS = 20_000;
/** Within the default limit for attempts, so that nothing expires meanwhile. */
const SPAN_MS = 25 * 24 * 3_600_000;
/** Waiting in a queue of its own, and taken from it by so many at a time. */
const QUEUED = 20_000;
const CLAIMED = 100;
const CLAIMS = 100;
const QUEUE_ID = "dst_queue";
const LEASE_MS = 3_600_000;
/** Every fifth attempt failed and has a row of its own; every thousandth event is of another type and of a link of its own. */
const FAILED_EVERY = 5;
const RARE_EVERY = 1_000;
/** The webhook is off: nothing of what is asked for by mistake is sent. */
const NOWHERE = "http://127.0.0.1:9/";

export type History = {
  engine: Engine["kind"];
  attempts: number;
  fill_seconds: number;
  timings: Timing[];
  goals: Goal[];
  problems: string[];
};

export async function runHistory(options: Options, say: (text: string) => void): Promise<History> {
  const { attempts } = options;
  say(`history: ${formatCount(attempts)} attempts`);
  const server = await startServer(options.engine);
  try {
    const app_id = await createApp(server);
    const webhook_id = await createWebhook(server, { app_id, url: NOWHERE, event: "link.app_open" });
    await callApi(server, { method: "PATCH", path: `/api/webhooks/${webhook_id}`, body: { enabled: false } });
    const db = await openDatabase(server.database_url);
    try {
      const place = { app_id, webhook_id, end: Date.now(), attempts };
      const startedAt = performance.now();
      await fill(db, place, say);
      const fill_seconds = (performance.now() - startedAt) / 1_000;
      say(`history: filled in ${Math.round(fill_seconds)} s`);
      const { timings, problems } = await ask(server, place);
      timings.push(await timeClaims(db));
      const goals = timings.map(goalOf);
      return { engine: options.engine.kind, attempts, fill_seconds, timings, goals, problems };
    } finally {
      await db.close();
    }
  } finally {
    await server.stop();
  }
}

type Place = { app_id: string; webhook_id: string; end: number; attempts: number };

/** When the n-th event was accepted: evenly over the span. */
export function timeOf({ end, attempts }: Place, n: number): number {
  return end - SPAN_MS + Math.floor((n * SPAN_MS) / attempts);
}

/** The n-th position: a UUID version 7 with its time, and the number in place of the random bits. */
export function positionOf(at: number, n: number): string {
  const time = at.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, "0")}`;
}

export async function fill(db: Database, place: Place, say: (text: string) => void): Promise<void> {
  for (let from = 0; from < place.attempts; from += CHUNK_ROWS) {
    const to = Math.min(from + CHUNK_ROWS, place.attempts);
    await db.batch(fillStatements(db.engine, place, from, to));
    if (Math.floor(to / 1_000_000) > Math.floor(from / 1_000_000)) say(`history: ${formatCount(to)} written`);
  }
  const numbers = series(db.engine, 0, QUEUED);
  const queued = `insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased,
    due_at, trigger, created_at) select '${QUEUE_ID}', 'q' || n, 'none', 'link.app_open', 'pending', 0, 0, 0, n, 'auto', 0
    from (${numbers}) as numbers`;
  await db.batch([raw(queued), raw("analyze")]);
}

/** The same rows as the server would have left, written by the database itself. */
function fillStatements(engine: Database["engine"], place: Place, from: number, to: number): Statement[] {
  const { app_id, webhook_id, end, attempts } = place;
  const numbers = series(engine, from, to);
  const at = `(${end - SPAN_MS} + (n * ${SPAN_MS}) / ${attempts})`;
  const rows = `(select n, at, ${positionText(engine)} as position from (select n, ${at} as at from (${numbers}) as numbers) as timed) as made`;
  const type = `case when n % ${RARE_EVERY} = 0 then 'link.claim' else 'link.app_open' end`;
  const has_failed = `n % ${FAILED_EVERY} = 1`;
  const first = (value: string) => `case when ${has_failed} then null else ${value} end`;
  const data = `'"ts":"2026-01-31T09:30:00.000Z","app_id":"${app_id}","data":{"detail":"${"x".repeat(400)}"}}'`;
  const headers = `'{"content-type":"application/json","date":"Sat, 31 Jan 2026 09:30:00 GMT"}'`;
  return [
    raw(`insert into events (app_id, position, id, event, link_id, created_at, body)
      select '${app_id}', position, position, ${type},
        case when n % ${RARE_EVERY} = 0 then 'lnk_rare' else 'lnk_often' end, at,
        '{"id":"' || position || '","event":"' || ${type} || '",' || ${data} from ${rows}`),
    raw(`insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures, leased,
        trigger, created_at, settled_at, first_started_at, first_duration_ms, first_status_code, first_response_headers,
        first_response_snippet, first_response_truncated)
      select '${webhook_id}', position, '${app_id}', ${type}, case when ${has_failed} then 'failed' else 'succeeded' end,
        case when ${has_failed} then 'The only attempt failed. The receiver answered 500' else null end, 1, 0, 0, 'auto',
        at, at + 20, ${first("at")}, ${first("12")}, ${first("200")}, ${first(headers)}, ${first("'ok'")}, ${first("0")}
      from ${rows}`),
    raw(`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome, status_code,
        error, response_headers, response_snippet, response_truncated)
      select '${webhook_id}', position, 1, 'auto', at, 12, 'refused', 500, 'The receiver answered 500', ${headers},
        '${"e".repeat(200)}', 0 from ${rows} where ${has_failed}`),
  ];
}

function series(engine: Database["engine"], from: number, to: number): string {
  if (engine === "postgres") return `select n from generate_series(${from}::bigint, ${to - 1}::bigint) as s (n)`;
  return `with recursive s (n) as (select ${from} union all select n + 1 from s where n + 1 < ${to}) select n from s`;
}

function positionText(engine: Database["engine"]): string {
  if (engine === "sqlite") return "printf('%08x-%04x-7000-8000-%012x', at >> 16, at & 65535, n)";
  const hex = (value: string, digits: number) => `lpad(to_hex(${value}), ${digits}, '0')`;
  return `${hex("at >> 16", 8)} || '-' || ${hex("at & 65535", 4)} || '-7000-8000-' || ${hex("n", 12)}`;
}

function raw(text: string): Statement {
  return { kind: "statement", parts: [text], values: [] };
}

async function ask(server: Server, place: Place): Promise<Pick<History, "timings" | "problems">> {
  const { app_id, webhook_id, attempts } = place;
  const list = `/api/webhooks/${webhook_id}/deliveries?limit=50`;
  const events = `/api/apps/${app_id}/events?limit=50`;
  const anyNumber = () => Math.floor(Math.random() * attempts);
  const until = () => `until=${new Date(timeOf(place, anyNumber())).toISOString()}`;
  const idOf = (n: number) => positionOf(timeOf(place, n), n);
  const deliveryOf = (n: number) => `dlv_${idOf(n).replaceAll("-", "")}_${webhook_id.slice(4)}`;
  const questions: [name: string, path: () => string][] = [
    ["list deliveries", () => `${list}&${until()}`],
    ["list failed deliveries", () => `${list}&state=failed&${until()}`],
    ["search deliveries by a rare type", () => `${list}&event=link.claim&${until()}`],
    ["search deliveries for what is not there", () => `${list}&event=link.click&${until()}`],
    ["list pending deliveries", () => `${list}&state=pending`],
    ["find a delivery by its event", () => `${list}&event_id=${idOf(anyNumber())}`],
    ["list events", () => `${events}&${until()}`],
    ["search events by a rare link", () => `${events}&link_id=lnk_rare&${until()}`],
    ["search events for what is not there", () => `${events}&link_id=lnk_none&${until()}`],
    ["look up an event", () => `/api/events/${idOf(anyNumber())}`],
    ["look up a delivery", () => `/api/deliveries/${deliveryOf(anyNumber())}`],
    ["show the webhook and its health", () => `/api/webhooks/${webhook_id}`],
  ];
  const timings: Timing[] = [];
  const problems: string[] = [];
  for (const [name, path] of questions) timings.push(await timeQuestion(server, name, path));
  const newest = await callApi(server, { method: "GET", path: list });
  if (!Array.isArray(newest["items"]) || newest["items"].length < Math.min(50, attempts)) {
    problems.push("the newest page of deliveries is not full");
  }
  return { timings, problems };
}

/** As the dispatcher claims, from a queue beside all that is finished. */
async function timeClaims(db: Database): Promise<Timing> {
  const store = createDeliveryStore(db);
  const took = new Float64Array(CLAIMS);
  for (let call = 0; call < CLAIMS; call++) {
    const now = Date.now();
    const startedAt = performance.now();
    await store.claim(QUEUE_ID, { now, lease_until: now + LEASE_MS, limit: CLAIMED, asked_only: false });
    took[call] = performance.now() - startedAt;
  }
  return { name: `claim ${CLAIMED} of ${formatCount(QUEUED)}`, ...percentiles(took) };
}

/** The figures as plain text. */
export function formatHistory(history: History): string {
  const lines = history.timings.map((timing) => [timing.name, ...formatTimes(timing)]);
  return [
    `history: ${formatCount(history.attempts)} finished attempts, written in ${Math.round(history.fill_seconds)} s`,
    "",
    formatTable([["one call at a time, ms", ...TIMES], ...lines]),
    "",
    formatGoals(history.goals),
    ...history.problems.map((text) => `PROBLEM  ${text}`),
  ].join("\n");
}
