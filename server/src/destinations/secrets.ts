// The rotation of a webhook's signing secret as steps from one set of sealed secrets to the next. Pure.
// Called by rotation.ts inside the transaction that read the set, so no step is taken from a set that another call has
// changed meanwhile. What was replaced and has outlived its grace period leaves with the next step.
// What a promotion has promised of the secret that it replaced, no later promotion takes back. An undo ends that promise with
// the promotion: the secret is the current one again, and what the next promotion says of it counts.

import { refuse } from "../errors.ts";
import type { Sealed } from "../platform/sealing.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow, SealedSecrets } from "./destination.ts";

export function readSecrets(row: Pick<DestinationRow, "secrets">): SealedSecrets {
  // Written by this module alone.
  return JSON.parse(row.secrets) as SealedSecrets;
}

/** A secret that is staged already makes way. */
export function stage(secrets: SealedSecrets, next: Sealed, now: number): SealedSecrets {
  return { ...withoutExpired(secrets, now), next };
}

/** Each signs every request. With the current and the staged one that makes 12 of a version; our SDKs read 16 of a header. */
export const REPLACED_MAX = 10;

/**
 * The staged secret becomes the current one. The one that it replaces stays valid until `valid_until`, in ms since 1970, and
 * those replaced before it until their own times.
 * @throws AppError conflict with nothing staged, or when one more is to stay valid than `REPLACED_MAX`
 */
export function promote(secrets: SealedSecrets, valid_until: number, now: number): SealedSecrets {
  const { current, next, previous, older } = withoutExpired(secrets, now);
  if (next === undefined) {
    throw refuse("conflict", "No secret is staged: stage one with POST /api/webhooks/{id}/secret/rotate first.");
  }
  const before = [previous ?? [], older ?? []].flat();
  const promoted = { current: next, ...(before.length > 0 && { older: before }) };
  if (valid_until <= now) return promoted;
  if (before.length >= REPLACED_MAX) {
    const first = timeText(Math.min(...before.map((one) => one.valid_until)));
    throw refuse(
      "conflict",
      `${REPLACED_MAX} replaced secrets of this webhook are still valid, and no more can be: promote after ${first}, when the first of them ends, or with a grace_seconds of 0, which ends the current one at once.`,
    );
  }
  return { ...promoted, previous: { secret: current, valid_until } };
}

/**
 * The secret that the last promotion replaced becomes the current one again, and the promoted one is staged again. Those
 * that earlier promotions replaced stay valid; none of them becomes the current one.
 * @throws AppError conflict when the replaced one is not valid any more, or when another one was staged since
 */
export function undo(secrets: SealedSecrets, now: number): SealedSecrets {
  const { current, next, previous, ...rest } = withoutExpired(secrets, now);
  if (previous === undefined) {
    throw refuse(
      "conflict",
      "There is no promotion to undo, or the secret that it replaced is not valid any more. Stage a new one instead.",
    );
  }
  if (next !== undefined) {
    throw refuse(
      "conflict",
      "Another secret was staged since the promotion, and undoing it would lose one of the two: drop the staged one first with DELETE /api/webhooks/{id}/secret/next.",
    );
  }
  return { ...rest, current: previous.secret, next: current };
}

/** @throws AppError not_found with nothing staged */
export function dropNext(secrets: SealedSecrets, now: number): SealedSecrets {
  const { next, ...rest } = withoutExpired(secrets, now);
  if (next === undefined) throw refuse("not_found", "No secret of this webhook is staged, so there is none to drop.");
  return rest;
}

/** The same set without what is not valid any more. */
export function withoutExpired({ previous, older = [], ...rest }: SealedSecrets, now: number): SealedSecrets {
  const valid = older.filter((one) => one.valid_until > now);
  return {
    ...rest,
    ...(previous !== undefined && previous.valid_until > now && { previous }),
    ...(valid.length > 0 && { older: valid }),
  };
}
