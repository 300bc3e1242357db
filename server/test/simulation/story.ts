// What happens in one simulated world, all of it chosen by the seed: destinations, receivers, calls of the outside,
// accidents; then everything heals, time runs on, and the promises are checked. Called by dispatcher.test.ts.
import { WebhookCreate } from "#contract/destinations.ts";
import { EVENT_TYPES } from "#contract/events.ts";
import { deliveryId } from "../../src/deliveries/delivery.ts";
import { SLOTS, SLOW_SLOTS } from "../../src/deliveries/lanes.ts";
import { LEASE_MS } from "../../src/deliveries/leases.ts";
import { AppError } from "../../src/errors.ts";
import { DatabaseError } from "../../src/platform/database.ts";
import { checkEnding } from "./ending.ts";
import { createLedger } from "./ledger.ts";
import type { Life } from "./life.ts";
import { createProcess, type Process, type Surroundings } from "./process.ts";
import { createReceivers, MOODS } from "./receivers.ts";
import { createWorld } from "./world.ts";

const APP = "shop";
/** Enough for leases, schedules, Retry-After and what a rate limit holds back; clocks set back come on top. */
const HEALING_MS = 900_000;
const STOP_DEADLINE_MS = 12_000;
/** Of destinations in worlds with ordered ones. */
const ORDERINGS = ["link", "link", "link", "none"] as const;
/** The bound of the dispatcher's memory, and what may cross while it is reached. */
const QUEUED_MAX = 5_000;
/** Kinds of world: nothing goes wrong; one process; two processes on one database. */
const KINDS = ["calm", "single", "single", "single", "pair", "pair"] as const;

export interface Summary {
  deliveries: number;
  sends: number;
  disturbances: number;
  processes: number;
}

export interface Setting {
  /** Destinations send the events of each link in order, most of them and most of the time. */
  ordered: boolean;
}

/** @throws Error that names the seed, the promise that was broken and what happened last */
export async function runStory(seed: number, setting: Setting = { ordered: false }): Promise<Summary> {
  const world = createWorld(seed);
  try {
    return await tell(world, setting);
  } finally {
    world.disk.close();
  }
}

async function tell(world: ReturnType<typeof createWorld>, { ordered }: Setting): Promise<Summary> {
  const { random, time, disk, weather } = world;
  const kind = random.pick(KINDS);
  const is_pair = kind === "pair";
  const ledger = createLedger(world, is_pair);
  const receivers = createReceivers(world);
  const surroundings: Surroundings = { world, ledger, receivers };
  const processes = new Set<Process>();
  const survivors = new Set<Life>();
  const accepted = new Set<string>();
  const known_ids: string[] = [];
  const urls: string[] = [];
  let process_count = 0;
  /** Share of ingests that are large. */
  let flood = 0;
  /** Links that events are of, where destinations are ordered. */
  const links = ordered ? random.pick([1, 2, 2, 5, 30]) : 0;
  let is_healing = false;
  let is_over = false;

  // Processes.

  function launch(): void {
    const name = `p${++process_count}`;
    const tell = () => {
      for (const other of processes) if (other !== process) other.presence.hear();
    };
    const process = createProcess(surroundings, name, { exclusive: !is_pair, skewed: is_pair, tell });
    processes.add(process);
    ledger.dispatchersChanged();
    world.note(`${name} starts`);
    process.life.onEnd(() => {
      processes.delete(process);
      ledger.dispatchersChanged();
      if (is_over) return;
      time.after(is_healing ? 1 : random.int(1, 5_000), launch);
    });
    // The server ends when it cannot start, and whoever runs it starts it again.
    process.dispatcher.start().then(
      () => {
        process.started = true;
      },
      () => process.life.end(),
    );
  }

  async function stopCleanly(process: Process): Promise<void> {
    process.stopping = true;
    const disturbed = weather.disturbances;
    const { started } = process;
    const begun = time.elapsed();
    await Promise.allSettled(process.calls);
    world.note(`${process.life.name} is asked to stop`);
    await process.dispatcher.stop(STOP_DEADLINE_MS);
    if (!process.life.isAlive()) return;
    const { in_flight, unsettled } = process.dispatcher.counts();
    const is_clean = weather.disturbances === disturbed && time.elapsed() - begun < STOP_DEADLINE_MS;
    if (is_clean && unsettled === 0) {
      survivors.add(process.life);
      // Leases that were over before it came belong to nobody.
      const held = disk.ask(
        "select * from deliveries where leased = 1 and state = 'pending' and due_at > ?",
        weather.wall + time.elapsed(),
      );
      // What an outage cut off belongs to nobody until its lease runs out, nor do leases that a clock set back made longer.
      const is_calm = weather.set_back_ms === 0 && time.elapsed() - weather.outage_until > LEASE_MS;
      if (!is_pair && is_calm && started && held.length > 0)
        world.violate(`a stop leaves nothing leased: ${JSON.stringify(held)}`);
    } else weather.disturbances++;
    world.note(`${process.life.name} stops with ${in_flight} in flight`);
    process.life.end();
  }

  // Calls of the outside, each to a process that takes calls.

  function call(name: string, work: (process: Process) => Promise<unknown>): void {
    const open = [...processes].filter((process) => !process.stopping);
    if (open.length === 0) return;
    const process = random.pick(open);
    world.note(`${process.life.name} is asked: ${name}`);
    const running = work(process).catch((error: unknown) => {
      // Refusals and outages are answers; anything else is a bug.
      if (error instanceof AppError) return;
      if (error instanceof DatabaseError && error.kind === "unavailable") return;
      world.violate(`a call is answered or refused, not broken: ${error instanceof Error ? error.stack : error}`);
    });
    process.calls.add(running);
    void running.finally(() => process.calls.delete(running));
  }

  function createWebhook(): void {
    const url = `https://receiver-${urls.length + 1}.example/${time.elapsed()}`;
    const input = WebhookCreate.parse({
      ...{ url, events: random.pick([[...EVENT_TYPES], ["link.click"], ["link.click", "link.claim"]]) },
      retry_schedule: Array.from({ length: random.int(0, 4) }, () => random.int(0, random.pick([0, 2, 20]))),
      timeout_ms: random.pick([1_000, 3_000, 10_000]),
      max_in_flight: random.pick([1, 2, 5, 50, 200]),
      rate_per_second: random.pick([null, null, null, random.int(2, 30)]),
      retry_on: random.pick(["retriable", "any_failure"]),
      signing: random.chance(0.3),
      ...(ordered && { ordering: random.pick(ORDERINGS) }),
    });
    urls.push(url);
    receivers.setMood(url, random.pick(MOODS));
    call("create a webhook", ({ destinations }) => destinations.createWebhook(APP, input));
  }

  /** Also those whose making was never answered. */
  function webhooks(): string[] {
    return disk.ask<{ id: string }>("select id from destinations order by created_at, id").map(({ id }) => id);
  }

  function ingest(): void {
    const count = random.chance(flood) ? random.int(20, 150) : random.pick([1, 1, 1, 2, 5]);
    const inputs = Array.from({ length: count }, () => {
      const id = random.chance(0.2) ? givenId() : undefined;
      const of_link = ordered && random.chance(0.9) ? { link_id: `link-${random.int(1, links)}` } : {};
      return {
        event: random.pick(["link.click", "link.claim"] as const),
        data: { n: random.int(1, 99), ...of_link },
        id,
      };
    });
    call(`ingest ${count}`, async ({ events }) => {
      const answer = await events.ingest(APP, inputs);
      for (const id of [...answer.accepted, ...answer.duplicates]) accepted.add(id);
      known_ids.push(...answer.accepted);
    });
  }

  /** New, or one that was seen before, made by the server or not. */
  function givenId(): string {
    if (known_ids.length > 0 && random.chance(0.4)) return random.pick(known_ids);
    const bytes = new Uint8Array(16);
    random.fill(bytes);
    const hex = Buffer.from(bytes).toString("hex");
    const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
    known_ids.push(id);
    return id;
  }

  function touchDelivery(): void {
    if (ledger.tracks.size === 0) return;
    const track = random.pick([...ledger.tracks.values()]);
    const id = deliveryId(track);
    if (random.chance(0.7)) call(`retry ${track.id}`, ({ deliveries }) => deliveries.retryDelivery(id, APP));
    else call(`cancel ${track.id}`, ({ deliveries }) => deliveries.cancelDelivery(id, APP));
  }

  function changeWebhook(): void {
    const known = webhooks();
    if (known.length === 0) return;
    const id = random.pick(known);
    const patch = random.pick([
      { enabled: false },
      { enabled: true },
      { enabled: true },
      { max_in_flight: random.pick([1, 3, 60]) },
    ]);
    call(`change ${id.slice(-4)} ${JSON.stringify(patch)}`, ({ destinations }) =>
      destinations.patchWebhook(id, APP, patch),
    );
  }

  function changeOrdering(): void {
    const known = webhooks();
    if (known.length === 0) return;
    const id = random.pick(known);
    const patch = { ordering: random.pick(ORDERINGS) };
    call(`change ${id.slice(-4)} ${JSON.stringify(patch)}`, ({ destinations }) =>
      destinations.patchWebhook(id, APP, patch),
    );
  }

  function sendTest(): void {
    const known = webhooks();
    if (known.length === 0) return;
    const id = random.pick(known);
    call(`test ${id.slice(-4)}`, ({ events }) => events.sendTest(id, APP));
  }

  function changeMood(): void {
    if (urls.length > 0) receivers.setMood(random.pick(urls), random.pick(MOODS));
  }

  // Accidents.

  function crash(): void {
    if (processes.size > 0) random.pick([...processes]).life.dieAfter(random.int(1, 60));
  }

  function outage(): void {
    const lasts_ms = random.pick([50, 500, 3_000, random.int(1_000, 70_000)]);
    weather.outage_until = time.elapsed() + lasts_ms;
    weather.outage_ambiguous = random.pick([0, 0.3, 1]);
    weather.disturbances++;
    world.note(`the database is out of reach for ${lasts_ms} ms`);
  }

  function jump(): void {
    const by_ms = random.pick([1, 1, -1]) * random.pick([500, 5_000, 60_000]) * random.next();
    weather.wall += Math.round(by_ms);
    weather.set_back_ms += Math.max(0, -Math.round(by_ms));
    weather.jumped_at = time.elapsed();
    weather.disturbances++;
    ledger.clockJumped();
    world.note(`the clock jumps by ${Math.round(by_ms)} ms`);
  }

  function restart(): void {
    const open = [...processes].filter((process) => !process.stopping);
    if (open.length > 0) void stopCleanly(random.pick(open));
  }

  const everyday = [ingest, ingest, ingest, ingest, touchDelivery, changeWebhook, sendTest, changeMood, restart];
  const accidents = kind === "calm" ? [] : [crash, crash, outage, jump].filter(() => random.chance(0.6));
  const acts = [...everyday, ...accidents, ...(accidents.length > 0 ? [createWebhook] : [])];
  if (ordered) acts.push(changeOrdering);

  // The plot.

  function observeMemory(): void {
    for (const { dispatcher, life } of processes) {
      const { queued, in_flight } = dispatcher.counts();
      if (queued > QUEUED_MAX) world.violate(`${life.name} keeps ${queued} deliveries in memory`);
      if (in_flight > SLOTS + SLOW_SLOTS) world.violate(`${life.name} has ${in_flight} requests in flight`);
    }
  }

  async function runUntil(elapsed_ms: number): Promise<void> {
    while (await time.step(elapsed_ms)) {
      observeMemory();
      world.check();
    }
  }

  function heal(): void {
    world.note("everything heals");
    is_healing = true;
    weather.outage_until = Math.min(weather.outage_until, time.elapsed());
    weather.hints_lost = 0;
    for (const { life } of processes) life.dieAfter(Number.POSITIVE_INFINITY);
    for (const url of urls) receivers.setMood(url, "fast");
    for (const id of webhooks()) {
      if (random.chance(0.7))
        call(`enable ${id.slice(-4)}`, (to) => to.destinations.patchWebhook(id, APP, { enabled: true }));
    }
  }

  /** What a person asked for is sent even where nothing else is. */
  const isBusy = () =>
    [...processes].some((process) => process.stopping || process.calls.size > 0) ||
    disk.ask(`select 1 from deliveries as d join destinations as t on t.id = d.destination_id
      where d.state = 'pending' and (t.state in ('active', 'paused')
        or (d.trigger in ('manual', 'test') and (d.due_at = 0 or d.leased = 1))) limit 1`).length > 0;

  flood = random.pick([0, 0, 0, 0.1, 0.4]);
  weather.hints_lost = random.pick([0, 0, 0.3, 1]);
  weather.slow_calls = random.pick([0, 0.1, 0.6]);
  disk.ask(INSERT_APP, APP);
  launch();
  if (is_pair) launch();
  for (let count = random.int(1, 5); count > 0; count--) createWebhook();
  await runUntil(500);
  for (let count = random.int(10, 50); count > 0; count--) {
    random.pick(acts)();
    await runUntil(time.elapsed() + random.pick([0, 1, 20, 300, random.int(1, 8_000)]));
  }
  await runUntil(time.elapsed() + random.pick([0, 20_000]));
  heal();
  await runUntil(time.elapsed() + 6_000);
  const end = time.elapsed() + HEALING_MS + weather.set_back_ms;
  while (isBusy() && time.elapsed() < end) await runUntil(time.elapsed() + 1_000);
  for (const process of processes) void stopCleanly(process);
  is_over = true;
  await runUntil(time.elapsed() + STOP_DEADLINE_MS - 1);
  for (const { life } of processes) survivors.add(life);
  checkEnding(surroundings, { accepted, survivors });
  world.check();
  const sends = [...ledger.tracks.values()].reduce((sum, track) => sum + track.sends.length, 0);
  return { deliveries: ledger.tracks.size, sends, disturbances: weather.disturbances, processes: process_count };
}

const INSERT_APP = `insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
  match_window_seconds, destinations_version, created_at, updated_at) values (?, 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`;
