// A request to anything: method, URL, headers and body as the customer writes them, with what the event says filled in.
// The language of templates is defined in mapping/template.ts. Nothing is known of the receiver: 2xx means that it has the event, as
// with webhooks; one that broke off before its answer may have it, and nobody can say that it takes it once.
import { z } from "zod";
import { HEADERS_MAX, MASK, RESERVED_HEADERS } from "#contract/destinations.ts";
import { targetUrlProblem } from "#contract/target-url.ts";
import {
  type BuiltRequest,
  type Definition,
  type Exchange,
  type Finding,
  isUnsent,
  type JudgeRules,
  type Outcome,
  type Outgoing,
  type PrepareContext,
  type ShownRequest,
  secret,
  type Unsent,
} from "./definition.ts";
import { judgeHttp } from "./judging.ts";
import { type HttpFormat, type HttpTemplates, mapHttp, readTemplates, unsaidBy } from "./mapping/http.ts";
import { misconfigured, quoted, readSource, showMasked, unsendable, unsentAs, within } from "./vendor.ts";
import { secretText } from "./vendor-settings.ts";

const LABEL = "HTTP request";
/** Room for a template around the largest envelope. */
const BODY_MAX_BYTES = 1024 * 1024;
const TEMPLATE_MAX_CHARS = 64 * 1024;
const URL_TEMPLATE_MAX_CHARS = 2_048;
const SECRETS_MAX = 20;
/** With room for what a value becomes when it is sealed. */
const HEADER_MAX_CHARS = 4_000;
const CONTENT_TYPES: Readonly<Record<HttpFormat, string>> = {
  json: "application/json",
  form: "application/x-www-form-urlencoded",
  text: "text/plain; charset=utf-8",
};

const HeaderName = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, { error: "a header name: letters, digits and -" })
  .refine((name) => !(RESERVED_HEADERS as readonly string[]).includes(name.toLowerCase()), {
    error: "another header: the server sets this one itself",
  });
const HeaderTemplate = secret(
  z
    .string()
    .max(HEADER_MAX_CHARS)
    .refine((text) => text === MASK || /^[\t\x20-\x7e]*$/.test(text), { error: "printable ASCII characters" }),
);

const HttpShape = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(URL_TEMPLATE_MAX_CHARS)
    .describe("where it goes; {{name}} may stand in path and query: https://api.example.com/v1/{{app_id}}/events"),
  method: z.enum(["POST", "PUT", "PATCH"]).default("POST").describe("of the request"),
  headers: z
    .record(HeaderName, HeaderTemplate)
    .refine((all) => new Set(Object.keys(all).map((name) => name.toLowerCase())).size === Object.keys(all).length, {
      error: "each header once: names differ by more than upper and lower case",
    })
    .refine((all) => Object.keys(all).length <= HEADERS_MAX, { error: `at most ${HEADERS_MAX} headers` })
    .default({})
    .describe("request headers, like Idempotency-Key: {{id}}; values are sealed and come back masked"),
  secrets: z
    .record(z.string().regex(/^[A-Za-z0-9_-]{1,50}$/), secretText("a text"))
    .refine((all) => Object.keys(all).length <= SECRETS_MAX, { error: `at most ${SECRETS_MAX} secrets` })
    .default({})
    .describe("texts for {{secret.name}} in URL, headers and body; sealed, and masked wherever the request is shown"),
  format: z
    .enum(["json", "form", "text"])
    .default("json")
    .describe(
      "how values are escaped in the body, and its content type: JSON, form fields (a={{id}}&b={{ts}}), or not at all",
    ),
  content_type: z
    .string()
    .max(200)
    .regex(/^[\x21-\x7e][\x20-\x7e]*$/, { error: "a media type, like application/cloudevents+json" })
    .optional()
    .describe("of the body, where it is another than that of its format"),
  body: z
    .string()
    .max(TEMPLATE_MAX_CHARS)
    .default("{{json envelope}}")
    .describe(
      'what is sent, like {"link":"{{data.link_id}}","all":{{json data}}}; default: the event as webhooks have it',
    ),
  skip_bots: z.boolean().default(false).describe("skip events with `is_bot: true` in their data"),
  respect_consent: z
    .boolean()
    .default(true)
    .describe("skip events whose data says `consent: {analytics_storage: denied}`"),
});
export type HttpConfig = z.infer<typeof HttpShape>;

export const HttpConfig = HttpShape.superRefine((config, context) => {
  const templates = readTemplates(config);
  const add = (path: readonly string[], message: string) =>
    context.addIssue({ code: "custom", path: [...path], message });
  if ("problems" in templates) {
    for (const { path, message } of templates.problems) add(path, message);
    return;
  }
  const url = [...templates.path, ...templates.query].map((part) => (typeof part === "string" ? part : "x")).join("");
  const problem = targetUrlProblem(url);
  if (problem !== null) add(["url"], problem);
  // Others would be encoded on the way, each reader in its own manner.
  else if (!/^[\x21-\x7e]+$/.test(url)) add(["url"], "printable ASCII characters: percent-encode what is none");
});

export interface PreparedHttp {
  readonly config: HttpConfig;
  readonly templates: HttpTemplates;
  readonly constant_headers: readonly string[];
  readonly masked_names: ReadonlySet<string>;
  readonly secrets: readonly string[];
}

export const http = {
  type: "http",
  label: LABEL,
  docs: "Sends each event as a request that you write yourself: URL, headers and body with {{names}} of what it says.",
  config: HttpConfig,
  limits: { max_events: 1, max_bytes: BODY_MAX_BYTES },
  prepare,
  target: ({ config }) => originOf(config.url),
  buildRequest,
  judge,
  show,
  inspect,
} satisfies Definition<HttpConfig, PreparedHttp>;

/** @throws Error for templates that cannot be read: the schema lets none through */
function prepare(config: HttpConfig, { version }: Pick<PrepareContext, "version">): PreparedHttp {
  const templates = readTemplates(config);
  if ("problems" in templates) throw new Error(templates.problems.map(({ message }) => message).join("; "));
  const content_type = config.content_type ?? CONTENT_TYPES[config.format];
  return {
    config,
    templates,
    constant_headers: ["content-type", content_type, "user-agent", `LinkMe-Destinations/${version}`],
    masked_names: new Set(Object.keys(config.headers)),
    secrets: Object.values(config.secrets),
  };
}

function buildRequest(
  delivery: Outgoing,
  { config, templates, constant_headers }: PreparedHttp,
): BuiltRequest | Unsent {
  const mapped = mapHttp(readSource(delivery), templates);
  if (mapped.kind === "skipped") return unsentAs(mapped);
  if (mapped.kind === "unfit") return unsendable(mapped.message);
  const { url, body } = mapped;
  const headers = [...constant_headers, ...mapped.headers];
  return within({ method: config.method, url, headers, body }, BODY_MAX_BYTES, LABEL);
}

/** Places stand behind it alone. */
function originOf(template: string): string {
  return /^https?:\/\/[^/?#{]+/i.exec(template)?.[0] ?? template;
}

/** Such an end does not say whether the request was there before. */
const UNCERTAIN: ReadonlySet<string> = new Set(["timeout", "reset", "protocol"]);
const UNAUTHORISED: ReadonlySet<number> = new Set([401, 403]);

function judge(exchange: Exchange, rules: JudgeRules): Outcome {
  if (exchange.kind === "failure" && UNCERTAIN.has(exchange.code) && exchange.is_sent !== false) {
    return { kind: "ambiguous", retriable: true, message: `${exchange.message}; it may have the event all the same` };
  }
  if (exchange.kind === "response" && UNAUTHORISED.has(exchange.status)) {
    const words = quoted(exchange);
    return misconfigured(
      `The receiver answered ${exchange.status}: it does not accept the credentials${words}. Set them again`,
    );
  }
  const judged = judgeHttp(exchange, rules);
  if (judged.kind !== "refused" || exchange.kind !== "response") return judged;
  return { ...judged, message: `${judged.message}${quoted(exchange)}` };
}

function show(request: BuiltRequest, { masked_names, secrets }: PreparedHttp): ShownRequest {
  return showMasked(request, secrets, masked_names);
}

function inspect(delivery: Outgoing, prepared: PreparedHttp): Finding[] {
  const event = readSource(delivery);
  const built = buildRequest(delivery, prepared);
  const findings: Finding[] = unsaidBy(event, prepared.templates).map((name) => ({
    ...{ level: "warning", rule: "PLACE_EMPTY", path: name, message: `This event says nothing of ${name}` },
    fix: "Take only the types of events that say it, or leave it out of the template",
  }));
  if (isUnsent(built) && built.outcome.kind === "refused") {
    const { message } = built.outcome;
    const rule = mapHttp(event, prepared.templates).kind === "unfit" ? "UNSENDABLE" : "EVENT_TOO_LARGE";
    const fix = "Change the template, or let the filter leave such events out";
    findings.push({ level: "error", rule, path: "", message, fix });
  }
  return findings;
}
