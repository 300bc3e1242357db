// Whether LinkMe's events have arrived in a property of Google Analytics: in the realtime report, which shows almost everything,
// and in the standard reports, which leave out what has no session. Called by the API.
import type { Ga4Arrival, Ga4ArrivalBody } from "#contract/ga4-setup.ts";
import { notFound } from "../errors.ts";
import type { Ga4SetupOptions } from "./ga4-setup.ts";
import { told } from "./ga4-setup.ts";
import { type Google, signIn } from "./google.ts";

const SCOPE = "https://www.googleapis.com/auth/analytics.readonly";
const NAMES = "linkme_";

export function createGa4Arrival(options: Pick<Ga4SetupOptions, "egress" | "addresses" | "now" | "findApp" | "bound">) {
  /** @throws AppError not_found, invalid_request, temporarily_unavailable */
  async function check(app_id: string, { service_account, property_id }: Ga4ArrivalBody): Promise<Ga4Arrival> {
    if ((await options.findApp(app_id)) === null) throw notFound("app");
    return told(options.bound, app_id, async () => {
      const google = await signIn(service_account, SCOPE, options);
      const property = `${options.addresses.data}/properties/${property_id}`;
      const [realtime, reports] = await Promise.all([
        countsOf(google, `${property}:runRealtimeReport`, {}),
        countsOf(google, `${property}:runReport`, { dateRanges: [{ startDate: "3daysAgo", endDate: "today" }] }),
      ]);
      return { realtime, reports, message: meaningOf(realtime.length > 0, reports.length > 0) };
    });
  }

  return { check };
}

async function countsOf(google: Google, address: string, ranges: object): Promise<Ga4Arrival["realtime"]> {
  const answer = await google.post(address, {
    ...ranges,
    dimensions: [{ name: "eventName" }],
    metrics: [{ name: "eventCount" }],
    dimensionFilter: {
      filter: { fieldName: "eventName", stringFilter: { matchType: "BEGINS_WITH", value: NAMES } },
    },
    limit: 100,
  });
  const rows: unknown[] = Array.isArray(answer["rows"]) ? answer["rows"] : [];
  return rows.flatMap((row) => {
    const [event_name, count] = ["dimensionValues", "metricValues"].map((member) => firstValue(row, member));
    return event_name === undefined ? [] : [{ event_name, count: Number(count ?? 0) }];
  });
}

/** Of a row of a report: `{"dimensionValues":[{"value":"…"}],"metricValues":[{"value":"12"}]}`. */
function firstValue(row: unknown, member: string): string | undefined {
  const values: unknown = typeof row === "object" && row !== null ? Reflect.get(row, member) : undefined;
  const first: unknown = Array.isArray(values) ? values[0] : undefined;
  const value: unknown = typeof first === "object" && first !== null ? Reflect.get(first, "value") : undefined;
  return typeof value === "string" ? value : undefined;
}

function meaningOf(in_realtime: boolean, in_reports: boolean): string {
  if (in_realtime && in_reports) return "Events arrive, and are in the reports.";
  if (in_reports) return "Events are in the reports; none has come within the last 30 minutes.";
  if (in_realtime) {
    return "Events arrive. They are not in the standard reports yet: these are 24 to 48 hours behind. Ask again then.";
  }
  const causes =
    "the API secret is of another stream, the property filters internal or developer traffic, or nothing was sent";
  return `Nothing has arrived, although Google answers 2xx to anything. Causes: ${causes}. Send a test with POST /api/destinations/{id}/test and ask again in a minute.`;
}
