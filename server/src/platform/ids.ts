// Makes ids. All begin with the time, so that rows land at the end of their index and lists sort by age.
import { randomFillSync } from "node:crypto";

const POOL_BYTES = 16 * 512;
const VARIANT = 0x80;
/** What clocks are set back by as they are kept in step; more is a clock that was wrong. */
const STEP_BACK_MAX_MS = 10_000;
/** 000 to fff: what counts within a millisecond. */
const COUNTS = Array.from({ length: 0x1000 }, (_, count) => count.toString(16).padStart(3, "0"));

/** Random bytes and the clock, injected so that tests own both. */
export interface IdSource {
  now(): number;
  random(bytes: Uint8Array): void;
}

export interface Ids {
  /** A UUID version 7 (RFC 9562), increasing within this process unless its clock is set back by more than ten seconds. */
  uuid(): string;
  /** `prefix_` and 32 hex digits: time, then 80 random bits. */
  prefixed(prefix: string): string;
  /** A click token: 32 lower-case hex digits, time first, 80 random bits. */
  cid(): string;
}

export const SYSTEM_IDS: IdSource = { now: Date.now, random: (bytes) => void randomFillSync(bytes) };

export function createIds(source: IdSource = SYSTEM_IDS): Ids {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  let last_ms = 0;
  let counter = 0;
  let prefix = "";

  /** `variant` sets the two highest bits of the first byte to the variant of RFC 9562. */
  function randomHex(bytes: number, variant?: typeof VARIANT): string {
    if (used + bytes > POOL_BYTES) {
      source.random(pool);
      used = 0;
    }
    if (variant !== undefined) pool[used] = ((pool[used] ?? 0) & 0x3f) | variant;
    const text = pool.toString("hex", used, used + bytes);
    used += bytes;
    return text;
  }

  function uuid(): string {
    const now = source.now();
    // A clock that was put right is followed: ids from the future would be in no range that ends now, and replays, counts and
    // lists would miss what is stored under them.
    if (now < last_ms - STEP_BACK_MAX_MS) last_ms = now - 1;
    // RFC 9562 method 1: twelve bits count within a millisecond; a clock that goes back a little keeps the last time.
    if (now > last_ms || ++counter > 0xfff) {
      last_ms = Math.max(now, last_ms + 1);
      counter = 0;
      const time = last_ms.toString(16).padStart(12, "0");
      prefix = `${time.slice(0, 8)}-${time.slice(8)}-7`;
    }
    const random = randomHex(8, VARIANT);
    return `${prefix}${COUNTS[counter]}-${random.slice(0, 4)}-${random.slice(4)}`;
  }

  const timed = () => source.now().toString(16).padStart(12, "0") + randomHex(10);
  return { uuid, prefixed: (prefix) => `${prefix}_${timed()}`, cid: timed };
}

/** The millisecond that a UUID version 7 begins with; NaN for another text. */
export function uuidTime(uuid: string): number {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/.test(uuid)
    ? Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)
    : Number.NaN;
}

/** The smallest UUID version 7 of a millisecond: a bound for ranges over positions. */
export function uuidFloor(at_ms: number): string {
  const time = Math.max(0, Math.floor(at_ms)).toString(16).padStart(12, "0").slice(-12);
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}
