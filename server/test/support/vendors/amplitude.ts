// A stand-in for Amplitude's HTTP V2 API. Its rules are those of Amplitude's documentation: 400 with lists of what is wrong and
// nothing taken, ids that are too short removed without a word, 30 events a second of one device, an `insert_id` taken once.
import type { ReceivedRequest } from "../receiver.ts";
import {
  type FakeVendor,
  isMembers,
  json,
  type Members,
  readJson,
  rejectAll,
  startFake,
  type Taken,
  type Verdict,
} from "./fake.ts";

const EVENTS_MAX = 2_000;
const BODY_MAX_BYTES = 1_000_000;
const ID_MIN_CHARS = 5;
const TEXT_MAX_CHARS = 1_024;
export const EVENTS_PER_DEVICE = 30;

export interface FakeAmplitude extends FakeVendor {
  /** Amplitude has silenced the device of the next event. */
  silenceNext(): void;
  /** A second has passed. */
  tick(): void;
}

export async function startAmplitude(key: string): Promise<FakeAmplitude> {
  const seen = new Set<string>();
  const of_device = new Map<string, number>();
  let is_silencing = false;

  function take({ path, body: bytes }: ReceivedRequest): Taken {
    const body = readJson(bytes);
    const events = isMembers(body) && Array.isArray(body["events"]) ? body["events"].filter(isMembers) : [];
    const all = (code: number, error: string, more: Members = {}): Taken => ({
      verdicts: rejectAll(events, error),
      reply: json(code, { code, error, ...more }),
    });
    if (path !== "/2/httpapi") return all(404, "Not Found");
    if (!isMembers(body)) return all(400, "Invalid JSON request body");
    if (bytes.length >= BODY_MAX_BYTES || events.length > EVENTS_MAX) return all(413, "Payload too large");
    if (body["api_key"] === undefined) return all(400, "Request missing required field", { missing_field: "api_key" });
    if (body["api_key"] !== key) return all(400, `Invalid API key: ${String(body["api_key"])}`);
    const options = isMembers(body["options"]) ? body["options"] : {};
    const least = typeof options["min_id_length"] === "number" ? options["min_id_length"] : ID_MIN_CHARS;
    return takeEvents(
      events.map((event) => withoutShortIds(event, least)),
      all,
    );
  }

  function takeEvents(events: readonly Members[], all: (code: number, error: string, more?: Members) => Taken): Taken {
    for (const [list, members] of [
      ["events_with_missing_fields", missingIn],
      ["events_with_invalid_fields", invalidIn],
    ] as const) {
      const wrong = events.flatMap((event, index) => members(event).map((name) => [name, [index]] as const));
      const error = list === "events_with_missing_fields" ? "Request missing required field" : "Invalid request";
      if (wrong.length > 0) return all(400, error, { [list]: Object.fromEntries(wrong) });
    }
    if (is_silencing) {
      is_silencing = false;
      return all(400, "Events silenced", { silenced_events: events.map((_, index) => index) });
    }
    for (const event of events) of_device.set(ownerOf(event), (of_device.get(ownerOf(event)) ?? 0) + 1);
    const throttled = [...of_device].filter(([, count]) => count > EVENTS_PER_DEVICE);
    if (throttled.length > 0) {
      const throttled_devices = Object.fromEntries(throttled);
      return all(429, "Too many requests for some devices and users", { throttled_devices });
    }
    const reply = json(200, {
      code: 200,
      events_ingested: events.length,
      payload_size_bytes: 1,
      server_upload_time: 1,
    });
    return { verdicts: events.map(store), reply };
  }

  function store(event: Members): Verdict {
    const id = String(event["insert_id"]);
    if (seen.has(id)) return { id, fate: "dropped", reason: "came before" };
    seen.add(id);
    return { id, fate: "stored", event };
  }

  const fake = await startFake(take);
  return {
    ...fake,
    silenceNext() {
      is_silencing = true;
    },
    tick: () => of_device.clear(),
  };
}

function ownerOf({ user_id, device_id }: Members): string {
  return String(user_id ?? device_id);
}

function withoutShortIds(event: Members, least: number): Members {
  const isKept = ([name, value]: [string, unknown]) =>
    !["user_id", "device_id"].includes(name) || (typeof value === "string" && value.length >= least);
  return Object.fromEntries(Object.entries(event).filter(isKept));
}

function missingIn(event: Members): string[] {
  const missing = event["event_type"] ? [] : ["event_type"];
  return event["user_id"] === undefined && event["device_id"] === undefined ? [...missing, "user_id"] : missing;
}

function invalidIn({ time, event_properties }: Members): string[] {
  const is_time = time === undefined || Number.isInteger(time);
  const properties = isMembers(event_properties) ? Object.values(event_properties) : [];
  const is_long = properties.some((value) => typeof value === "string" && value.length > TEXT_MAX_CHARS);
  // Amplitude cuts long texts; here they are refused, so that a test sees what would be lost.
  return [...(is_time ? [] : ["time"]), ...(is_long ? ["event_properties"] : [])];
}
