// Watches the transactions of the hot path: says once that the database refuses them and why, and when it takes them again.
// A database that reads but does not write (a full disk, a read-only file) is noticed by nothing else. Made by compose.ts.
import { type Database, isDatabaseError } from "./database.ts";

const NOTE_MS = 60_000;
/** Readiness follows the last failure for so long; then requests come again, and the next one tells. */
const DOUBT_MS = 5_000;

export interface WriteWatchOptions {
  database: Pick<Database, "engine" | "batch">;
  log(event: string, fields: Record<string, unknown>, level: "info" | "warn"): void;
  now(): number;
}

export interface WriteWatch extends Pick<Database, "engine" | "batch"> {
  /** True while the last transaction failed for want of the database, a moment ago. */
  isFailing(): boolean;
}

export function createWriteWatch({ database, log, now }: WriteWatchOptions): WriteWatch {
  let failed_at: number | null = null;
  let failures = 0;
  let noted_at = Number.NEGATIVE_INFINITY;

  const batch: Database["batch"] = async (statements) => {
    try {
      const rows = await database.batch(statements);
      if (failed_at !== null) log("database.writes", { failures }, "info");
      failed_at = null;
      failures = 0;
      return rows;
    } catch (error) {
      if (isDatabaseError(error, "unavailable")) noteFailure(error);
      throw error;
    }
  };

  function noteFailure(error: unknown): void {
    const at = now();
    failed_at = at;
    failures++;
    if (at - noted_at < NOTE_MS && at >= noted_at) return;
    noted_at = at;
    log("database.not_writing", { failures, error }, "warn");
  }

  const isFailing = () => failed_at !== null && Math.abs(now() - failed_at) < DOUBT_MS;
  return { engine: database.engine, batch, isFailing };
}
