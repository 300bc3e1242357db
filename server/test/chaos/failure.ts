// What is to be known of a chaos run that failed, so that its reader needs no second one: the seed, what befell the server and
// when, what was sent, what the database says of deliveries, attempts and dispatchers, and what the server's log complains of.
// Called by chaos.ts with whatever went wrong, while the server may still run and its database may be away.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../../src/platform/database-open.ts";
import { type Statement, sql } from "../../src/platform/sql.ts";
import { countSpooled } from "../support/drain.ts";
import type { ReceivedRequest } from "../support/receiver.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Traffic } from "../support/traffic.ts";

const LOG_LINES_MAX = 20;
const LOG_LINE_MAX_CHARS = 600;
const ROWS_MAX = 20;

export interface Failed {
  seed: number;
  engine: string;
  mishaps: number;
  /** In their order, those that it recovered from; the last one may be under way. */
  spans: readonly { mishap: string; began_at: number; ms: number | null }[];
  database_url: string;
  dir: string;
  clock_ahead_ms: number;
  traffic: Traffic;
  received: readonly ReceivedRequest[];
  /** All processes, one after another. */
  servers: readonly Pick<ServerProcess, "stdout">[];
}

/** Never rejects: what cannot be found out is said to be so. */
export async function describeFailure(failed: Failed): Promise<string> {
  const { seed, engine, mishaps, spans, traffic, received, servers, clock_ahead_ms } = failed;
  const counts = Object.entries(traffic.promises).map(([what, of]) => `${what} ${[...of].length}`);
  const last = received.at(-1);
  return [
    `seed ${seed}, ${engine}: npm run chaos -- --mishaps ${mishaps} --engine ${engine} --seed ${seed}`,
    `mishaps: ${spans.map(tellSpan).join("; ") || "none yet"}; now ${timeOf(Date.now())}`,
    `the server's clock: ${clock_ahead_ms / 60_000} min ahead`,
    `traffic: ${JSON.stringify(traffic.counts)}, promised ${counts.join(", ")}`,
    `receiver: ${received.length} requests${last === undefined ? "" : `, the last one at ${timeOf(last.at.getTime())}`}`,
    `spool: ${tell(() => String(countSpooled(failed.dir)))} clicks`,
    `database:\n${await askDatabase(failed)}`,
    `the server's log complains:\n${complaintsOf(servers.map(({ stdout }) => stdout()).join(""))}`,
  ].join("\n");
}

function tellSpan({ mishap, began_at, ms }: Failed["spans"][number]): string {
  return `${timeOf(began_at)} ${mishap}, ${ms === null ? "not recovered from" : `recovered after ${Math.round(ms)} ms`}`;
}

/** As the log has it, without the day. */
function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11, -1);
}

const QUESTIONS: Record<string, Statement> = {
  deliveries: sql`select destination_id, state, leased, trigger, count(*) as n, max(attempt) as most_attempts,
      min(due_at) as first_due_at, max(due_at) as last_due_at, max(reason) as a_reason
    from deliveries group by destination_id, state, leased, trigger order by destination_id, state limit ${ROWS_MAX}`,
  attempts: sql`select destination_id, outcome, cause, status_code, count(*) as n, max(error) as an_error
    from attempt_history group by destination_id, outcome, cause, status_code limit ${ROWS_MAX}`,
  webhooks: sql`select id, state, state_reason from destinations limit ${ROWS_MAX}`,
  events: sql`select event, count(*) as n from events group by event limit ${ROWS_MAX}`,
  dispatchers: sql`select id, seen_at from dispatchers limit ${ROWS_MAX}`,
};

async function askDatabase({ database_url, dir, engine }: Failed): Promise<string> {
  if (engine === "sqlite" && !existsSync(join(dir, "linkme.db"))) return "  there is no file";
  try {
    const db = await openDatabase(database_url);
    try {
      const lines: string[] = [];
      for (const [what, question] of Object.entries(QUESTIONS)) {
        const rows = await db.query(question);
        lines.push(`  ${what}`, ...rows.map((row) => `    ${JSON.stringify(row)}`));
      }
      return lines.join("\n");
    } finally {
      await db.close();
    }
  } catch (error) {
    // That it does not answer may be what went wrong.
    return `  does not answer: ${error}`;
  }
}

/** The last warnings and errors. */
function complaintsOf(stdout: string): string {
  const lines = stdout.split("\n").filter((line) => /"level":"(?:warn|error)"/.test(line));
  const shown = lines.slice(-LOG_LINES_MAX).map((line) => `  ${line.slice(0, LOG_LINE_MAX_CHARS)}`);
  return shown.length === 0 ? "  of nothing" : shown.join("\n");
}

function tell(read: () => string): string {
  try {
    return read();
  } catch (error) {
    return `cannot be read (${error})`;
  }
}
