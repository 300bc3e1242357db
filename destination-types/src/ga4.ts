// Google Analytics 4 by Measurement Protocol, web and app streams. Google answers 2xx to whatever it receives and says nothing of
// what it drops, so each request is validated before it is sent, and one that was answered counts as accepted, unverified.
// It does not recognise what comes twice either: an attempt whose answer is lost may be counted again, which the settings decide.
// Sources: Google's "Measurement Protocol reference", "Sending events" and "Validating events"; mapping/ga4*.ts.
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
import { type Ga4Mapped, ga4Url, mapGa4 } from "./mapping/ga4.ts";
import {
  FIREBASE_APP_ID,
  GA4_AGE_MAX_MS,
  GA4_BODY_MAX_BYTES,
  GA4_NAME_MAX_CHARS,
  GA4_USER_ID_MAX_CHARS,
  MEASUREMENT_ID,
} from "./mapping/ga4-limits.ts";
import { validateGa4 } from "./mapping/ga4-validate.ts";
import { type Skipped, type SourceEvent, timeOf } from "./mapping/source.ts";
import {
  inspectEvent,
  misconfigured,
  quoted,
  type Response,
  readSource,
  showMasked,
  unsendable,
  unsentAs,
  withPause,
} from "./vendor.ts";
import { HostUrl, secretText } from "./vendor-settings.ts";

const LABEL = "Google Analytics";

const adConsent = (what: string) =>
  z
    .enum(["granted", "denied", "unset"])
    .default("unset")
    .describe(`${what}, where the event does not say; unset: Google takes what it knows of the visitor from the site`);

export const Ga4Config = z
  .strictObject({
    measurement_id: z
      .string()
      .regex(MEASUREMENT_ID, { error: "the measurement id of a web stream, like G-AB12CD34EF" })
      .optional()
      .describe("of the web stream: Admin > Data streams. Either this or firebase_app_id"),
    firebase_app_id: z
      .string()
      .regex(FIREBASE_APP_ID, { error: "the app id of a Firebase app, like 1:1234567890:ios:321abc456def7890" })
      .optional()
      .describe("of an app stream; only events that carry an id of the Firebase SDK can go there"),
    api_secret: secretText("of that stream: Admin > Data streams > the stream > Measurement Protocol API secrets"),
    endpoint: z.enum(["us", "eu"]).default("us").describe("eu: Google collects the events within the European Union"),
    host: HostUrl.optional().describe(
      "the URL of a tagging server of your own that takes /mp/collect; it goes before `endpoint`",
    ),
    send_user_id: z
      .boolean()
      .default(false)
      .describe("send the app's own user id as user_id; only for properties whose users have agreed to it"),
    campaign_details: z
      .boolean()
      .default(false)
      .describe(
        "send an event campaign_details before each click with UTM values, so that its session gets the campaign",
      ),
    ad_user_data: adConsent("whether Google may use data of the visitor for ads"),
    ad_personalization: adConsent("whether ads may be personalised for the visitor"),
    unidentified: z
      .enum(["per_event", "skip"])
      .default("per_event")
      .describe("an event that names no click: count it as a user of its own, or skip it"),
    late: z
      .enum(["drop", "send_now"])
      .default("drop")
      .describe("an event older than the 72 h that Google takes: give it up, or send it with the current time"),
    ambiguous: z
      .enum(["retry", "drop"])
      .default("retry")
      .describe(
        "an attempt whose answer was lost: send again, and perhaps count twice, or give up, and perhaps lose it",
      ),
  })
  .refine(({ measurement_id, firebase_app_id }) => (measurement_id === undefined) !== (firebase_app_id === undefined), {
    path: ["measurement_id"],
    error: "exactly one of measurement_id and firebase_app_id",
  });
export type Ga4Config = z.infer<typeof Ga4Config>;

export interface PreparedGa4 {
  readonly config: Ga4Config;
  readonly url: string;
  readonly headers: readonly string[];
  readonly pseudonym: PrepareContext["pseudonym"];
}

export const ga4 = {
  type: "ga4",
  label: "Google Analytics 4",
  docs:
    "Sends each event to Google Analytics 4 by Measurement Protocol, in the visitor's session where that is known. " +
    "Google confirms nothing: look at its Realtime report once.",
  config: Ga4Config,
  limits: { max_events: 1, max_bytes: GA4_BODY_MAX_BYTES, max_age_ms: GA4_AGE_MAX_MS },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<Ga4Config, PreparedGa4>;

function prepare(
  config: Ga4Config,
  { version, pseudonym }: Pick<PrepareContext, "version" | "pseudonym">,
): PreparedGa4 {
  const headers = ["content-type", "application/json", "user-agent", `LinkMe/${version}`];
  return { config, url: ga4Url(config, config.api_secret), headers, pseudonym };
}

function buildRequest(delivery: Outgoing, prepared: PreparedGa4): BuiltRequest | Unsent {
  const event = readSource(delivery);
  const mapped = mapDelivery(event, delivery, prepared);
  if (mapped.kind === "skipped") return unsentAs(mapped);
  if (isExpired(event, delivery) && prepared.config.late === "drop") return unsendable(expiry(event, delivery));
  const request = requestOf(mapped, prepared);
  const wrong = findingsIn(request, delivery).find(({ level }) => level === "error");
  if (wrong === undefined) return request;
  return unsendable(`${wrong.rule} at ${wrong.path}: ${wrong.message}. ${wrong.fix}`);
}

function mapDelivery(event: SourceEvent, delivery: Outgoing, { config, pseudonym }: PreparedGa4): Ga4Mapped | Skipped {
  const is_late = config.late === "send_now" && isExpired(event, delivery);
  return mapGa4(event, config, { pseudonym, instead_of_ts: is_late ? delivery.at : undefined });
}

function requestOf({ body }: Ga4Mapped, { url, headers }: PreparedGa4): BuiltRequest {
  return { method: "POST", url, headers: [...headers], body: JSON.stringify(body) };
}

function findingsIn({ url, body }: BuiltRequest, { at }: Outgoing): Finding[] {
  return validateGa4({ url, body }, { now_ms: at, mode: "relaxed" });
}

function isExpired(event: SourceEvent, delivery: Outgoing): boolean {
  return ageOf(event, delivery) > GA4_AGE_MAX_MS;
}

/** In ms; 0 for an event whose time cannot be read, which is sent without one. */
function ageOf({ ts }: SourceEvent, { at }: Outgoing): number {
  return at - (timeOf(ts) ?? at);
}

function expiry(event: SourceEvent, delivery: Outgoing): string {
  // Rounded up: what is over by a millisecond is no 72 h ago.
  const hours = (Math.ceil(ageOf(event, delivery) / 360_000) / 10).toString();
  const advice = "With `late: send_now` such events are sent with the current time";
  return `expired: it happened ${hours} h ago, and ${LABEL} takes events of the last 72 h. ${advice}`;
}

/** Codes of failures that a request can meet when it, or a part of it, has left. */
const AFTER_SENDING: ReadonlySet<string> = new Set(["timeout", "reset", "protocol", "aborted"]);
/** Beside 5xx: answers that say "later", not "no". */
const LATER: ReadonlySet<number> = new Set([408, 425, 429]);

function judge(exchange: Exchange, _rules: JudgeRules, prepared?: PreparedGa4): Outcome {
  if (exchange.kind === "failure") return judgeFailure(exchange, prepared?.config.ambiguous ?? "retry");
  const { status } = exchange;
  if (status >= 200 && status < 300) return { kind: "accepted_unverified" };
  if (LATER.has(status) || (status >= 500 && status < 600)) {
    const message = `${LABEL} answered ${status}: ${status === 429 ? "it asks to slow down" : "it asks to try again later"}`;
    return withPause({ kind: "refused", retriable: true, message }, exchange);
  }
  // Of the content of a request it says nothing, so this is about all of them.
  return misconfigured(describeRefusal(exchange));
}

function judgeFailure(
  { code, message, is_sent }: Extract<Exchange, { kind: "failure" }>,
  ambiguous: Ga4Config["ambiguous"],
): Outcome {
  if (!AFTER_SENDING.has(code) || is_sent === false) return { kind: "unreachable", retriable: true, message };
  const retriable = ambiguous === "retry";
  const then = retriable
    ? "it is sent again, and if it had arrived it is counted twice"
    : "it is not sent again, for it may have arrived, and would be counted twice";
  return { kind: "ambiguous", retriable, message: `${message}; ${then}` };
}

function describeRefusal(exchange: Response): string {
  const { status, headers } = exchange;
  const answered = `${LABEL} answered ${status}`;
  const set_again = "Set the stream's id, the API secret and host again";
  // The page of a web server, which tells nothing.
  const words = /html/.test(headers["content-type"] ?? "") ? "" : quoted(exchange);
  if (status >= 300 && status < 400) return `${answered}, a redirect; redirects are never followed. ${set_again}`;
  if (status === 413)
    return `${answered}${words}; what is sent is within Google's limit, so something before it takes less. Set host again`;
  return `${answered}${words}; at the right address it answers 2xx to any request. ${set_again}`;
}

/** No header of a request holds a secret. */
const NO_HEADERS: ReadonlySet<string> = new Set();

function show(request: BuiltRequest, { config }: PreparedGa4): ShownRequest {
  return showMasked(request, [config.api_secret], NO_HEADERS);
}

const EVENT_RULES = { label: LABEL, name_max_chars: GA4_NAME_MAX_CHARS, id_max_bytes: GA4_USER_ID_MAX_CHARS };

function inspect(delivery: Outgoing, prepared: PreparedGa4): Finding[] {
  const event = readSource(delivery);
  const mapped = mapDelivery(event, delivery, prepared);
  if (mapped.kind === "skipped") return [];
  const request = requestOf(mapped, prepared);
  // Of the name the validator tells, too.
  const of_event = inspectEvent(event, prepared.config, EVENT_RULES, request).filter(
    ({ rule }) => rule !== "NAME_TOO_LONG",
  );
  return [...findingsIn(request, delivery), ...of_event];
}
