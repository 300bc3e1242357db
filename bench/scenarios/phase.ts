// One measured load against one target, from the first request to the last straggler, as a row of figures. Called by
// the scenarios. The span that counts for deliveries and CPU ends when everything has arrived and the target's own
// ledger agrees, so work that was accepted but put off is paid for in the same row. Where another process delivers, the
// span ends when the target has stored everything; the delivery that follows is counted, not timed.
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { reconcile } from "../event-log.ts";
import type { LoadPlan, LoadResult } from "../generator.ts";
import { machineCpu, type Percentiles, percentiles, readUsage, type Usage } from "../measure.ts";
import { generate, type SinkProcess, type Target } from "../processes.ts";
import type { SinkReport } from "../sink.ts";

const WARM_UP_SECONDS = 2;
/** More requests than the warm-up can send. */
const WARM_UP_NUMBERS = 250_000;
const POLL_MS = 50;
/** How long nothing may arrive before duplicates are ruled out. */
const QUIET_MS = 500;
/** A drain without progress for this long is over, and what is missing is lost. Storing is waited for as long. */
const STALL_MS = 20_000;
const DRAIN_MAX_MS = 300_000;
/** With more than this part of the CPU used by others, a row says so. */
const FOREIGN_SHARE_MAX = 0.1;

/** What is sent, and how an event is recognised on its way. */
type Sent = "requests" | "first_number" | "numbers" | "popularity" | "expected_status" | "key_markers" | "key_bytes";
export type Workload = Pick<LoadPlan, Sent> & {
  /** what stands before the key in a webhook's body; null when nothing is delivered */
  arrival_marker: string | null;
  /** deliveries that the target's ledger counts as pending; null when it keeps none */
  pending: (() => Promise<number>) | null;
  /** starts what delivers once the load is over; null when the target itself delivers, during the load */
  startDispatcher: (() => Promise<{ stop: () => Promise<void> }>) | null;
};
export type Load = { seconds: number; rate: number | null };
export type Stage = { target: Target; sink: SinkProcess; connections: number };

/** Latencies in ms. `problems` are reasons not to trust the row, `notes` what a reader should know. */
export type Row = {
  rate: number | null;
  accepted: number;
  delivered: number;
  accepted_per_s: number;
  delivered_per_s: number;
  end_to_end_ms: Percentiles;
  accept_ms: Percentiles;
  cpu_us_per_event: number;
  harness_cpu_us_per_event: number;
  peak_bytes: number;
  drain_ms: number;
  lost: number;
  duplicated: number;
  problems: string[];
  notes: string[];
};

/** A short load that is not measured, then the measured one, with other numbers; losses of both count. */
export async function runWarm(stage: Stage, workload: Workload, load: Load): Promise<Row> {
  const warm = await runPhase(stage, workload, { seconds: WARM_UP_SECONDS, rate: null });
  const row = await runPhase(stage, { ...workload, first_number: WARM_UP_NUMBERS }, load);
  return {
    ...row,
    lost: row.lost + warm.lost,
    duplicated: row.duplicated + warm.duplicated,
    problems: [...warm.problems, ...row.problems],
    notes: [...warm.notes, ...row.notes],
  };
}

export async function runPhase(stage: Stage, workload: Workload, load: Load): Promise<Row> {
  const { target, sink, connections } = stage;
  const { arrival_marker, pending, startDispatcher, ...requests } = workload;
  const { key_bytes } = workload;
  const sinkBefore = await sink.ask({ do: "reset", marker: arrival_marker ?? "?", key_bytes });
  const before = readUsage(target.pid);
  const machine = watchMachine();
  const result = await generate({ host: target.host, port: target.port, connections, ...requests, ...load });
  const expected = arrival_marker === null ? 0 : result.accepted.count;
  /** To be called when the target's work is done: what it and the harness have used until then. */
  const takeStock = async (usage: Usage): Promise<Spent> => {
    const harness_cpu_us = result.cpu_us + (await sink.ask({ do: "count" })).cpu_us - sinkBefore.cpu_us;
    const cpu_us = usage.cpu_us - before.cpu_us;
    return { cpu_us, harness_cpu_us, peak_bytes: usage.peak_bytes, foreign: machine(cpu_us + harness_cpu_us) };
  };
  let spent: Spent;
  let drained: Drained;
  let stored_late = 0;
  if (startDispatcher === null) {
    drained = await drain(stage, expected, pending);
    spent = await takeStock(drained.usage);
  } else {
    assert(pending !== null, "what is delivered later has to be in a ledger until then");
    const stored = await waitUntilStored(target, expected, pending);
    spent = await takeStock(stored.usage);
    stored_late = stored.late;
    const dispatcher = await startDispatcher();
    drained = await drain(stage, expected, pending).finally(dispatcher.stop);
  }
  const report = await sink.ask({ do: "take" });
  const row = toRow(workload, load, { spent, result, report, drained, stored_late });
  if (row.accepted === 0) throw new Error(`${target.url} accepted nothing: ${row.notes.join("; ")}`);
  return row;
}

/** `foreign`: the part of the machine's CPU that others have used. */
type Spent = { cpu_us: number; harness_cpu_us: number; peak_bytes: number; foreign: number };

/** Begins to watch; the function it returns tells the part of the machine's CPU that others than `ours` have used. */
function watchMachine(): (oursUs: number) => number {
  const startedAt = performance.now();
  const all = machineCpu();
  const own = process.cpuUsage();
  return (oursUs) => {
    const { user, system } = process.cpuUsage(own);
    const capacityUs = (performance.now() - startedAt) * 1e3 * availableParallelism();
    return (machineCpu() - all - oursUs - user - system) / capacityUs;
  };
}

type Drained = { usage: Usage; drain_ms: number; still_pending: number };

/** Waits until `expected` webhooks arrived and none is pending, then for a quiet moment; gives up when it stalls. */
async function drain(stage: Stage, expected: number, pending: Workload["pending"]): Promise<Drained> {
  const startedAt = performance.now();
  let progressAt = startedAt;
  let count = -1;
  let stillPending = pending === null ? 0 : Number.POSITIVE_INFINITY;
  for (;;) {
    const seen = (await stage.sink.ask({ do: "count" })).count;
    const at = performance.now();
    if (seen !== count) progressAt = at;
    count = seen;
    if (count >= expected && pending !== null) stillPending = await pending();
    const complete = count >= expected && stillPending === 0;
    if (complete || at - progressAt > STALL_MS || at - startedAt > DRAIN_MAX_MS) break;
    await sleep(POLL_MS);
  }
  const usage = readUsage(stage.target.pid);
  const drainMs = performance.now() - startedAt;
  if (pending !== null && stillPending !== 0) stillPending = await pending();
  await sleep(QUIET_MS);
  return { usage, drain_ms: drainMs, still_pending: stillPending };
}

/**
 * Waits until the target's ledger holds all that was accepted. `late` is what was missing right after the load: the
 * server keeps clicks in its spool while the database stands still, and that work belongs to the row.
 */
async function waitUntilStored(target: Target, expected: number, pending: () => Promise<number>) {
  const startedAt = performance.now();
  let late: number | null = null;
  for (;;) {
    // Before the ledger is asked, which costs the target as well.
    const usage = readUsage(target.pid);
    const missing = Math.max(0, expected - (await pending()));
    late ??= missing;
    if (missing === 0 || performance.now() - startedAt > STALL_MS) return { usage, late };
    await sleep(POLL_MS);
  }
}

type Observed = {
  spent: Spent;
  result: LoadResult;
  report: SinkReport;
  drained: Drained;
  stored_late: number;
};

/** Pure. A row whose deliveries came after its span has neither their speed nor their latency. */
export function toRow(workload: Workload, load: Load, observed: Observed): Row {
  const { spent, result, report, drained, stored_late } = observed;
  const delivers = workload.arrival_marker !== null;
  const isTimed = delivers && workload.startDispatcher === null;
  const joined = reconcile(result.accepted, report.log!);
  const events = isTimed ? joined.delivered : result.accepted.count;
  return {
    rate: load.rate,
    accepted: result.accepted.count,
    delivered: joined.delivered,
    accepted_per_s: result.accepted_in_time / load.seconds,
    delivered_per_s: isTimed ? (joined.delivered * 1000) / (joined.last_arrival - result.started_at) : Number.NaN,
    end_to_end_ms: percentiles(isTimed ? joined.latency_ms : new Float64Array()),
    accept_ms: percentiles(result.accept_ms),
    cpu_us_per_event: spent.cpu_us / events,
    harness_cpu_us_per_event: spent.harness_cpu_us / events,
    peak_bytes: spent.peak_bytes,
    drain_ms: drained.drain_ms,
    lost: delivers ? joined.lost : 0,
    duplicated: joined.duplicated,
    problems: delivers ? findProblems(result, report, drained) : [],
    notes: [
      ...findNotes(result, joined.unexpected, spent.foreign),
      ...(stored_late > 0
        ? [`${stored_late} deliveries were not in the database when the load ended; storing them is in the row's CPU`]
        : []),
    ],
  };
}

function findProblems(result: LoadResult, report: SinkReport, drained: Drained): string[] {
  return [
    ...(result.unkeyed > 0 ? [`${result.unkeyed} answers carried no id to account for`] : []),
    ...(report.unkeyed > 0 ? [`${report.unkeyed} webhooks carried no id to account for`] : []),
    ...(report.unsigned > 0 ? [`${report.unsigned} webhooks were not signed`] : []),
    ...(drained.still_pending > 0 ? [`deliveries pending in the ledger at the end: ${drained.still_pending}`] : []),
  ];
}

function findNotes(result: LoadResult, unexpected: number, foreign: number): string[] {
  const refused = Object.entries(result.refused).map(([status, count]) => `${count} answers were ${status}`);
  return [
    ...refused,
    ...(unexpected > 0 ? [`${unexpected} arrived although no answer had accepted them`] : []),
    ...(foreign > FOREIGN_SHARE_MAX ? [`other programs used ${(foreign * 100).toFixed(0)} % of the CPU`] : []),
    ...(result.failed > 0 ? [`${result.failed} requests got no answer`] : []),
    ...(result.unsent > 0 ? [`${result.unsent} requests were due and never sent: no connection was free`] : []),
  ];
}
