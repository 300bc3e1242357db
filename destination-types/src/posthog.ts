// PostHog: product analytics, in its cloud or on the customer's own machines.
// Sources: PostHog's documentation of `/batch/`, and the rules and answers of its capture service for `/batch/` (v0) and
// `/i/v1/analytics/events` (v1). An event that comes twice is one there (see mapping/posthog.ts), so it can always be sent again.
import { z } from "zod";
import type {
  BuiltRequest,
  Definition,
  Exchange,
  FailedOutcome,
  Finding,
  JudgeRules,
  Outcome,
  Outgoing,
  PrepareContext,
  ShownRequest,
  Unsent,
} from "./definition.ts";
import {
  type MappedPosthog,
  mapPosthog,
  POSTHOG_AHEAD_MAX_MS,
  POSTHOG_ID_MAX_BYTES,
  POSTHOG_NAME_MAX_CHARS,
} from "./mapping/posthog.ts";
import { timeOf } from "./mapping/source.ts";
import {
  inspectEvent,
  isObject,
  judgeRefusal,
  membersOf,
  quoted,
  type Response,
  readSource,
  showMasked,
  unsentAs,
  within,
  withPause,
} from "./vendor.ts";
import { AUDIENCE_SETTINGS, baseOf, HostUrl, secretText } from "./vendor-settings.ts";

const LABEL = "PostHog";
/** PostHog refuses an event of more than 1 MB after it has added to it; so much is left for that. */
const EVENT_MAX_BYTES = 900_000;
const REGIONS = { us: "https://us.i.posthog.com", eu: "https://eu.i.posthog.com" } as const;
/** They serve the app to browsers, and answer to anything. */
const APP_HOSTS: ReadonlySet<string> = new Set(["app.posthog.com", "us.posthog.com", "eu.posthog.com"]);

export const PosthogConfig = z.strictObject({
  project_api_key: secretText("the project API key, phc_…, from Settings > Project"),
  region: z.enum(["us", "eu"]).default("us").describe("where the project is, in PostHog's cloud"),
  host: HostUrl.refine((url) => !APP_HOSTS.has(URL.parse(url)?.hostname ?? ""), {
    error: "this host shows the app; events go to https://us.i.posthog.com or https://eu.i.posthog.com: set `region`",
  })
    .optional()
    .describe("the URL of a PostHog of your own; it goes before `region`"),
  api: z
    .enum(["auto", "v0", "v1"])
    .default("auto")
    .describe("v1 tells of each event what became of it, where the host has it; auto: v0, which every PostHog has"),
  ...AUDIENCE_SETTINGS,
});
export type PosthogConfig = z.infer<typeof PosthogConfig>;

export interface PreparedPosthog {
  readonly config: PosthogConfig;
  readonly url: string;
  readonly is_v1: boolean;
  readonly version: string;
  readonly pseudonym: PrepareContext["pseudonym"];
}

export const posthog = {
  type: "posthog",
  label: LABEL,
  docs: "Sends each event to PostHog, under ids that mean nothing elsewhere, or under the app's user ids if you say so.",
  config: PosthogConfig,
  limits: { max_events: 1, max_bytes: EVENT_MAX_BYTES },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<PosthogConfig, PreparedPosthog>;

function prepare(
  config: PosthogConfig,
  { version, pseudonym }: Pick<PrepareContext, "version" | "pseudonym">,
): PreparedPosthog {
  const base = baseOf(config.host ?? REGIONS[config.region]);
  const is_v1 = config.api === "v1";
  return { config, url: `${base}${is_v1 ? "/i/v1/analytics/events" : "/batch/"}`, is_v1, version, pseudonym };
}

function buildRequest(delivery: Outgoing, prepared: PreparedPosthog): BuiltRequest | Unsent {
  const { config, url, is_v1, pseudonym } = prepared;
  const mapped = mapPosthog(readSource(delivery), config, { pseudonym, at: delivery.at });
  if (mapped.kind === "skipped") return unsentAs(mapped);
  const body = JSON.stringify(is_v1 ? bodyOfV1(mapped) : bodyOfV0(mapped, config));
  const headers = headersOf(delivery, mapped, prepared);
  return within({ method: "POST", url, headers, body }, EVENT_MAX_BYTES, LABEL);
}

function headersOf({ attempt, at }: Outgoing, { uuid }: MappedPosthog, prepared: PreparedPosthog): string[] {
  const { version, is_v1, config } = prepared;
  const headers = ["content-type", "application/json", "user-agent", `LinkMe-Destinations/${version}`];
  if (!is_v1) return headers;
  return [
    ...headers,
    ...["authorization", `Bearer ${config.project_api_key}`],
    ...["PostHog-Sdk-Info", `linkme/${version}`],
    ...["PostHog-Attempt", String(attempt)],
    // The same on each attempt: it is one request that is made again.
    ...["PostHog-Request-Id", uuid],
    ...["PostHog-Request-Timestamp", new Date(at).toISOString()],
  ];
}

function bodyOfV0(mapped: MappedPosthog, { project_api_key }: PosthogConfig): object {
  const { uuid, event, distinct_id, timestamp, is_historical, is_identified } = mapped;
  const properties = { ...mapped.properties, ...(!is_identified && { $process_person_profile: false }) };
  return {
    api_key: project_api_key,
    ...(is_historical && { historical_migration: true }),
    batch: [{ uuid, event, distinct_id, timestamp, properties }],
  };
}

/** What v0 reads from properties stands in `options` here, and the times of events are taken as they are only if asked for. */
function bodyOfV1(mapped: MappedPosthog): object {
  const { uuid, event, distinct_id, timestamp, is_historical, is_identified, properties } = mapped;
  const options = { disable_skew_correction: true, ...(!is_identified && { process_person_profile: false }) };
  return {
    created_at: timestamp,
    ...(is_historical && { historical_migration: true }),
    batch: [{ event, uuid, distinct_id, timestamp, options, properties }],
  };
}

const WORDS = { label: LABEL, credentials: "project API key", place: "region, host or api" };

function judge(exchange: Exchange, rules: JudgeRules): Outcome {
  const judged = judgeRefusal(exchange, rules, WORDS);
  if (judged.kind !== "response") return isOverQuota(exchange) ? OVER_QUOTA : judged;
  // A beacon's answer has no body.
  if (judged.snippet.trim() === "") return UNVERIFIED;
  const answer = readAnswer(judged.snippet);
  if (answer === null) {
    const message = `${LABEL} answered ${judged.status} with something that is no answer of its capture service: look at the host`;
    return { kind: "ambiguous", retriable: true, message };
  }
  const limited = answer["quota_limited"];
  if (Array.isArray(limited) && limited.includes("events")) return OVER_QUOTA;
  return judgeResult(answer["results"], judged);
}

/** v0 looks at the form of a key and not whose it is: events of no project are dropped behind the answer. */
const UNVERIFIED: Outcome = { kind: "accepted_unverified" };

/** PostHog has dropped it, whatever the status was, and drops all that follow. */
const OVER_QUOTA: FailedOutcome = {
  kind: "refused",
  retriable: true,
  pause: true,
  message: `${LABEL} drops events: the project has used up its quota. Raise its billing limit there, then enable this destination`,
};

function isOverQuota(exchange: Exchange): boolean {
  return exchange.kind === "response" && membersOf(exchange.snippet)?.["error"] === "billing_limit_exceeded";
}

/** Old versions answer with the number 1. */
function readAnswer(snippet: string): Readonly<Record<string, unknown>> | null {
  return snippet.trim() === "1" ? {} : membersOf(snippet);
}

/** v1 says of each uuid what became of it; of ours there is one. What it does not mention, or calls otherwise, it has. */
function judgeResult(results: unknown, exchange: Response): Outcome {
  const [result] = isObject(results) ? Object.values(results) : [];
  if (!isObject(result)) return UNVERIFIED;
  const details = typeof result["details"] === "string" ? quoted({ snippet: result["details"] }) : "";
  if (result["result"] === "retry") {
    const message = `${LABEL} asks to send the event again${details}`;
    return withPause({ kind: "refused", retriable: true, message }, exchange);
  }
  if (result["result"] !== "drop") return { kind: "accepted" };
  if (/quota|billing/.test(details)) return OVER_QUOTA;
  return { kind: "refused", retriable: false, message: `${LABEL} has dropped the event${details}` };
}

const SECRET_HEADERS: ReadonlySet<string> = new Set(["authorization"]);

function show(request: BuiltRequest, { config }: PreparedPosthog): ShownRequest {
  return showMasked(request, [config.project_api_key], SECRET_HEADERS);
}

const EVENT_RULES = { label: LABEL, name_max_chars: POSTHOG_NAME_MAX_CHARS, id_max_bytes: POSTHOG_ID_MAX_BYTES };

function inspect(delivery: Outgoing, prepared: PreparedPosthog): Finding[] {
  const event = readSource(delivery);
  const findings = inspectEvent(event, prepared.config, EVENT_RULES, buildRequest(delivery, prepared));
  const ahead = (timeOf(event.ts) ?? delivery.at) - delivery.at;
  if (ahead > POSTHOG_AHEAD_MAX_MS) {
    const message = `It lies more than ${POSTHOG_AHEAD_MAX_MS / 3_600_000} h ahead: ${LABEL} shows it at the time of its arrival`;
    findings.push({ level: "warning", rule: "TIME_AHEAD", path: "ts", message, fix: "Set the clock of the sender" });
  }
  return findings;
}
