// The settings that say how often somebody may call: rows of the table in config.ts.
import { setting, wholeNumber } from "./setting.ts";

const PER_MINUTE_MAX = 1_000_000;
const A_NUMBER = `a whole number from 0 to ${PER_MINUTE_MAX}; 0 is no limit`;
const perMinute = wholeNumber(0, PER_MINUTE_MAX);

export const LIMIT_SETTINGS = {
  claims_per_minute: setting({
    name: "LINKME_CLAIMS_PER_MINUTE",
    fallback: "60",
    unit: "calls a minute",
    accepts: A_NUMBER,
    description:
      "How often one address, or the /64 of an IPv6 one, may claim or resolve links through the SDK endpoints; beyond that it is answered 429. Raise it where many phones share an address.",
    schema: perMinute,
  }),
  app_events_per_minute: setting({
    name: "LINKME_APP_EVENTS_PER_MINUTE",
    fallback: "600",
    unit: "calls a minute",
    accepts: A_NUMBER,
    description: "The same for app events.",
    schema: perMinute,
  }),
  calls_per_minute: setting({
    name: "LINKME_CALLS_PER_MINUTE",
    fallback: "600",
    unit: "calls a minute",
    accepts: A_NUMBER,
    description:
      "How often one server key, together with all that were made with it, may call the management API. Ingest of events and the operator's token are not limited.",
    schema: perMinute,
  }),
};
