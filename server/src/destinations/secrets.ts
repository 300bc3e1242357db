// The rotation of a webhook's signing secret as steps from one set of sealed secrets to the next. Pure.
// Called by rotation.ts inside the transaction that read the set, so no step is taken from a set that another call has
// changed meanwhile. What was replaced and has outlived its grace period leaves with the next step.

import { refuse } from "../errors.ts";
import type { Sealed } from "../platform/sealing.ts";
import type { DestinationRow, SealedSecrets } from "./destination.ts";

export function readSecrets(row: Pick<DestinationRow, "secrets">): SealedSecrets {
  // Written by this module alone.
  return JSON.parse(row.secrets) as SealedSecrets;
}

/** A secret that is staged already makes way. */
export function stage(secrets: SealedSecrets, next: Sealed, now: number): SealedSecrets {
  return { ...withoutExpired(secrets, now), next };
}

/**
 * The staged secret becomes the current one. The one that it replaces stays valid until `valid_until`, in ms since 1970; an
 * older one that was still valid dies, for a request has room for one.
 * @throws AppError conflict with nothing staged
 */
export function promote(secrets: SealedSecrets, valid_until: number, now: number): SealedSecrets {
  const { current, next } = secrets;
  if (next === undefined) {
    throw refuse("conflict", "No secret is staged: stage one with POST /api/webhooks/{id}/secret/rotate first.");
  }
  return valid_until > now ? { current: next, previous: { secret: current, valid_until } } : { current: next };
}

/**
 * The replaced secret becomes the current one again, and the promoted one is staged again.
 * @throws AppError conflict when there is none that is still valid, or when another one was staged since
 */
export function undo(secrets: SealedSecrets, now: number): SealedSecrets {
  const { current, next, previous } = withoutExpired(secrets, now);
  if (previous === undefined) {
    throw refuse(
      "conflict",
      "There is no promotion to undo: no replaced secret is valid any more. Stage a new one instead.",
    );
  }
  if (next !== undefined) {
    throw refuse(
      "conflict",
      "Another secret was staged since the promotion, and undoing it would lose one of the two: drop the staged one first with DELETE /api/webhooks/{id}/secret/next.",
    );
  }
  return { current: previous.secret, next: current };
}

/** @throws AppError not_found with nothing staged */
export function dropNext(secrets: SealedSecrets, now: number): SealedSecrets {
  const { next, ...rest } = withoutExpired(secrets, now);
  if (next === undefined) throw refuse("not_found", "No secret of this webhook is staged, so there is none to drop.");
  return rest;
}

function withoutExpired(secrets: SealedSecrets, now: number): SealedSecrets {
  const { previous, ...rest } = secrets;
  return previous === undefined || previous.valid_until <= now ? rest : secrets;
}
