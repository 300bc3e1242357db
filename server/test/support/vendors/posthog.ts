// A stand-in for PostHog's capture service with both of its endpoints: /batch/ (v0) and /i/v1/analytics/events. Its rules are
// those of PostHog's documentation and capture service: v0 refuses a whole batch for one bad event and answers 200 to a project
// over its quota; v1 answers for each event. Events that differ in none of uuid, name, distinct_id and time are one.
import type { ReceivedRequest } from "../receiver.ts";
import {
  type FakeVendor,
  isMembers,
  json,
  jsonBytes,
  type Members,
  readJson,
  rejectAll,
  startFake,
  type Taken,
  type Verdict,
} from "./fake.ts";

const BODY_MAX_BYTES = 20 * 1024 * 1024;
const EVENT_MAX_BYTES = 1_000_000;
const TEXT_MAX_CHARS = 200;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ILLEGAL = /^(?:0|anonymous|distinct_id|guest|null|undefined|none|nan|true|false|id|email|user|system)$/i;
const V1_HEADERS = [
  "posthog-sdk-info",
  "posthog-attempt",
  "posthog-request-id",
  "posthog-request-timestamp",
  "user-agent",
];

export interface FakePosthog extends FakeVendor {
  /** From now on the project is over its quota. */
  exhaust(): void;
  /** v1 answers so for the next event. */
  answerNext(result: "retry" | "drop" | "warning"): void;
}

/** @param key the one project API key that it takes @param versions which of its endpoints it has */
export async function startPosthog(
  key: string,
  versions: readonly ("v0" | "v1")[] = ["v0", "v1"],
): Promise<FakePosthog> {
  const known = new Set<string>();
  const results: string[] = [];
  let is_exhausted = false;

  function take(request: ReceivedRequest): Taken {
    const body = readJson(request.body);
    const events = isMembers(body) && Array.isArray(body["batch"]) ? body["batch"] : [];
    const all = (status: number, reason: string): Taken => ({
      verdicts: rejectAll(events, reason),
      reply: json(status, { error: reason.replaceAll(" ", "_"), error_description: reason }),
    });
    const is_v1 = request.path === "/i/v1/analytics/events";
    if (!versions.includes(is_v1 ? "v1" : "v0") || (!is_v1 && request.path !== "/batch/")) return all(404, "not found");
    if (request.body.length > BODY_MAX_BYTES) return all(413, "payload too large");
    if (!isMembers(body) || events.length === 0) return all(400, "failed to parse request");
    const given = is_v1 ? /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1] : body["api_key"];
    if (given !== key) return all(401, "API key is not valid");
    if (is_v1) {
      const missing = V1_HEADERS.find((name) => request.headers[name] === undefined);
      if (missing !== undefined) return all(400, `missing required header ${missing}`);
      return is_exhausted ? all(429, "billing limit exceeded") : takeV1(events);
    }
    return takeV0(events, all);
  }

  function takeV0(events: readonly unknown[], all: (status: number, reason: string) => Taken): Taken {
    if (is_exhausted) {
      const reply = json(200, { status: "Ok", quota_limited: ["events"] });
      return { verdicts: events.map(() => ({ id: "", fate: "dropped", reason: "over quota" })), reply };
    }
    const problem = events.map(whyRefused).find((one) => one !== null);
    if (problem != null) return all(problem.startsWith("event is too large") ? 413 : 400, problem);
    return {
      verdicts: events.filter(isMembers).map((event) => store(event, false)),
      reply: json(200, { status: "Ok" }),
    };
  }

  function takeV1(events: readonly unknown[]): Taken {
    const verdicts: Verdict[] = [];
    const answers: [string, Members][] = [];
    for (const event of events.filter(isMembers)) {
      const problem = whyRefused(event);
      const planned = results.shift();
      const result = problem !== null ? "drop" : (planned ?? "ok");
      answers.push([String(event["uuid"]), { result, ...(problem !== null && { details: problem }) }]);
      if (result === "retry") verdicts.push({ id: "", fate: "rejected", reason: "to be sent again" });
      else if (result === "drop")
        verdicts.push({ id: "", fate: "dropped", reason: problem ?? "event_restriction_drop" });
      else verdicts.push(store(event, true));
    }
    return { verdicts, reply: json(200, { results: Object.fromEntries(answers) }) };
  }

  function store(event: Members, is_v1: boolean): Verdict {
    const id = String(event["uuid"]);
    // v0 takes an id that is no UUID, and drops the event on its way to the tables.
    if (!UUID.test(id)) return { id, fate: "dropped", reason: "uuid is not valid" };
    const same = JSON.stringify(["uuid", "event", "distinct_id", "timestamp"].map((name) => event[name]));
    if (known.has(same)) return { id, fate: "dropped", reason: "came before" };
    known.add(same);
    return { id, fate: "stored", event: { ...event, is_v1 } };
  }

  const fake = await startFake(take);
  return {
    ...fake,
    exhaust() {
      is_exhausted = true;
    },
    answerNext: (result) => results.push(result),
  };
}

function whyRefused(event: unknown): string | null {
  if (!isMembers(event)) return "failed to parse request";
  const { event: name, distinct_id, timestamp, properties } = event;
  if (jsonBytes(event) > EVENT_MAX_BYTES) return "event is too large";
  if (typeof name !== "string" || name === "") return "event submitted without an event name";
  if (name.length > TEXT_MAX_CHARS) return "event name exceeds maximum length";
  if (typeof distinct_id !== "string" || distinct_id === "") return "event submitted without a distinct_id";
  if (Buffer.byteLength(distinct_id) > TEXT_MAX_CHARS) return "distinct_id exceeds maximum size";
  if (ILLEGAL.test(distinct_id.trim())) return "distinct_id is a known illegal value";
  if (typeof timestamp !== "string" || Number.isNaN(Date.parse(timestamp)))
    return "event submitted with invalid timestamp";
  return isMembers(properties) ? null : "event properties is not a JSON object";
}

/** What older versions of its web app answer to any path: a page, and 200. */
export const APP_PAGE = {
  status: 200,
  headers: { "content-type": "text/html" },
  body: "<!doctype html><title>PostHog</title>",
};
