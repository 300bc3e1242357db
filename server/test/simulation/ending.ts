// The promises that hold when a simulated world has healed and time has run on. Called by story.ts.

import { isAccepted, type Track } from "./ledger.ts";
import type { Life } from "./life.ts";
import type { Surroundings } from "./process.ts";

export interface Outcome {
  /** Ids whose ingest was answered. */
  accepted: ReadonlySet<string>;
  /** Processes that lived to record what they saw. */
  survivors: ReadonlySet<Life>;
}

interface AttemptRow {
  number: number;
  outcome: string;
  status_code: number | null;
}

export function checkEnding({ world, ledger }: Surroundings, { accepted, survivors }: Outcome): void {
  const { disk } = world;
  const states = new Map(
    disk.ask<{ id: string; state: string }>("select id, state from destinations").map((one) => [one.id, one.state]),
  );
  const stored = new Set(disk.ask<{ id: string }>("select id from events").map((one) => one.id));
  for (const id of accepted) if (!stored.has(id)) world.violate(`an accepted event is stored (${id})`);
  for (const track of ledger.tracks.values()) checkTrack(track);

  function checkTrack(track: Track): void {
    const broken = (promise: string) =>
      world.violate(`${promise} (${track.id} ${track.destination_id} ${track.position}: ${JSON.stringify(track.row)})`);
    const { row } = track;
    const state = states.get(track.destination_id);
    const is_on = state === "active" || state === "paused";
    // Attempts that a person asks for are made even while the destination is off; their retries wait until it is on.
    const is_asked = (row.trigger === "test" || row.trigger === "manual") && state !== undefined && row.due_at === 0;
    if (row.state === "pending" && (is_on || is_asked)) broken("every delivery settles");
    const attempts = disk.ask<AttemptRow>(
      "select number, outcome, status_code from attempt_history where destination_id = ? and position = ? order by number",
      ...[track.destination_id, track.position],
    );
    for (const attempt of attempts) checkAttempt(track, attempt, broken);
    if (row.state === "succeeded" && !attempts.some((one) => one.outcome === "accepted")) {
      broken("a success has the attempt that proves it");
    }
    const numbers = new Set(attempts.map((one) => one.number));
    for (const send of track.sends) {
      const is_known = send.answer !== null && survivors.has(send.life);
      if (is_known && !numbers.has(send.number)) broken(`attempt ${send.number} is on record`);
      const is_asked_again = row.state === "pending" && row.trigger === "manual";
      if (is_known && isAccepted(send) && row.state !== "succeeded" && !is_asked_again)
        broken("an accepted delivery has succeeded");
    }
  }

  function checkAttempt(track: Track, attempt: AttemptRow, broken: (promise: string) => void): void {
    if (attempt.number > track.row.attempt) broken("no record is newer than its delivery");
    if (attempt.outcome === "skipped") return;
    const send = track.sends.find((one) => one.number === attempt.number);
    if (send === undefined) {
      broken(`the record of attempt ${attempt.number} belongs to a request`);
      return;
    }
    const status = typeof send.answer === "number" ? send.answer : null;
    if (attempt.status_code !== status) broken(`the record of attempt ${attempt.number} tells what was answered`);
    if ((attempt.outcome === "accepted") !== isAccepted(send)) broken("a record is an acceptance when it was one");
  }
}
