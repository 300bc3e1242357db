// What is told of destinations beside their rows: health, what they have missed, what keeps failing, and what to do about it.
// Called by webhooks.ts and vendors.ts, which show the rows.
import { type DestinationRow, type Preparing, prepareDestination } from "./destination.ts";
import { isFailing, NONE_FAILED, tellsFailed } from "./failed.ts";
import { composeHealth, failingOf, type HealthFacts, NO_FACTS } from "./health.ts";
import { type Advise, type LastTries, lastTriesOf, NOT_TRIED } from "./last-tries.ts";
import type { MissedStore } from "./missed-store.ts";
import type { NamedReplay } from "./replay-step.ts";
import type { Facts } from "./settings-row.ts";
import type { DestinationStore } from "./store.ts";

export interface ShowingDependencies extends Preparing {
  store: Pick<DestinationStore, "healthOf" | "failedOf" | "triesOf">;
  missed_store: Pick<MissedStore, "missedOf" | "openTo">;
  /** Without it a destination that fails says only that its receiver is to be mended. */
  advise?: Advise | undefined;
  /** What else is to be advised of this one. */
  adviseFor?(row: DestinationRow, advise: Advise, now: number): Advise;
}

export function createShowing(dependencies: ShowingDependencies) {
  const { store, missed_store, adviseFor = (_, advise) => advise } = dependencies;

  /** @param sender the replay that has just been asked for, of what was missed */
  async function factsOf(
    rows: readonly DestinationRow[],
    at: number,
    sender?: NamedReplay,
  ): Promise<{ row: DestinationRow; facts: Facts }[]> {
    const prepared = rows.map((row) => ({ row, destination: prepareDestination(row, dependencies) }));
    const ids = rows.map(({ id }) => id);
    const [health, missed, open] = await Promise.all([
      store.healthOf(ids, at),
      missed_store.missedOf(prepared, at),
      missed_store.openTo(ids),
    ]);
    const healthOf = ({ id }: DestinationRow) => health.get(id) ?? NO_FACTS;
    const telling = rows.filter((row) => tellsFailed(row, failingOf(healthOf(row)), at));
    const [failed, tried] = await Promise.all([
      store.failedOf(telling.map(({ id }) => id)),
      Promise.all(rows.map((row) => lookAtTries(row, healthOf(row), at))),
    ]);
    return prepared.map(({ row, destination: { misconfigured, repair } }, index) => {
      const owed = missed.get(row.id) ?? { missed: null, sender: null };
      const { pending } = healthOf(row);
      const known = { missed: owed.missed, sender: sender ?? owed.sender, open: open.get(row.id) ?? [], pending };
      const going = {
        ...{ failing: failingOf(healthOf(row)), failed: failed.get(row.id) ?? NONE_FAILED },
        tried: tried[index] ?? NOT_TRIED,
      };
      const facts = { health: composeHealth(healthOf(row), row.state), ...going, ...known };
      return { row, facts: { ...facts, problem: misconfigured, repair } };
    });
  }

  /** Of one that is well, or that a person has turned off, nothing is to be told. */
  async function lookAtTries(row: DestinationRow, facts: HealthFacts, at: number): Promise<LastTries> {
    const is_asked = row.state === "active" ? isFailing(failingOf(facts)) : row.state !== "off";
    if (!is_asked) return NOT_TRIED;
    const advise = adviseFor(row, dependencies.advise ?? (() => null), at);
    return lastTriesOf(row, await store.triesOf(row.id), facts.last_failure_at, advise);
  }

  return { factsOf };
}
