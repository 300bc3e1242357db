// The receivers of a simulated world, and the network to them. A receiver keeps what reached it, whatever it answers:
// a lying one has taken the event although the sender sees a failure. Used by process.ts as the egress gate.
import type { Egress, Exchange, OutboundRequest } from "../../src/platform/egress.ts";
import type { Ledger, Send } from "./ledger.ts";
import { type Life, never } from "./life.ts";
import type { World } from "./world.ts";

export const MOODS = [
  "fast",
  "slow",
  "dead",
  "flapping",
  "busy",
  "gone",
  "moved",
  "refusing",
  "broken",
  "lying",
  "cut off",
] as const;
export type Mood = (typeof MOODS)[number];

export interface Receivers {
  setMood(url: string, mood: Mood): void;
  /** The gate of one process. */
  gateOf(life: Life, ledger: Ledger): Egress["send"];
}

interface Answer {
  after_ms: number;
  /** A status, or how the exchange fails. */
  status: number | "reset" | "hang";
  headers?: Record<string, string>;
}

const FAST_MAX_MS = 80;
const SLOW_MAX_MS = 6_000;
const RETRY_AFTER_MAX_SECONDS = 40;

export function createReceivers(world: World): Receivers {
  const { random, time } = world;
  const moods = new Map<string, Mood>();

  function answerOf(mood: Mood): Answer {
    const after_ms = random.int(1, FAST_MAX_MS);
    const unhappy = random.chance(0.5);
    switch (mood) {
      case "fast":
        return { after_ms, status: random.pick([200, 200, 204, 202]) };
      case "slow":
        return { after_ms: random.int(600, SLOW_MAX_MS), status: unhappy ? 200 : 503 };
      case "dead":
        return { after_ms, status: unhappy ? "hang" : "reset" };
      case "flapping":
        return { after_ms, status: unhappy ? 500 : 200 };
      case "busy":
        return {
          after_ms,
          status: unhappy ? random.pick([429, 503]) : 200,
          headers: { "retry-after": String(random.int(0, RETRY_AFTER_MAX_SECONDS)) },
        };
      case "gone":
        return { after_ms, status: random.chance(0.1) ? 410 : 200 };
      case "moved":
        return { after_ms, status: random.pick([301, 302, 308]), headers: { location: "https://elsewhere.example/" } };
      case "refusing":
        return { after_ms, status: random.pick([400, 401, 404, 408, 413, 425, 422]) };
      case "broken":
        return { after_ms, status: random.pick([500, 502, 504]) };
      case "lying":
        return { after_ms, status: random.pick([200, 500, "reset", "hang"] as const) };
      case "cut off":
        return { after_ms: random.int(1, SLOW_MAX_MS), status: random.pick([200, "reset"] as const) };
    }
  }

  function gateOf(life: Life, ledger: Ledger): Egress["send"] {
    return async (request) => {
      if (!life.step()) return never();
      const started_at = life.clock.now();
      const begun = time.elapsed();
      const mood = moods.get(request.url) ?? "fast";
      const answer = answerOf(mood);
      const duration_ms = Math.min(answer.status === "hang" ? Infinity : answer.after_ms, request.timeout_ms);
      const send = ledger.sent(life, request);
      await new Promise<void>((resolve) => void life.clock.after(duration_ms, resolve));
      if (!life.step()) return never();
      const exchange = exchangeOf(answer, request, { started_at, duration_ms: time.elapsed() - begun });
      report(send, exchange, ledger);
      return exchange;
    };
  }

  return { setMood: (url, mood) => void moods.set(url, mood), gateOf };
}

function report(send: Send | undefined, exchange: Exchange, ledger: Ledger): void {
  if (send !== undefined) ledger.answered(send, exchange.kind === "response" ? exchange.status : exchange.code);
}

function exchangeOf(
  answer: Answer,
  request: OutboundRequest,
  took: { started_at: number; duration_ms: number },
): Exchange {
  const timings_ms = { dns: null, connect: null, tls: null, first_byte: null, total: took.duration_ms };
  const common = { ...took, timings_ms };
  const failed = { kind: "failure", is_silence: true, ...common } as const;
  if (answer.status === "reset") return { ...failed, code: "reset", message: "The connection broke." };
  if (answer.status === "hang" || answer.after_ms > request.timeout_ms) {
    return { ...failed, code: "timeout", message: `No answer within ${request.timeout_ms} ms.` };
  }
  const headers = answer.headers ?? {};
  return { kind: "response", status: answer.status, headers, snippet: "", truncated: false, ...common };
}
