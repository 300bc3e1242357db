// What a replay to a webhook sends, and what to do about one that is not over, as sentences with the call. Pure; called by
// missed.ts for what shows webhooks. Also the call that resumes or cancels one, for all who name it.
import { uuidFloor } from "../platform/ids.ts";
import type { Failed } from "./failed.ts";

export interface NamedReplay {
  id: string;
  state: string;
  /** The webhook whose deliveries say what is sent, and the one that gets it. */
  destination_id: string;
  target_id: string;
  states: readonly string[];
}

/** One that is running, or waits for somebody to resume it. */
export interface ReplayUnderWay extends NamedReplay {
  /** Up to where it has looked, and where it ends. */
  at_position: string;
  end_position: string;
  /** Whether it sends all that is in one of its states, of every type and link, from there on. */
  is_all: boolean;
  /** When it was asked for, in ms since 1970: what failed later is no part of it. */
  created_at: number;
}

const WORDS: Readonly<Record<string, string>> = {
  succeeded: "has succeeded",
  failed: "has failed",
  canceled: "was canceled",
  skipped: "was skipped",
  missing: "is missing",
};

/** @example whatOf({ states: ["failed", "missing"], … }) // "what has failed or is missing" */
export function whatOf({ destination_id, target_id, states }: Omit<NamedReplay, "id" | "state">): string {
  const is_own = destination_id === target_id;
  if (is_own && states.every((state) => state === "missing")) return "what it missed";
  const named = states.map((state) => WORDS[state] ?? state);
  const last = named.pop();
  const what = `what ${named.length === 0 ? "" : `${named.join(", ")} or `}${last}`;
  return is_own ? what : `it ${what} at ${destination_id}`;
}

/** Where a replay sends it already: a second one would look at the same once more. */
export function stepOfReplay(replay: NamedReplay, is_stopped = false): string {
  const { id, state } = replay;
  if (state === "paused") return stepWhenPaused(replay, is_stopped);
  if (is_stopped) return `The replay ${id}, which sends ${whatOf(replay)}, ${stillRuns(id)}.`;
  return `The replay ${id} sends ${whatOf(replay)}: see how far it is with GET /api/replays/${id}.`;
}

function stepWhenPaused(replay: NamedReplay, is_stopped: boolean): string {
  const { id } = replay;
  // One to a webhook that is stopped is not resumed; and one that paused itself for its failures would fail more for good.
  const go_on = `When ${is_stopped ? "the webhook is on again and " : ""}the receiver is well, go on`;
  return `The replay ${id}, which sends ${whatOf(replay)}, is paused: GET /api/replays/${id} says why. ${go_on} with ${callOf(id, "resume")}.`;
}

/** Of one that is running while its webhook is stopped: only its next step pauses it, and until then it cannot be resumed. */
export function stillRuns(id: string): string {
  return `still runs: it goes on by itself if the webhook is on before its next step, else it pauses itself then, and GET /api/replays/${id} says how to go on`;
}

/** Null when none is. @param destination_id the webhook that gets what they send */
export function stepForPaused(
  destination_id: string,
  paused: readonly NamedReplay[],
  is_stopped: boolean,
): string | null {
  const [first, ...others] = paused;
  if (first === undefined) return null;
  const step = stepWhenPaused(first, is_stopped);
  if (others.length === 0) return step;
  const more = others.length === 1 ? "Another one is" : `${others.length} others are`;
  return `${step} ${more} paused, too: GET /api/webhooks/${destination_id}/replays lists them.`;
}

/** What to press. */
export function callOf(replay_id: string, call: "resume" | "cancel"): string {
  return `POST /api/replays/${replay_id}/${call}`;
}

/** Whether one of them sends all of it while it runs: another replay would send it twice. */
export function isSentBy(open: readonly ReplayUnderWay[], failed: Failed): boolean {
  return open.some((replay) => {
    const { at_position, end_position, created_at } = replay;
    const is_before = at_position <= uuidFloor(failed.first_at);
    const is_within = is_before && uuidFloor(failed.last_at + 1) <= end_position && failed.settled_at <= created_at;
    return sendsFailed(replay) && failed.is_exact && is_within;
  });
}

/** The one that is running and may send some of it. */
export function senderOfFailed(open: readonly ReplayUnderWay[], { count, first_at, last_at }: Failed) {
  if (count === 0) return undefined;
  return open.find((replay) => {
    const is_beside = replay.at_position < uuidFloor(last_at + 1) && uuidFloor(first_at) < replay.end_position;
    return replay.state === "running" && sendsFailed(replay) && is_beside;
  });
}

function sendsFailed({ destination_id, target_id, states, is_all }: ReplayUnderWay): boolean {
  return destination_id === target_id && states.includes("failed") && is_all;
}
