// Turning a webhook, or another destination, on again with recovery: what it missed while it was off or disabled is replayed. Called by the API in
// the place of a plain change; without `recover` it is one.
import type { Replay, ReplayCreate } from "#contract/replays.ts";
import { rangesOf, type Stop, type TimeRange } from "../destinations/missed.ts";
import { AppError, refuse } from "../errors.ts";
import { timeText } from "../platform/time-text.ts";

/** What is shown of a webhook, or of another destination. */
interface Shown {
  next_step: string | null;
  recovery?: Replay | null | undefined;
}

export interface RecoveryOptions<One extends Shown, Patch> {
  change(id: string, app_scope: string | null, patch: Omit<Patch, "recover">, actor: string): Promise<One>;
  get(id: string, app_scope: string | null, sender?: Replay): Promise<One>;
  openStops(id: string, app_scope: string | null): Promise<Stop[]>;
  replays: {
    startReplay(
      destination_id: string,
      app_scope: string | null,
      input: ReplayCreate,
      ranges: readonly TimeRange[],
    ): Promise<Replay>;
  };
  now(): number;
}

export function createRecovery<One extends Shown, Patch extends { recover?: boolean | undefined }>(
  options: RecoveryOptions<One, Patch>,
) {
  const { replays, now } = options;

  /** @throws AppError as a change does, and conflict when the webhook is on but its replay could not begin */
  async function patch(id: string, app_scope: string | null, wanted: Patch, actor: string): Promise<One> {
    const { recover, ...changes } = wanted;
    const shown = await options.change(id, app_scope, changes, actor);
    if (recover !== true) return shown;
    const stops = await options.openStops(id, app_scope);
    const recovery = await startRecovery(id, app_scope, rangesOf(stops, now()));
    if (recovery === null) return { ...shown, recovery };
    // It has found that nothing is missing.
    if (recovery.finished_at !== null) return { ...(await options.get(id, app_scope)), recovery };
    // What was there to do about what it missed is what has just been asked for; all else still is.
    const { next_step } = await options.get(id, app_scope, recovery);
    return { ...shown, next_step, recovery };
  }

  async function startRecovery(
    id: string,
    app_scope: string | null,
    ranges: readonly TimeRange[],
  ): Promise<Replay | null> {
    const [first, last = first] = [ranges[0], ranges.at(-1)];
    if (first === undefined || last === undefined) return null;
    const range = { since: timeText(first.since), until: timeText(last.until) };
    try {
      const settings = { states: ["missing" as const], dry_run: false, rate_per_second: null };
      return await replays.startReplay(id, app_scope, { ...range, ...settings }, ranges);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "conflict") throw error;
      throw refuse("conflict", `The webhook is on, but what it missed is not replayed yet. ${error.message}`);
    }
  }

  return { patch };
}
