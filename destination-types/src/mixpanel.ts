// Mixpanel: product analytics.
// Source: Mixpanel's documentation of "Import Events" and of its errors. With `strict=1` it says of each event what is wrong with it.
// It knows an event that comes twice (see mapping/mixpanel.ts), so it can always be sent again.
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
import {
  MIXPANEL_AHEAD_MAX_MS,
  MIXPANEL_ID_MAX_BYTES,
  MIXPANEL_NAME_MAX_CHARS,
  mapMixpanel,
} from "./mapping/mixpanel.ts";
import { timeOf } from "./mapping/source.ts";
import { inspectEvent, isObject, judgeRefusal, membersOf, readSource, showMasked, unsentAs, within } from "./vendor.ts";
import { AUDIENCE_SETTINGS, baseOf, HostUrl, secretText } from "./vendor-settings.ts";

const LABEL = "Mixpanel";
/** An event has to be smaller than 1 MB. */
const EVENT_MAX_BYTES = 999_999;
const REGIONS = {
  us: "https://api.mixpanel.com",
  eu: "https://api-eu.mixpanel.com",
  in: "https://api-in.mixpanel.com",
} as const;

export const MixpanelConfig = z.strictObject({
  project_id: z
    .string()
    .regex(/^\d{1,20}$/, { error: "the number of the project" })
    .describe("the number of the project, from Project Settings"),
  username: secretText("the user name of a service account with the role Owner or Admin in the project"),
  secret: secretText("the secret of that service account"),
  region: z.enum(["us", "eu", "in"]).default("us").describe("where the project's data is kept"),
  host: HostUrl.optional().describe("the URL of a proxy of your own before Mixpanel; it goes before `region`"),
  ...AUDIENCE_SETTINGS,
  unidentified: z
    .enum(["empty", "skip"])
    .default("empty")
    .describe("an event that names neither click nor user: send it without an id, so that no user counts, or skip it"),
});
export type MixpanelConfig = z.infer<typeof MixpanelConfig>;

export interface PreparedMixpanel {
  readonly config: MixpanelConfig;
  readonly url: string;
  readonly headers: readonly string[];
  readonly pseudonym: PrepareContext["pseudonym"];
}

export const mixpanel = {
  type: "mixpanel",
  label: LABEL,
  docs: "Imports each event into Mixpanel, under ids that mean nothing elsewhere, and under the app's user ids if you say so.",
  config: MixpanelConfig,
  limits: { max_events: 1, max_bytes: EVENT_MAX_BYTES },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<MixpanelConfig, PreparedMixpanel>;

function prepare(
  config: MixpanelConfig,
  { version, pseudonym }: Pick<PrepareContext, "version" | "pseudonym">,
): PreparedMixpanel {
  const credentials = Buffer.from(`${config.username}:${config.secret}`).toString("base64");
  const base = baseOf(config.host ?? REGIONS[config.region]);
  const headers = [
    ...["content-type", "application/json", "user-agent", `LinkMe-Destinations/${version}`],
    ...["authorization", `Basic ${credentials}`],
  ];
  return { config, url: `${base}/import?strict=1&project_id=${config.project_id}`, headers, pseudonym };
}

function buildRequest(
  delivery: Outgoing,
  { config, url, headers, pseudonym }: PreparedMixpanel,
): BuiltRequest | Unsent {
  const mapped = mapMixpanel(readSource(delivery), config, { pseudonym, at: delivery.at });
  if (mapped.kind === "skipped") return unsentAs(mapped);
  const body = JSON.stringify([mapped.event]);
  return within({ method: "POST", url, headers: [...headers], body }, EVENT_MAX_BYTES, LABEL);
}

const WORDS = { label: LABEL, credentials: "service account", place: "region or host", explain };

function judge(exchange: Exchange, rules: JudgeRules): Outcome {
  const judged = judgeRefusal(exchange, rules, WORDS);
  if (judged.kind !== "response") return judged;
  const answer = membersOf(judged.snippet);
  if (answer === null) {
    const message = `${LABEL} answered ${judged.status} with something that is no answer of its import: look at the host`;
    return { kind: "ambiguous", retriable: true, message };
  }
  // What it has not imported it answers 400 to.
  return answer["num_records_imported"] === 0 ? { kind: "accepted_unverified" } : { kind: "accepted" };
}

/** Of the one event that was sent. */
function explain(answer: Readonly<Record<string, unknown>>): string {
  const [record]: unknown[] = Array.isArray(answer["failed_records"]) ? answer["failed_records"] : [];
  if (!isObject(record)) return "";
  const { field, message } = record;
  return [field, message].filter((one) => typeof one === "string" && one !== "").join(": ");
}

const SECRET_HEADERS: ReadonlySet<string> = new Set(["authorization"]);

function show(request: BuiltRequest, { config }: PreparedMixpanel): ShownRequest {
  return showMasked(request, [config.username, config.secret], SECRET_HEADERS);
}

const EVENT_RULES = { label: LABEL, name_max_chars: MIXPANEL_NAME_MAX_CHARS, id_max_bytes: MIXPANEL_ID_MAX_BYTES };

function inspect(delivery: Outgoing, prepared: PreparedMixpanel): Finding[] {
  const event = readSource(delivery);
  const findings = inspectEvent(event, prepared.config, EVENT_RULES, buildRequest(delivery, prepared));
  const ahead = (timeOf(event.ts) ?? delivery.at) - delivery.at;
  if (ahead > MIXPANEL_AHEAD_MAX_MS) {
    const message = `It lies more than ${MIXPANEL_AHEAD_MAX_MS / 60_000} minutes ahead: ${LABEL} refuses it`;
    findings.push({ level: "error", rule: "TIME_AHEAD", path: "ts", message, fix: "Set the clock of the sender" });
  }
  return findings;
}
