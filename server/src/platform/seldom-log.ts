// Log lines about what happens again and again, as failures do while the database is away: each kind at most once a minute,
// with how often it happened. Used by the dispatcher, which asks the database every second, and for what callers cause.
import { DatabaseError } from "./database.ts";

const NOTE_MS = 60_000;
type Log = (event: string, fields: Record<string, unknown>, level?: "info" | "warn" | "error") => void;

interface Noted {
  at: number;
  /** Since the last line, which is to be told with the next. */
  failures: number;
}

/** A log for lines of the same kind; what is not told at once is counted with the next line, as `failures` unless named otherwise. */
export function createSeldomLog(log: Log, now: () => number, counted = "failures"): Log {
  // Bounded: events are few and named in the code, and errors have the kinds of a database and one for the rest.
  const noted = new Map<string, Noted>();
  return (event, fields, level) => {
    const { error } = fields;
    const kind = `${event} ${error instanceof DatabaseError ? error.kind : "other"}`;
    const before = noted.get(kind);
    const at = now();
    const failures = (before?.failures ?? 0) + 1;
    // A clock that was set back must not silence it.
    if (before !== undefined && at >= before.at && at - before.at < NOTE_MS) {
      before.failures = failures;
      return;
    }
    noted.set(kind, { at, failures: 0 });
    log(event, { ...fields, [counted]: failures }, level);
  };
}
