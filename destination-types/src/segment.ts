// Segment, and services that take what Segment takes: RudderStack, Jitsu and others, by their URL.
// Source: Segment's documentation of the HTTP Tracking API. It answers 200 to nearly all, an event without a user or a name, of a
// key that is not known and at the wrong region included; so a 2xx is accepted, unverified. It knows an event that comes twice by
// its `messageId`, so it can always be sent again.
import { Buffer } from "node:buffer";
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
import { mapSegment, SEGMENT_ID_MAX_BYTES, SEGMENT_NAME_MAX_CHARS } from "./mapping/segment.ts";
import { inspectEvent, judgeRefusal, readSource, showMasked, unsentAs, within } from "./vendor.ts";
import { AUDIENCE_SETTINGS, baseOf, HostUrl, secretText } from "./vendor-settings.ts";

const LABEL = "Segment";
/** Of an event, by the documentation; here of the body around it, which is a few bytes more. */
const EVENT_MAX_BYTES = 32 * 1024;
const REGIONS = { us: "https://api.segment.io", eu: "https://events.eu1.segmentapis.com" } as const;
/** Segment's own "try again later" beside the usual ones, as its libraries for servers take it. */
const LATER = 460;
const INTEGRATIONS_MAX = 50;

export const SegmentConfig = z.strictObject({
  write_key: secretText("the write key of the source, from Segment's settings of it"),
  region: z
    .enum(["us", "eu"])
    .default("us")
    .describe("where the workspace is; at the wrong one Segment answers 200 and drops the events"),
  host: HostUrl.optional().describe(
    "the URL of a service that takes what Segment takes, such as RudderStack's data plane; it goes before `region`",
  ),
  skip_google_analytics: z
    .boolean()
    .default(false)
    .describe("tell Segment not to pass these events on to Google Analytics 4: for when this server sends them there"),
  integrations: z
    .record(z.string().min(1).max(100), z.boolean())
    .refine((all) => Object.keys(all).length <= INTEGRATIONS_MAX, { error: `at most ${INTEGRATIONS_MAX} names` })
    .default({})
    .describe('which destinations get these events, by the names that Segment has for them: {"All": true}'),
  ...AUDIENCE_SETTINGS,
});
export type SegmentConfig = z.infer<typeof SegmentConfig>;

export interface PreparedSegment {
  readonly config: SegmentConfig;
  readonly url: string;
  readonly headers: readonly string[];
  readonly pseudonym: PrepareContext["pseudonym"];
}

export const segment = {
  type: "segment",
  label: LABEL,
  docs:
    "Sends each event as a track call to Segment, or to RudderStack and others that take the same. " +
    "Segment answers 200 to nearly all: look at its debugger once.",
  config: SegmentConfig,
  limits: { max_events: 1, max_bytes: EVENT_MAX_BYTES },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<SegmentConfig, PreparedSegment>;

function prepare(
  config: SegmentConfig,
  { version, pseudonym }: Pick<PrepareContext, "version" | "pseudonym">,
): PreparedSegment {
  const credentials = Buffer.from(`${config.write_key}:`).toString("base64");
  const headers = [
    ...["content-type", "application/json", "user-agent", `LinkMe-Destinations/${version}`],
    ...["authorization", `Basic ${credentials}`],
  ];
  return { config, url: `${baseOf(config.host ?? REGIONS[config.region])}/v1/batch`, headers, pseudonym };
}

function buildRequest(delivery: Outgoing, { config, url, headers, pseudonym }: PreparedSegment): BuiltRequest | Unsent {
  const mapped = mapSegment(readSource(delivery), config, { pseudonym });
  if (mapped.kind === "skipped") return unsentAs(mapped);
  const body = JSON.stringify({ batch: [mapped.call] });
  return within({ method: "POST", url, headers: [...headers], body }, EVENT_MAX_BYTES, LABEL);
}

const WORDS = { label: LABEL, credentials: "write key", place: "region or host" };

function judge(exchange: Exchange, rules: JudgeRules): Outcome {
  const judged = judgeRefusal(exchange, rules, WORDS);
  if (judged.kind === "response") return { kind: "accepted_unverified" };
  const is_later = exchange.kind === "response" && exchange.status === LATER;
  return is_later ? { ...judged, retriable: true } : judged;
}

const SECRET_HEADERS: ReadonlySet<string> = new Set(["authorization"]);

function show(request: BuiltRequest, { config }: PreparedSegment): ShownRequest {
  return showMasked(request, [config.write_key], SECRET_HEADERS);
}

const EVENT_RULES = { label: LABEL, name_max_chars: SEGMENT_NAME_MAX_CHARS, id_max_bytes: SEGMENT_ID_MAX_BYTES };

function inspect(delivery: Outgoing, prepared: PreparedSegment): Finding[] {
  return inspectEvent(readSource(delivery), prepared.config, EVENT_RULES, buildRequest(delivery, prepared));
}
