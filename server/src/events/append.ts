// How an event becomes durable: its row, its deliveries and whatever state belongs to it commit in one transaction,
// grouped with all others that wait. Whoever has events makes a channel: ingest, the recorder of clicks, claims.
// After the commit fresh deliveries go to the dispatcher in memory, or a hint does.
import type { Ready } from "../deliveries/attempt.ts";
import type { DeliveryRow } from "../deliveries/delivery.ts";
import type { Dispatcher } from "../deliveries/dispatcher.ts";
import { insertDeliveries, insertDeliveriesOfStored, insertSkipped } from "../deliveries/store.ts";
import type { Destination } from "../destinations/destination.ts";
import { type AppDestinations, NO_VERSION } from "../destinations/registry.ts";
import type { ChannelOptions, Committer, Submit } from "../platform/committer.ts";
import type { Row } from "../platform/database.ts";
import { insertJournal } from "../platform/journal.ts";
import type { Statement } from "../platform/sql.ts";
import type { EventRow } from "./event.ts";
import { fanOut } from "./fanout.ts";
import { eventsEntry } from "./journaled.ts";
import { guardVersion, insertEvents, insertGivenEvents, journalNewEvents } from "./store.ts";

/** A condition of a filter weighs so many stored characters: a transaction gathers little more of them than 200,000. */
const CONDITION_CHARS = 5;
/** So does a delivery: little more than 20,000. Measured: 1.5 KB of memory each, and 6 µs of the database thread. */
const DELIVERY_CHARS = 50;

/** What belongs to events that are stored together. */
export interface Belongings {
  /** Run first, in the same transaction. */
  statements: readonly Statement[];
  /** The events may be stored already, each with all that belongs to it: drained from a spool again. */
  may_be_stored?: boolean;
}

const NOTHING: Belongings = { statements: [] };

export interface EventLog {
  /**
   * A way to append. Items that wait together are composed together; an item whose guard is not met leaves nothing.
   * How many wait together depends on the length of their events, on how many webhooks take those, and on what filters ask of
   * them: that is done at one go, while everybody else waits.
   * The promise resolves when the item is durable and answers the positions that were not duplicates of given ids.
   */
  channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose?: (items: readonly Item[]) => Belongings,
  ): (item: Item) => Promise<ReadonlySet<string>>;
}

export interface EventLogOptions {
  committer: Pick<Committer, "channel">;
  destinations: {
    peek(app_id: string): AppDestinations | undefined;
    refresh(app_id: string): Promise<void>;
    /** Runs statements in one transaction, while the destinations of these apps are known and cannot change. */
    runLocked(app_ids: readonly string[], compose: () => readonly Statement[]): Promise<Row[][]>;
  };
  dispatcher: Pick<Dispatcher, "reserve" | "release" | "accept" | "wake">;
  now(): number;
}

/** What one transaction stores, kept from compose to commit. */
interface Plan {
  statements: Statement[];
  /** Index of the statement that answers which given ids were new; -1 without given ids. */
  given_at: number;
  apps: Set<string>;
  ready: [Destination, readonly Ready[]][];
  /** Destinations that have something due, and those that a person asked to be sent something. */
  due: Set<string>;
  asked: Set<string>;
}

export function createEventLog(options: EventLogOptions): EventLog {
  function weightOf({ app_id, event, body }: EventRow): number {
    // The first transaction reads those of an app that is not known yet, and they weigh from the second on.
    const known = options.destinations.peek(app_id);
    if (known === undefined) return body.length;
    return body.length + known.conditions * CONDITION_CHARS + (known.takers.get(event) ?? 0) * DELIVERY_CHARS;
  }

  function channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose: (items: readonly Item[]) => Belongings = () => NOTHING,
  ) {
    // By the items, not by the last call: a group that is taken apart is composed in parts before the first part commits.
    const plans = new WeakMap<readonly Item[], Plan>();
    const channel_options: ChannelOptions<Item, ReadonlySet<string>> = {
      size: (item) => eventsOf(item).reduce((sum, event) => sum + weightOf(event), 0),
      compose(items) {
        // Known before it is filled, so that what a mistake leaves half-done is given back too.
        const plan: Plan = {
          statements: [],
          given_at: -1,
          apps: new Set(),
          ready: [],
          due: new Set(),
          asked: new Set(),
        };
        plans.set(items, plan);
        fill(plan, { ...compose(items), events: items.flatMap(eventsOf) }, options);
        return plan.statements;
      },
      results(items, rows) {
        const plan = plans.get(items);
        const stored = plan === undefined ? new Set<string>() : finish(plan, rows, options);
        plans.delete(items);
        return items.map(() => stored);
      },
      abandon(items) {
        const plan = plans.get(items);
        for (const [destination, ready] of plan?.ready.splice(0) ?? []) {
          options.dispatcher.release(destination, ready.length);
        }
      },
      async refresh(items) {
        for (const app_id of plans.get(items)?.apps ?? []) await options.destinations.refresh(app_id);
      },
      runLocked: (items, compose) => options.destinations.runLocked([...(plans.get(items)?.apps ?? [])], compose),
    };
    const submit: Submit<Item, ReadonlySet<string>> = options.committer.channel(channel_options);
    return submit;
  }

  return { channel };
}

function fill(plan: Plan, unit: Belongings & { events: readonly EventRow[] }, options: EventLogOptions): void {
  const made = unit.events.filter((event) => event.id === event.position);
  const given = made.length === unit.events.length ? [] : unit.events.filter((event) => event.id !== event.position);
  const guards: Statement[] = [];
  const skipped: DeliveryRow[] = [];
  const fresh = spread(made, plan, { guards, skipped }, options);
  const conditional = spread(given, plan, { guards, skipped }, options);
  // Guards stand first: nothing is written when they do not hold.
  plan.statements.push(...guards, ...unit.statements);
  const deliveries = conditional.length + skipped.length === 0 ? fresh : fresh.concat(conditional, skipped);
  if (unit.may_be_stored === true) plan.statements.push(journalNewEvents(unit.events, deliveries, options.now()));
  if (made.length > 0) plan.statements.push(insertEvents(made));
  if (given.length > 0) {
    plan.given_at = plan.statements.length;
    plan.statements.push(insertGivenEvents(given));
  }
  if (fresh.length > 0) plan.statements.push(insertDeliveries(fresh));
  if (conditional.length > 0) plan.statements.push(insertDeliveriesOfStored(conditional));
  if (skipped.length > 0) plan.statements.push(insertSkipped(skipped));
  // Of duplicates of given ids nothing is found under what is written here.
  if (unit.may_be_stored !== true && unit.events.length > 0) {
    plan.statements.push(insertJournal(eventsEntry(unit.events, deliveries, options.now())));
  }
}

/** What `spread` adds to beside the deliveries. */
interface Found {
  guards: Statement[];
  skipped: DeliveryRow[];
}

/** Fans out app by app, so that each app's version is guarded once. */
function spread(events: readonly EventRow[], plan: Plan, found: Found, options: EventLogOptions): DeliveryRow[] {
  const deliveries: DeliveryRow[] = [];
  const now = options.now();
  for (const [app_id, of_app] of groupByApp(events)) {
    const known = options.destinations.peek(app_id);
    // A guard that cannot hold sends the items to `refresh`.
    if (!plan.apps.has(app_id)) found.guards.push(guardVersion(app_id, known?.version ?? NO_VERSION));
    plan.apps.add(app_id);
    const destinations = known?.destinations ?? [];
    // What is paused is tried by probes, which have times of their own: nobody need look at it for each event.
    const paused = new Set(destinations.filter(({ state }) => state === "paused").map(({ id }) => id));
    const result = fanOut(of_app, destinations, options.dispatcher.reserve, now);
    for (const delivery of result.deliveries) {
      const is_asked = delivery.trigger === "test";
      const may_go = is_asked || !paused.has(delivery.destination_id);
      if (delivery.leased === 0 && may_go) plan.due.add(delivery.destination_id);
      if (is_asked) plan.asked.add(delivery.destination_id);
      deliveries.push(delivery);
    }
    // One by one: of a large call these are more than a call of a function has room for.
    for (const one of result.skipped) found.skipped.push(one);
    plan.ready.push(...result.ready);
  }
  return deliveries;
}

function groupByApp(events: readonly EventRow[]): Iterable<[string, readonly EventRow[]]> {
  const first = events[0];
  if (first === undefined) return [];
  if (events.every((event) => event.app_id === first.app_id)) return [[first.app_id, events]];
  return Map.groupBy(events, (event) => event.app_id);
}

/** After the commit: hands over what was leased. Answers the positions of given ids that were new. */
function finish(plan: Plan, rows: readonly Row[][], options: EventLogOptions): ReadonlySet<string> {
  const stored = new Set<string>();
  for (const row of rows[plan.given_at] ?? []) stored.add(String(row["position"]));
  for (const [destination, ready] of plan.ready) {
    // A duplicate of a given id has no delivery, so nothing of it may be sent.
    const real = ready.filter((one) => one.event_id === one.position || stored.has(one.position));
    options.dispatcher.accept(destination, real, ready.length);
  }
  const now = options.now();
  for (const destination_id of plan.due) {
    options.dispatcher.wake(destination_id, now, plan.asked.has(destination_id) ? now : Number.POSITIVE_INFINITY);
  }
  return stored;
}
