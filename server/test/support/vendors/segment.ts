// A stand-in for Segment's HTTP Tracking API. Its rules are those of Segment's documentation: 400 for bodies that are too large or
// no JSON, 200 for all else, events that it drops included; and a `messageId` is taken once.
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

const BODY_MAX_BYTES = 500 * 1024;
const EVENT_MAX_BYTES = 32 * 1024;

/** @param keys the write keys of its sources: 200 for any other, and the events vanish */
export function startSegment(...keys: readonly string[]): Promise<FakeVendor> {
  const seen = new Set<string>();

  function take({ path, headers, body: bytes }: ReceivedRequest): Taken {
    const body = readJson(bytes);
    const events = isMembers(body) && Array.isArray(body["batch"]) ? body["batch"].filter(isMembers) : [];
    const all = (status: number, reason: string): Taken => ({
      verdicts: rejectAll(events, reason),
      reply: json(status, { success: false, error: reason }),
    });
    if (path !== "/v1/batch") return all(404, "not found");
    if (!isMembers(body) || !Array.isArray(body["batch"])) return all(400, "malformed JSON");
    if (bytes.length > BODY_MAX_BYTES) return all(400, "batch is too large");
    if (events.some((event) => jsonBytes(event) > EVENT_MAX_BYTES)) return all(400, "message is too large");
    const key = Buffer.from(headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
    const is_known = keys.some((one) => key === `${one}:`);
    return { verdicts: events.map((event) => judge(event, is_known)), reply: json(200, { success: true }) };
  }

  function judge(event: Members, is_known: boolean): Verdict {
    const id = String(event["messageId"]);
    const dropped = (reason: string): Verdict => ({ id, fate: "dropped", reason });
    if (!is_known) return dropped("no source has this write key");
    if (event["userId"] === undefined && event["anonymousId"] === undefined) return dropped("no user");
    if (event["type"] === "track" && !event["event"]) return dropped("no event name");
    if (seen.has(id)) return dropped("came before");
    seen.add(id);
    return { id, fate: "stored", event };
  }

  return startFake(take);
}
