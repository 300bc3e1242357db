// Amplitude: product analytics.
// Source: Amplitude's documentation of the HTTP V2 API and of retrying its requests. It knows an event that comes twice within
// 7 days by its `insert_id`, so it can be sent again for as long.
import { z } from "zod";
import type {
  BuiltRequest,
  Definition,
  Exchange,
  Finding,
  JudgeRules,
  Outcome,
  Outgoing,
  PrepareContext,
  ShownRequest,
  Unsent,
} from "./definition.ts";
import { AMPLITUDE_ID_MAX_BYTES, AMPLITUDE_NAME_MAX_CHARS, mapAmplitude } from "./mapping/amplitude.ts";
import {
  inspectEvent,
  isObject,
  judgeRefusal,
  membersOf,
  misconfigured,
  readSource,
  showMasked,
  unsentAs,
  within,
} from "./vendor.ts";
import { AUDIENCE_SETTINGS, baseOf, HostUrl, secretText } from "./vendor-settings.ts";

const LABEL = "Amplitude";
/** "Under 1 MB", in its stricter sense. */
const REQUEST_MAX_BYTES = 999_999;
const REGIONS = { us: "https://api2.amplitude.com", eu: "https://api.eu.amplitude.com" } as const;
/** Amplitude takes ids from 5 characters on unless it is told otherwise, and removes shorter ones without a word. */
const ID_MIN_CHARS = 1;
/** After "too many events of one device" nothing is to come for so long. */
const THROTTLED_MS = 30_000;

export const AmplitudeConfig = z.strictObject({
  api_key: secretText("the API key of the project, from Settings > Projects"),
  region: z.enum(["us", "eu"]).default("us").describe("where the project's data is kept"),
  host: HostUrl.optional().describe("the URL of a proxy of your own before Amplitude; it goes before `region`"),
  ...AUDIENCE_SETTINGS,
});
export type AmplitudeConfig = z.infer<typeof AmplitudeConfig>;

export interface PreparedAmplitude {
  readonly config: AmplitudeConfig;
  readonly url: string;
  readonly headers: readonly string[];
  readonly pseudonym: PrepareContext["pseudonym"];
}

export const amplitude = {
  type: "amplitude",
  label: LABEL,
  docs: "Sends each event to Amplitude, under ids that mean nothing elsewhere, and under the app's user ids if you say so.",
  config: AmplitudeConfig,
  limits: { max_events: 1, max_bytes: REQUEST_MAX_BYTES },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<AmplitudeConfig, PreparedAmplitude>;

function prepare(
  config: AmplitudeConfig,
  { version, pseudonym }: Pick<PrepareContext, "version" | "pseudonym">,
): PreparedAmplitude {
  const headers = ["content-type", "application/json", "user-agent", `LinkMe-Destinations/${version}`];
  return { config, url: `${baseOf(config.host ?? REGIONS[config.region])}/2/httpapi`, headers, pseudonym };
}

function buildRequest(
  delivery: Outgoing,
  { config, url, headers, pseudonym }: PreparedAmplitude,
): BuiltRequest | Unsent {
  const mapped = mapAmplitude(readSource(delivery), config, { pseudonym });
  if (mapped.kind === "skipped") return unsentAs(mapped);
  const options = { min_id_length: ID_MIN_CHARS };
  const body = JSON.stringify({ api_key: config.api_key, events: [mapped.event], options });
  return within({ method: "POST", url, headers: [...headers], body }, REQUEST_MAX_BYTES, LABEL);
}

const WORDS = { label: LABEL, credentials: "API key", place: "region or host", explain };

function judge(exchange: Exchange, rules: JudgeRules): Outcome {
  const judged = judgeRefusal(exchange, rules, WORDS);
  if (judged.kind === "response") return judgeTaken(judged.snippet);
  if (exchange.kind !== "response") return judged;
  if (exchange.status === 429) return { retry_after_ms: THROTTLED_MS, ...judged };
  // Amplitude has no status of its own for a wrong key, and repeats the key in its words.
  const is_key = exchange.status === 400 && isAboutKey(membersOf(exchange.snippet));
  return is_key ? misconfigured(`${LABEL} answered 400: it does not accept the API key. Set it again`) : judged;
}

function judgeTaken(snippet: string): Outcome {
  const answer = membersOf(snippet);
  if (answer === null) {
    const message = `${LABEL} answered 2xx with something that is no answer of its API: look at the host`;
    return { kind: "ambiguous", retriable: true, message };
  }
  if (answer["events_ingested"] !== 0) return { kind: "accepted" };
  return { kind: "refused", retriable: false, message: `${LABEL} answered 200 and took no event` };
}

function isAboutKey(answer: Readonly<Record<string, unknown>> | null): boolean {
  const error = answer?.["error"];
  return answer?.["missing_field"] === "api_key" || (typeof error === "string" && /invalid api key/i.test(error));
}

/** Lists of members that were wrong, each with the places of the events: of ours there is one. */
const LISTS = {
  events_with_invalid_fields: "is not valid",
  events_with_missing_fields: "is missing",
  events_with_invalid_id_lengths: "is too short",
} as const;
const SILENCED = ["silenced_events", "silenced_devices", "silenced_users"] as const;

function explain(answer: Readonly<Record<string, unknown>>): string {
  const error = typeof answer["error"] === "string" ? answer["error"] : "";
  const wrong = Object.entries(LISTS).flatMap(([list, what]) => {
    const members = answer[list];
    return isObject(members) ? Object.keys(members).map((name) => `${name} ${what}`) : [];
  });
  const silenced = SILENCED.filter((list) => Array.isArray(answer[list]) && answer[list].length > 0);
  const details = [...wrong, ...silenced].join(", ");
  return details === "" ? error : `${error} (${details})`;
}

function show(request: BuiltRequest, { config }: PreparedAmplitude): ShownRequest {
  return showMasked(request, [config.api_key], new Set());
}

const EVENT_RULES = { label: LABEL, name_max_chars: AMPLITUDE_NAME_MAX_CHARS, id_max_bytes: AMPLITUDE_ID_MAX_BYTES };

function inspect(delivery: Outgoing, prepared: PreparedAmplitude): Finding[] {
  return inspectEvent(readSource(delivery), prepared.config, EVENT_RULES, buildRequest(delivery, prepared));
}
