// How much each webhook is sent at present, by all dispatchers that are there: what the management API shows, whichever process
// answers. One that is the only dispatcher knows it from memory; any other reads what they told with their last beat
// (presence.ts), 1.5 s ago at the most as a rule.
import type { Limits } from "../destinations/health.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { deliveryId } from "./delivery.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { SLOTS_OF_EACH } from "./lanes.ts";
import { behindSentence, type Holds, type Slowed, sendingSentence } from "./limit-text.ts";
import { OLD_MS, type Presence } from "./presence.ts";
import type { PresenceStore } from "./presence-store.ts";
import type { Bound } from "./share.ts";
import { holdsOver, limitsOver, readTold, type Teller } from "./told-limits.ts";

export interface PresentLimitsOptions {
  /** Whether this process delivers. */
  is_dispatcher: boolean;
  dispatcher: Pick<Dispatcher, "limitsOf" | "allowedOf" | "begunAt" | "firstBegun">;
  presence: Pick<Presence, "self" | "nodes">;
  /** Null where dispatchers tell each other nothing, for there is one at most. */
  store: Pick<PresenceStore, "listTold"> | null;
  now(): number;
}

/** Looks once for any number of webhooks; the answer is null where nothing is to be sent. */
export type LookUpLimits = () => Promise<(webhook: Bound & { id: string }) => Limits | null>;

/** The same for whoever asks why a delivery waits. */
export type LookUpHolds = () => Promise<(webhook: Slowed) => Holds | null>;

const NOT_TOLD: Limits = {
  ...NO_LIMITS,
  limited_because: "With SQLite only the process that delivers knows how much it sends.",
};
/** No more than that is certain: the last one may have stopped just now, and clocks may differ. */
const NOBODY_KNOWN =
  "No process with the role dispatcher is known to this one: see whether one runs, and whether the clocks of all processes agree.";
const NOBODY: Limits = { ...NO_LIMITS, limited_because: NOBODY_KNOWN };
export const NOBODY_SENDS = {
  ...NO_LIMITS,
  nobody: {
    reason: NOBODY_KNOWN,
    step: "Start a process with the role dispatcher (LINKME_ROLE), on this database: only those send. Its log says why one that was started ended.",
  },
} satisfies Holds;

export interface PresentLimits {
  lookUpLimits: LookUpLimits;
  /** The same for whoever asks why a delivery waits: held only where all hold it, and null also where no process tells this one anything. */
  lookUpHolds: LookUpHolds;
  /** Why nothing moves at all, and what to do; null where somebody delivers, and where no process tells this one anything. */
  lookUpStandstill(): Promise<string | null>;
}

export function createPresentLimits(options: PresentLimitsOptions): PresentLimits {
  const { is_dispatcher, dispatcher, presence, store, now } = options;

  const isAlone = () => is_dispatcher && presence.nodes().length === 1;
  const present = () => ({ now: now(), slots: SLOTS_OF_EACH });
  const itself: Teller = { id: presence.self, told: { get: (id) => dispatcher.allowedOf(id) ?? undefined } };

  async function lookUpLimits(): ReturnType<LookUpLimits> {
    if (isAlone()) return ({ id }) => dispatcher.limitsOf(id);
    if (store === null) return () => NOT_TOLD;
    const tellers = await listTellers(store);
    if (tellers.length === 0) return () => NOBODY;
    const at = present();
    return (webhook) => limitsOver(webhook, tellers, at);
  }

  async function listTellers({ listTold }: Pick<PresenceStore, "listTold">): Promise<Teller[]> {
    const rows = await listTold();
    if (is_dispatcher) {
      const limits = new Map(rows.map((row) => [row.id, row.limits]));
      const others = presence.nodes().filter((id) => id !== presence.self);
      return [itself, ...others.map((id) => ({ id, told: readTold(limits.get(id) ?? null) }))];
    }
    // It asks now and then, so it has no beats of its own in which a row could fail to change.
    const young = rows.filter(({ seen_at }) => Math.abs(now() - seen_at) <= OLD_MS);
    return young.map(({ id, limits }) => ({ id, told: readTold(limits) }));
  }

  async function lookUpHolds(): ReturnType<LookUpHolds> {
    if (!isAlone() && store === null) return () => null;
    const tellers = isAlone() || store === null ? [itself] : await listTellers(store);
    if (tellers.length === 0) return () => NOBODY_SENDS;
    const at = present();
    return (webhook) => ({
      ...holdsOver(webhook, tellers, at),
      sending: (position) => sending(webhook, position),
      behind: (position) => behind(webhook, position),
    });
  }

  async function lookUpStandstill(): Promise<string | null> {
    if (is_dispatcher || store === null || (await listTellers(store)).length > 0) return null;
    return `${NOBODY_SENDS.nobody.reason} ${NOBODY_SENDS.nobody.step}`;
  }

  function sending(webhook: Slowed, position: string): string | null {
    const since = is_dispatcher ? dispatcher.begunAt(webhook.id, position) : null;
    return since === null ? null : sendingSentence(webhook, since);
  }

  /** Certain only of what this process sends itself: what others tell is older than it. */
  function behind(webhook: Slowed, position: string): string | null {
    const first = is_dispatcher && webhook.max_in_flight === 1 ? dispatcher.firstBegun(webhook.id) : null;
    if (first === null || dispatcher.begunAt(webhook.id, position) !== null) return null;
    const id = deliveryId({ destination_id: webhook.id, position: first.position });
    return behindSentence(webhook, id, first.started_at);
  }

  return { lookUpLimits, lookUpHolds, lookUpStandstill };
}
