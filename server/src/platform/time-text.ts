// Times as the wire writes them. Events of one millisecond share their text: under load most have a neighbour, and to
// write a date costs as much as to find its link.

/** Writes ms since 1970 as RFC 3339 in UTC with milliseconds, like `2026-01-31T09:30:00.412Z`. */
export function timeText(at_ms: number): string;
export function timeText(at_ms: number | null): string | null;
export function timeText(at_ms: number | null): string | null {
  return at_ms === null ? null : new Date(at_ms).toISOString();
}

/** The same, for many times of which neighbours are equal: remembers the last one. */
export function createTimeText(): (at_ms: number) => string {
  let last_ms = Number.NaN;
  let text = "";
  return (at_ms) => {
    if (at_ms !== last_ms) {
      text = timeText(at_ms);
      last_ms = at_ms;
    }
    return text;
  };
}
