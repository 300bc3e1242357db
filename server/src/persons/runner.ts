// Carries erasures on, one at a time in each process with the role `dispatcher`: in short steps, with a rest after each that grows when
// the database is busy. The table says what is to be done and under which names, so another process goes on where one has
// died. Two passes: what was under way during the first is found by the second. A click that is claimed meanwhile begins them
// anew, for it may have become somebody else's, or of one more device of the same. Created once by compose-persons.ts.
import {
  forgetFirst,
  forgetUser,
  type Key,
  removeAppEventsOf,
  removeClickOf,
  removeIdentitiesOf,
} from "../claims/persons-store.ts";
import type { Erasing } from "../events/erasing.ts";
import type { EventRow } from "../events/event.ts";
import type { Clock } from "../platform/clock.ts";
import { createRounds } from "../platform/rounds.ts";
import { FIRST_PACE, nextPace } from "../retention/plan.ts";
import { createFinding, type FindingOptions, isOthers, keysOf, type Names } from "./finding.ts";
import { COUNTED, type ErasureRow, type ErasureStore } from "./store.ts";

/** One that was asked for in another process is found so soon. */
const POLL_MS = 5_000;
/** Longer than the longest rest; a process that dies holds its erasure up for so long. */
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
const NAMES_MAX = 1_000;
const PASSES_MIN = 2;
const IDENTITIES_AT_ONCE = 100;

export interface RunnerOptions extends Pick<FindingOptions, "store" | "about"> {
  erasures: ErasureStore;
  erasing: Pick<Erasing, "eraseStored">;
  clock: Clock;
  /** Milliseconds that only go forward. */
  elapsed(): number;
  /** Names of one person that are gone through together. */
  names_max?: number;
  /** Another one for each process. */
  holder: string;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
}

/** It is to end, or has become somebody else's. */
class Interrupted extends Error {
  override readonly name = "Interrupted";
}

export function createRunner(options: RunnerOptions) {
  const { erasures, erasing, clock, elapsed, holder, log, names_max = NAMES_MAX } = options;
  const rounds = createRounds({
    ...{ clock, poll_ms: POLL_MS, next_ms: 0, run: runRound },
    // The lease runs out, and it goes on where it stood.
    failed: (error) => log("erasure.not_continued", { error }, "warn"),
  });
  let held: { id: string; renewed_at: number } | null = null;
  let pace = FIRST_PACE;
  let resumed_at = elapsed();
  let endRest = () => {};
  const finding = createFinding({ store: options.store, about: options.about, names_max, rest });

  /** Carries on what is not done; answers whether anything was. */
  async function runRound(): Promise<boolean> {
    const erasure = await erasures.take(holder, clock.now(), LEASE_MS);
    if (erasure === null) return false;
    held = { id: erasure.id, renewed_at: clock.now() };
    resumed_at = elapsed();
    try {
      await carryOn(erasure);
      return true;
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      await erasures.giveBack(erasure.id, holder);
      return false;
    } finally {
      held = null;
    }
  }

  async function carryOn(erasure: ErasureRow): Promise<void> {
    const { id, app_id, kind, value } = erasure;
    if (value === null) return;
    for (let passes = erasure.passes, is_done = false; !is_done; ) {
      const known = await erasures.keysOf(id);
      // What a process of an earlier version has taken has nothing settled yet.
      const is_settled = kind === "user" || known.length > 0;
      const names = await finding.findNames(app_id, [{ kind, value }, ...known], is_settled);
      await erasures.saveKeys(id, keysOf(names));
      let has_changed = false;
      for (const key of keysOf(names)) {
        await eraseKey(erasure, names, key);
        if (key.kind === "cid" && !(await eraseClick(erasure, names, key, passes === 0))) has_changed = true;
      }
      await eraseIdentities(erasure, names);
      passes = has_changed ? 0 : passes + 1;
      const end = { passes, has_more: names.is_more, has_user: names.users.size > 0 };
      if (!(await erasures.endPass(id, holder, end))) throw new Interrupted();
      is_done = !names.is_more && passes >= PASSES_MIN;
    }
    const done = await erasures.finish(id, clock.now());
    if (done === null) return;
    log("person.erased", { erasure_id: id, app_id, ...Object.fromEntries(COUNTED.map((what) => [what, done[what]])) });
  }

  async function eraseKey(erasure: ErasureRow, names: Names, key: Key): Promise<void> {
    const { id, app_id } = erasure;
    for await (const events of finding.eventsOf(app_id, names, key)) {
      await eraseEvents(
        erasure,
        events.filter((one) => isDue(names, one)),
      );
    }
    for await (const found of finding.appEventsOf(app_id, names, key)) {
      const ids = found.filter((one) => isDue(names, one)).map((one) => one.id);
      if (ids.length > 0) await erasures.remove(id, "app_events", removeAppEventsOf(app_id, ids));
      await rest();
    }
  }

  /** False when the click was claimed or tied since the names were found: it stays for the next pass, which finds whose it is. */
  async function eraseClick(erasure: ErasureRow, names: Names, key: Key, is_first_pass: boolean): Promise<boolean> {
    const { id, app_id } = erasure;
    const click = names.clicks.get(key.value);
    if (click !== undefined && isOthers(names, click.user_id)) return true;
    // When the click is gone, so are its events; but for the one that was named, whose click may have expired before them.
    if (click !== undefined || is_first_pass) {
      for await (const events of finding.eventsOfClick(app_id, key.value)) await eraseEvents(erasure, events);
    }
    if (click !== undefined && (await erasures.remove(id, "clicks", removeClickOf(app_id, click))) === 0) {
      if ((await finding.findClick(app_id, key)).length > 0) return false;
    }
    // Behind the click, which nobody can be tied to any more, and in each pass: a process may have died in between, and who was
    // known on a device when the click went may have been stored since.
    await erasures.remove(id, "identities", forgetFirst(app_id, key.value));
    await rest();
    return true;
  }

  async function eraseEvents({ id }: ErasureRow, events: readonly EventRow[]): Promise<void> {
    for (const event of events) {
      const { is_first } = await erasing.eraseStored(event);
      await erasures.add(id, "events", is_first ? 1 : 0);
      await rest();
    }
  }

  async function eraseIdentities({ id, app_id }: ErasureRow, { users, devices }: Names): Promise<void> {
    for (const [kind, keys] of [
      ["user", [...users]],
      ["device", [...devices]],
    ] as const) {
      for (let from = 0; from < keys.length; from += IDENTITIES_AT_ONCE) {
        const some = keys.slice(from, from + IDENTITIES_AT_ONCE);
        const forgetting = kind === "user" ? some.map((user_id) => forgetUser(app_id, user_id)) : [];
        await erasures.remove(id, "identities", removeIdentitiesOf(app_id, kind, some), forgetting);
        await rest();
      }
    }
  }

  /** After each step, nine times as long as it took. @throws Interrupted */
  async function rest(): Promise<void> {
    pace = nextPace(pace, elapsed() - resumed_at);
    if (!rounds.isStopping()) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(pace.rest_ms, resolve);
        endRest = () => {
          cancel();
          resolve();
        };
      });
    }
    if (rounds.isStopping() || held === null) throw new Interrupted();
    const now = clock.now();
    if (Math.abs(now - held.renewed_at) >= RENEW_MS) {
      if (!(await erasures.renew(held.id, holder, now + LEASE_MS))) throw new Interrupted();
      held.renewed_at = now;
    }
    resumed_at = elapsed();
  }

  /** Resolves when the step under way has ended. */
  async function stop(): Promise<void> {
    const stopped = rounds.stop();
    endRest();
    await stopped;
  }

  return { runRound, wake: rounds.wake, start: rounds.start, stop };
}

/** What names a click that may be found in a later pass stays until then: nothing else may lead there. */
function isDue({ is_more, cids }: Names, { cid = null }: { cid?: string | null }): boolean {
  return !is_more || cid === null || cids.has(cid);
}
