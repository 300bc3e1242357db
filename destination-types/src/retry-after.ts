// Reads the header Retry-After (RFC 9110, section 10.2.3): a number of seconds, or an HTTP date in any of the three
// forms that section 5.6.7 tells every recipient to accept. What cannot be read is ignored, never guessed. Pure.

/** No receiver can ask for more: the events would only pile up. */
export const RETRY_AFTER_MAX_MS = 24 * 3600 * 1000;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TIME = "(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)";
const MONTH = `(?<month>${MONTHS.join("|")})`;
/** Sun, 06 Nov 1994 08:49:37 GMT · Sunday, 06-Nov-94 08:49:37 GMT · Sun Nov  6 08:49:37 1994 */
const DATE_FORMS = [
  new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];

/**
 * The delay that was asked for, in ms, at most 24 h; 0 for a date that has passed; null when there is none.
 * @param now when the answer came, in ms since 1970
 * @example readRetryAfter("120", now) // 120000
 */
export function readRetryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null;
  const trimmed = text.trim();
  const delay = /^\d+$/.test(trimmed) ? Number(trimmed) * 1000 : delayUntil(trimmed, now);
  return delay === null ? null : Math.min(Math.max(Math.ceil(delay), 0), RETRY_AFTER_MAX_MS);
}

function delayUntil(text: string, now: number): number | null {
  const at = parseHttpDate(text, now);
  return at === null ? null : at - now;
}

function parseHttpDate(text: string, now: number): number | null {
  for (const form of DATE_FORMS) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const number = (name: string) => Number(parts[name]);
    const year = parts["year"]?.length === 2 ? fullYear(number("year"), now) : number("year");
    const month = MONTHS.indexOf(parts["month"] ?? "");
    const [day, hour, minute, second] = [number("day"), number("hour"), number("minute"), number("second")];
    // Second 60 is a leap second; Date carries it over to the next minute.
    if (hour > 23 || minute > 59 || second > 60) return null;
    const midnight = new Date(Date.UTC(year, month, day));
    if (midnight.getUTCDate() !== day || midnight.getUTCMonth() !== month) return null;
    return midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
  }
  return null;
}

/** Two digits that would lie more than 50 years ahead are the past year with the same digits (RFC 9110, 5.6.7). */
function fullYear(two_digits: number, now: number): number {
  const this_year = new Date(now).getUTCFullYear();
  const year = this_year - (this_year % 100) + two_digits;
  return year > this_year + 50 ? year - 100 : year;
}
