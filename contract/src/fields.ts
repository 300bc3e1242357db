// Small field types that several wire formats share, each with the sentence a person reads when it is refused.
import { z } from "zod";

const PAGE_LIMIT_DEFAULT = 50;
export const PAGE_LIMIT_MAX = 100;
export const CURSOR_MAX_CHARS = 512;
const LABEL_MAX_CHARS = 200;
export const TEXT_MAX_CHARS = 2_000;
export const URL_MAX_CHARS = 2_048;
const ID_MAX_CHARS = 100;

/** Time on the wire: ISO 8601, UTC, exactly three decimals. */
export const Timestamp = z.iso
  .datetime({ precision: 3, error: "an ISO 8601 time in UTC with milliseconds, like 2026-01-31T09:30:00.000Z" })
  .meta({ example: "2026-01-31T09:30:00.000Z" });

const TIME_ERROR = "an ISO 8601 time with Z or an offset, like 2026-01-31T09:30:00Z";
const TIME_MIN_MS = Date.parse("0000-01-01T00:00:00.000Z");
const TIME_MAX_MS = Date.parse("9999-12-31T23:59:59.999Z");

/** A time given by a caller: any ISO 8601 instant with `Z` or an offset that has a year of four digits in UTC too. */
export const TimeInput = z.iso.datetime({ offset: true, error: TIME_ERROR, abort: true }).refine(
  (text) => {
    const at_ms = Date.parse(text);
    return at_ms >= TIME_MIN_MS && at_ms <= TIME_MAX_MS;
  },
  { error: TIME_ERROR },
);

export const Label = z.string().trim().max(LABEL_MAX_CHARS);
export const LongText = z.string().max(TEXT_MAX_CHARS);
export const Id = z.string().min(1).max(ID_MAX_CHARS);

/** Any absolute http or https address. */
export const WebUrl = z.string().max(URL_MAX_CHARS).refine(isWebUrl, { error: "an absolute http or https URL" });

/** An address with any scheme, for app links such as `myapp://path`; scripts and data are refused. */
export const AnyUrl = z
  .string()
  .max(URL_MAX_CHARS)
  .refine(isSafeUrl, { error: "an absolute URL, like myapp://path or https://example.com; not javascript: or data:" });

function isWebUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function isSafeUrl(text: string): boolean {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined || [...text].some((character) => character <= " ")) return false;
  return !["javascript", "data", "vbscript", "file", "blob", "about"].includes(scheme) && URL.canParse(text);
}

export const PageQuery = z.strictObject({
  limit: z.coerce
    .number({ error: `a whole number from 1 to ${PAGE_LIMIT_MAX}` })
    .int()
    .min(1)
    .max(PAGE_LIMIT_MAX)
    .default(PAGE_LIMIT_DEFAULT),
  cursor: z.string().min(1).max(CURSOR_MAX_CHARS).optional().describe("the next_cursor of the page before"),
});
export type PageQuery = z.infer<typeof PageQuery>;

/** A page of a list, newest first. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), next_cursor: z.string().nullable() });
}
