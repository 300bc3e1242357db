// A stand-in for Mixpanel's import with `strict=1`. Its rules are those of Mixpanel's documentation: 400 is a partial success that
// names what failed, ids that stand for nobody are refused, and events that differ in none of four members are one.
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

const EVENTS_MAX = 2_000;
const BODY_MAX_BYTES = 10 * 1024 * 1024;
const EVENT_MAX_BYTES = 1_000_000;
const PROPERTIES_MAX = 255;
const TEXT_MAX_BYTES = 255;
const FIRST_TIME = Date.UTC(1971);
const AHEAD_MAX_MS = 3600 * 1000;
const NOBODY =
  /^(?:anon|anonymous|nil|none|null|n\/a|na|undefined|unknown|0|-1|00000000-0000-0000-0000-000000000000)$/i;

/** @param account `user:secret` @param now the vendor's clock, in ms since 1970 */
export function startMixpanel(account: string, project_id: string, now: () => number): Promise<FakeVendor> {
  const known = new Set<string>();

  function take({ path, headers, body: bytes }: ReceivedRequest): Taken {
    const body = readJson(bytes);
    const events: unknown[] = Array.isArray(body) ? body : [];
    const all = (code: number, error: string): Taken => ({
      verdicts: rejectAll(events, error),
      reply: json(code, { code, error, status: "refused" }),
    });
    const url = new URL(path, "http://x");
    if (url.pathname !== "/import") return all(404, "not found");
    const given = Buffer.from(headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
    if (given !== account) return all(401, "Invalid credentials");
    if (url.searchParams.get("project_id") !== project_id) return all(403, "no access to this project");
    if (!Array.isArray(body)) return all(400, "request body is not a JSON array");
    if (bytes.length > BODY_MAX_BYTES || events.length > EVENTS_MAX) return all(413, "request is too large");
    return takeEvents(events);
  }

  function takeEvents(events: readonly unknown[]): Taken {
    const failed_records: Members[] = [];
    const verdicts = events.map((event, index): Verdict => {
      const problem = whyRefused(event, now());
      if (problem === null && isMembers(event)) return store(event);
      const [field, message] = problem ?? ["", "is no event"];
      const properties = isMembers(event) && isMembers(event["properties"]) ? event["properties"] : {};
      failed_records.push({ index, insert_id: properties["$insert_id"], field, message });
      return { id: "", fate: "rejected", reason: `${field}: ${message}` };
    });
    const num_records_imported = events.length - failed_records.length;
    if (failed_records.length === 0)
      return { verdicts, reply: json(200, { code: 200, num_records_imported, status: "OK" }) };
    const error = "some data points in the request failed validation";
    return {
      verdicts,
      reply: json(400, { code: 400, error, status: "Bad Request", num_records_imported, failed_records }),
    };
  }

  function store(event: Members): Verdict {
    const { time, distinct_id, $insert_id: id } = event["properties"] as Members; // whyRefused has looked
    const same = JSON.stringify([event["event"], time, distinct_id, id]);
    if (known.has(same)) return { id: String(id), fate: "dropped", reason: "came before" };
    known.add(same);
    return { id: String(id), fate: "stored", event };
  }

  return startFake(take);
}

/** The member that is wrong, and how. */
function whyRefused(event: unknown, now: number): [string, string] | null {
  if (!isMembers(event) || typeof event["event"] !== "string" || event["event"] === "") return ["event", "is missing"];
  const { properties } = event;
  if (!isMembers(properties)) return ["properties", "is missing"];
  const { time, distinct_id, $insert_id } = properties;
  if (jsonBytes(event) >= EVENT_MAX_BYTES) return ["event", "is too large"];
  if (Object.keys(properties).length >= PROPERTIES_MAX) return ["properties", "are too many"];
  if (typeof time !== "number" || time < FIRST_TIME) return ["properties.time", "is invalid"];
  if (time > now + AHEAD_MAX_MS) return ["properties.time", "is in the future"];
  if (typeof distinct_id !== "string" || NOBODY.test(distinct_id)) return ["properties.distinct_id", "is invalid"];
  if (!/^[A-Za-z0-9-]{1,36}$/.test(String($insert_id))) return ["properties.$insert_id", "is invalid"];
  // Mixpanel cuts long texts; here they are refused, so that a test sees what would be lost.
  const long = Object.entries(properties).find(
    ([, text]) => typeof text === "string" && Buffer.byteLength(text) > TEXT_MAX_BYTES,
  );
  return long === undefined ? null : [`properties.${long[0]}`, "is too long"];
}
