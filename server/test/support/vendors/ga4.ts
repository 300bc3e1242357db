// A stand-in for Google Analytics' Measurement Protocol: /mp/collect, which answers 204 to anything, and /debug/mp/collect, which
// answers with messages and stores nothing. Its rules are those of Google's documentation, written down here once more and apart
// from the product's own validator, so that the two check each other. A ledger says of each event what a property shows of it.
import type { ReceivedRequest } from "../receiver.ts";
import {
  type FakeVendor,
  isMembers,
  json,
  type Members,
  readJson,
  startFake,
  type Taken,
  type Verdict,
} from "./fake.ts";

const KNOWN_KEYS: ReadonlySet<string> = new Set([
  ...["client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "user_data", "consent"],
  ...["non_personalized_ads", "user_location", "ip_override", "device", "user_agent", "validation_behavior", "events"],
]);
/** Those that Google's validation server refuses; others that are documented it lets pass. */
const REFUSED_NAMES =
  /^(?:ad_activeview|ad_click|ad_exposure|ad_query|adunit_exposure|app_clear_data|app_install|app_remove|app_update|error|first_open|first_visit|notification_(?:dismiss|foreground|open|receive)|os_update|session_start|user_engagement)$/;
const APP_NAMES = /^(?:ad_impression|in_app_purchase|screen_view)$/;
const NAME = /^[a-z]\w{0,39}$/i;
const RESERVED_PARAM = /^(?:_|firebase_|ga_|google_|gtag\.)/;
const LONGER_VALUES: Readonly<Record<string, number>> = {
  ...{ page_location: 1000, page_referrer: 420, page_title: 300 },
  ...{ session_id: Number.POSITIVE_INFINITY, session_number: Number.POSITIVE_INFINITY },
};
const SESSION = /^(?:[1-9]\d*|GS\d\..+)$/;
const BODY_BELOW_BYTES = 130_000;
const AGE_MAX_MS = 72 * 3_600_000;

export interface Ga4StreamSettings {
  /** As it stands in the query: `measurement_id=G-…` or `firebase_app_id=1:…`. Google decodes neither. */
  stream: string;
  api_secret: string;
}

/** What a property shows of an event. */
export interface ShownEvent extends Members {
  name: string;
  params: Members;
  /** In ms since 1970: what was too old is shown at the age that Google takes. */
  at: number;
  /** False: it is seen in Realtime and is missing from all reports. */
  in_reports: boolean;
  user: string;
}

export interface FakeGa4 extends FakeVendor {
  /** What the property shows, the oldest first. */
  shown(): ShownEvent[];
  /** Params that were left out without a word, like `linkme_dest_path: longer than 100 characters`. */
  ignored(): string[];
}

export interface FakeGa4Options {
  streams: readonly Ga4StreamSettings[];
  /** In ms since 1970. */
  now(): number;
}

/** What Google would say of a request at its debug address. `event` and `param` say how much of it is lost; null: all. */
interface Problem {
  event: number | null;
  param: string | null;
  code: string;
  reason: string;
}

export async function startGa4({ streams, now }: FakeGa4Options): Promise<FakeGa4> {
  const ignored: string[] = [];
  const shown: ShownEvent[] = [];

  function take(request: ReceivedRequest): Taken {
    const [path = "", query = ""] = request.path.split("?");
    const body = readJson(request.body);
    const dropAll = (reason: string): Verdict[] => eventsIn(body).map(() => ({ id: "", fate: "dropped", reason }));
    const is_app = query.includes("firebase_app_id=");
    if (path === "/debug/mp/collect") {
      const problems = look(body, request.body.length, is_app);
      const messages = problems.filter(({ param }) => param === null || enforces(body));
      return { verdicts: dropAll("the debug address stores nothing"), reply: json(200, describe(messages)) };
    }
    if (path !== "/mp/collect" || request.method !== "POST") {
      return { verdicts: dropAll("nothing is there"), reply: { status: 404 } };
    }
    return { verdicts: collect(query, body, request.body.length) ?? dropAll(whyNot(query)), reply: { status: 204 } };
  }

  function collect(query: string, body: unknown, bytes: number): Verdict[] | null {
    if (findStream(query) === undefined) return null;
    const problems = look(body, bytes, query.includes("firebase_app_id="));
    const of_all = problems.find(({ event }) => event === null);
    return eventsIn(body).map((event, index) => {
      const id = idOf(event);
      const own = problems.filter((problem) => problem.event === index);
      const fatal = of_all ?? own.find(({ param }) => param === null || enforces(body));
      const reason = fatal?.reason ?? (isMembers(body) && isMembers(event) ? undefined : "no event");
      if (reason !== undefined || !isMembers(body) || !isMembers(event)) {
        return { id, fate: "dropped", reason: reason ?? "no event" };
      }
      return store(body, event, own);
    });
  }

  function store(body: Members, event: Members, problems: readonly Problem[]): Verdict {
    const id = idOf(event);
    const at = timeOf(body, event);
    if (at < now() - AGE_MAX_MS && enforces(body)) return { id, fate: "dropped", reason: "older than 72 h" };
    ignored.push(...problems.map(({ param, reason }) => `${param ?? ""}: ${reason}`));
    const lost = new Set(problems.map(({ param }) => param));
    const params = Object.fromEntries(paramsOf(event).filter(([name]) => !lost.has(name)));
    const one: ShownEvent = {
      name: String(event["name"]),
      params,
      at: Math.max(at, now() - AGE_MAX_MS),
      in_reports: SESSION.test(String(params["session_id"])) && Number(params["engagement_time_msec"]) > 0,
      user: String(body["client_id"] ?? body["app_instance_id"]),
    };
    shown.push(one);
    return { id, fate: "stored", event: one };
  }

  /** The event's own time goes before that of the request. What looks like milliseconds is a day of January 1970. */
  function timeOf(body: Members, event: Members): number {
    const micros = event["timestamp_micros"] ?? body["timestamp_micros"];
    return typeof micros === "number" ? micros / 1_000 : now();
  }

  function findStream(query: string): Ga4StreamSettings | undefined {
    const parts = query.split("&");
    const secret = new URLSearchParams(query).get("api_secret");
    return streams.find(({ stream, api_secret }) => parts.includes(stream) && api_secret === secret);
  }

  function whyNot(query: string): string {
    const is_known = streams.some(({ stream }) => query.split("&").includes(stream));
    return is_known ? "the secret is not that stream's" : "there is no such stream";
  }

  const fake = await startFake(take);
  return { ...fake, shown: () => shown, ignored: () => ignored };
}

function look(body: unknown, bytes: number, is_app: boolean): Problem[] {
  const all = (code: string, reason: string): Problem => ({ event: null, param: null, code, reason });
  if (!isMembers(body)) return [all("VALUE_INVALID", "the body is no JSON object")];
  const problems: Problem[] = [];
  if (bytes >= BODY_BELOW_BYTES) problems.push(all("VALUE_OUT_OF_BOUNDS", "the body has 130 kB"));
  const unknown = Object.keys(body).find((key) => !KNOWN_KEYS.has(key));
  if (unknown !== undefined) problems.push(all("VALUE_INVALID", `no such key: ${unknown}`));
  const id = body[is_app ? "app_instance_id" : "client_id"];
  if (typeof id !== "string" || id === "") problems.push(all("VALUE_REQUIRED", "no id of a client"));
  else if (is_app && !/^[0-9a-f]{32}$/i.test(id)) problems.push(all("VALUE_INVALID", "no id of an installation"));
  const { events } = body;
  if (!Array.isArray(events) || events.length === 0) problems.push(all("VALUE_REQUIRED", "no events"));
  else problems.push(...events.flatMap((event: unknown, index) => lookAtEvent(event, index, is_app)));
  return problems;
}

function lookAtEvent(event: unknown, index: number, is_app: boolean): Problem[] {
  const whole = (code: string, reason: string): Problem => ({ event: index, param: null, code, reason });
  if (index >= 25) return [whole("EXCEEDED_MAX_ENTITIES", "more than 25 events")];
  if (!isMembers(event)) return [whole("VALUE_INVALID", "no event")];
  const name = String(event["name"] ?? "");
  if (!NAME.test(name)) return [whole("NAME_INVALID", `no name of an event: ${name}`)];
  if (REFUSED_NAMES.test(name) || (!is_app && APP_NAMES.test(name))) {
    return [whole("NAME_RESERVED", `a name that Google keeps: ${name}`)];
  }
  return paramsOf(event).flatMap(([param, value], position) => {
    const reason = position >= 25 ? "more than 25 params" : whyIgnored(param, value);
    const code = position >= 25 ? "EXCEEDED_MAX_ENTITIES" : "VALUE_INVALID";
    return reason === null ? [] : [{ event: index, param, code, reason }];
  });
}

function whyIgnored(param: string, value: unknown): string | null {
  if (RESERVED_PARAM.test(param) || param === "firebase_conversion") return "a name that Google keeps";
  if (!NAME.test(param)) return "no name of a param";
  if (param === "items") return null;
  if (typeof value === "object") return "no text, number or boolean";
  const max = LONGER_VALUES[param] ?? 100;
  return String(value).length > max ? `longer than ${max} characters` : null;
}

/** One that is nothing where there is none: that has a fate as well. */
function eventsIn(body: unknown): readonly unknown[] {
  const events = isMembers(body) ? body["events"] : undefined;
  return Array.isArray(events) && events.length > 0 ? events : [undefined];
}

function paramsOf(event: Members): [string, unknown][] {
  return isMembers(event["params"]) ? Object.entries(event["params"]) : [];
}

function idOf(event: unknown): string {
  const id = isMembers(event) && isMembers(event["params"]) ? event["params"]["linkme_event_id"] : undefined;
  return typeof id === "string" ? id : "";
}

function enforces(body: unknown): boolean {
  return isMembers(body) && body["validation_behavior"] === "ENFORCE_RECOMMENDATIONS";
}

function describe(problems: readonly Problem[]): object {
  return {
    validationMessages: problems.map(({ event, param, code, reason }) => ({
      fieldPath: event === null ? "" : `events${param === null ? "" : `[${event}].params.${param}`}`,
      description: reason,
      validationCode: code,
    })),
  };
}
