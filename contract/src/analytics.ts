// What an app's clicks add up to, as the management API speaks of it.
import { z } from "zod";
import { Id, TimeInput, Timestamp } from "./fields.ts";

/** Properties of a click that are counted, by the day. */
export const CLICK_DIMENSIONS = [
  "platform",
  "os",
  "browser",
  "country",
  "referrer",
  "utm_source",
  "utm_medium",
  "utm_campaign",
] as const;
export type ClickDimension = (typeof CLICK_DIMENSIONS)[number];

export const ANALYTICS_DAYS_MAX = 400;
/** How long clicks are counted by the hour. */
export const HOURS_KEPT_DAYS = 35;
const VALUES_DEFAULT = 10;
const VALUES_MAX = 100;
const LIMIT_ERROR = `a whole number from 1 to ${VALUES_MAX}`;

export const AnalyticsQuery = z.strictObject({
  since: TimeInput.optional().describe(
    "from the UTC day, or hour, of this time; default: 30 days before `until`, or 24 hours by the hour",
  ),
  until: TimeInput.optional().describe("clicks before this time, rounded up to a whole day or hour; default: now"),
  link_id: Id.optional().describe("id or slug of one link; default: all of the app, deleted links included"),
  by: z
    .enum(["day", "hour"], { error: "day or hour" })
    .default("day")
    .describe(`day: up to ${ANALYTICS_DAYS_MAX} days; hour: of the last ${HOURS_KEPT_DAYS} days`),
  dimension: z
    .enum(CLICK_DIMENSIONS, { error: `one of ${CLICK_DIMENSIONS.join(", ")}` })
    .optional()
    .describe("also the most frequent values of this property; with by=day alone"),
  limit: z.coerce
    .number({ error: LIMIT_ERROR })
    .int({ error: LIMIT_ERROR })
    .min(1, { error: LIMIT_ERROR })
    .max(VALUES_MAX, { error: LIMIT_ERROR })
    .default(VALUES_DEFAULT)
    .describe("how many values"),
});
export type AnalyticsQuery = z.output<typeof AnalyticsQuery>;

const Count = z.number().int();

export const Analytics = z
  .object({
    since: Timestamp.describe("where the range begins: a whole day or hour, in UTC"),
    until: Timestamp.describe("where it ends"),
    by: z.enum(["day", "hour"]),
    link_id: z.string().nullable(),
    totals: z.object({ clicks: Count, bots: Count.describe("previews and crawlers, which are no clicks") }),
    series: z.array(z.object({ at: Timestamp, clicks: Count, bots: Count })).describe("every day or hour of the range"),
    top: z
      .object({
        dimension: z.enum(CLICK_DIMENSIONS),
        values: z.array(z.object({ value: z.string(), clicks: Count })).describe("most clicks first"),
        other: Count.describe("clicks with another value"),
        unknown: Count.describe("clicks without this property"),
      })
      .nullable()
      .describe("of the dimension that was asked for; values, other and unknown add up to the clicks"),
  })
  .meta({ id: "Analytics" });
export type Analytics = z.infer<typeof Analytics>;
