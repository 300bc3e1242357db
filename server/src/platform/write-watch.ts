// Watches the transactions of the hot path: says that the database refuses them and why, and when it takes them again, each
// once a minute at the most.
// A database that reads but does not write (a full disk, a read-only file) is noticed by nothing else. Made by compose-pipeline.ts.
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
  /** True from such a failure until a transaction succeeds. */
  hasFailed(): boolean;
}

export function createWriteWatch({ database, log, now }: WriteWatchOptions): WriteWatch {
  let failed_at: number | null = null;
  let failures = 0;
  let noted_at = Number.NEGATIVE_INFINITY;
  /** Its failures were told, and not that it writes again. */
  let is_noted = false;

  const batch: Database["batch"] = async (statements) => {
    try {
      const rows = await database.batch(statements);
      failed_at = null;
      if (is_noted) noteRecovery();
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
    is_noted = true;
    log("database.not_writing", { failures, error }, "warn");
  }

  function noteRecovery(): void {
    log("database.writes", { failures }, "info");
    is_noted = false;
    failures = 0;
  }

  const isFailing = () => failed_at !== null && Math.abs(now() - failed_at) < DOUBT_MS;
  return { engine: database.engine, batch, isFailing, hasFailed: () => failed_at !== null };
}
