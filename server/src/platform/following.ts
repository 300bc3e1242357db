// Tells streams that something of theirs was committed: at once when this process did it, else after a look at the journal's
// end, for all streams together. Made by compose-tail.ts. Looks at nothing while nobody follows.

import type { Clock } from "./clock.ts";
import type { JournalStore, Place } from "./journal-store.ts";

const POLL_MS = 1_000;
/** Between two looks, however often something is committed: what comes meanwhile is read together. */
const GAP_MS = 50;

export interface FollowingOptions {
  journal: Pick<JournalStore, "head" | "look">;
  clock: Pick<Clock, "after">;
  /** Called with what went wrong; the next look tries again. */
  failed(error: unknown): void;
}

export function createFollowing({ journal, clock, failed }: FollowingOptions) {
  const followers = new Map<string, Set<() => void>>();
  let seen: Place | null = null;
  let state: "idle" | "waiting" | "looking" = "idle";
  let is_hinted = false;
  let is_rested = true;
  let cancel = () => {};

  /** Calls back after each commit that may concern the topic. Answers what ends that. */
  function follow(topic: string, wake: () => void): () => void {
    const of_topic = followers.get(topic) ?? new Set();
    followers.set(topic, of_topic);
    of_topic.add(wake);
    if (state === "idle") schedule(0);
    return () => {
      of_topic.delete(wake);
      if (of_topic.size === 0 && followers.get(topic) === of_topic) followers.delete(topic);
      if (followers.size > 0) return;
      cancel();
      seen = null;
      if (state === "waiting") state = "idle";
    };
  }

  /** This process has committed something. */
  function hint(): void {
    if (state === "idle" || is_hinted) return;
    is_hinted = true;
    if (state === "waiting" && is_rested) schedule(0);
  }

  function schedule(delay_ms: number): void {
    cancel();
    state = "waiting";
    cancel = clock.after(delay_ms, () => void look());
  }

  async function look(): Promise<void> {
    state = "looking";
    is_hinted = false;
    let is_soon = false;
    try {
      is_soon = await lookOnce();
    } catch (error) {
      failed(error);
    }
    if (followers.size === 0) {
      state = "idle";
      return;
    }
    rest(is_soon);
  }

  /** A short while in which hints only add up. */
  function rest(is_soon: boolean): void {
    is_rested = false;
    state = "waiting";
    cancel = clock.after(GAP_MS, () => {
      is_rested = true;
      schedule(is_soon || is_hinted ? 0 : POLL_MS - GAP_MS);
    });
  }

  async function lookOnce(): Promise<boolean> {
    if (seen === null) {
      // Whoever began to follow before this may have read before it too.
      const head = await journal.head();
      // From a place that nobody has kept up with, the next one to follow would be led through all that came since.
      if (followers.size > 0) seen = head;
      for (const of_topic of followers.values()) for (const wake of of_topic) wake();
      return false;
    }
    const { topics, end, is_full, is_waiting } = await journal.look(seen);
    if (seen !== null) seen = end;
    for (const topic of new Set(topics)) for (const wake of followers.get(topic) ?? []) wake();
    return is_full || is_waiting;
  }

  return { follow, hint };
}
