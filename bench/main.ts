// `npm run bench`: what this server costs on this machine, next to what the same cores do without it. Runs the rounds,
// floors and server by turns so that noise hits both, and prints medians. Timings are no assertion: the exit code is
// 1 only when events were lost or the run could not be trusted, and 2 for a wrong option.
import { availableParallelism, cpus, totalmem, type } from "node:os";
import { engineVersion } from "./engine.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { startSink } from "./processes.ts";
import { formatReport, middleRow, type Round, summarise } from "./report.ts";
import { type AnalyticsTimes, formatAnalytics, runAnalytics } from "./scenarios/analytics.ts";
import { type Backlog, formatBacklog, runBacklog } from "./scenarios/backlog.ts";
import { runClaim } from "./scenarios/claim.ts";
import { runFanout } from "./scenarios/fanout.ts";
import { type Bench, runFloor } from "./scenarios/floor.ts";
import { formatHistory, type History, runHistory } from "./scenarios/history.ts";
import { runMany } from "./scenarios/many.ts";
import { runNeighbour } from "./scenarios/neighbour.ts";
import { formatNodes, type Nodes, runNodes } from "./scenarios/nodes.ts";
import { runPipeline } from "./scenarios/pipeline.ts";
import { runRedirectAllRoles, runRedirectEdgeRole } from "./scenarios/redirect.ts";
import { formatSingle, problemsOf, type Single } from "./scenarios/single.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/** Run once and alone, when they are named. */
const SINGLES = [
  ["neighbour", runNeighbour],
  ["many", runMany],
  ["fanout", runFanout],
  ["claim", runClaim],
] as const;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options === null) return EXIT_USAGE;
  // Children end with this process, whatever ends it.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(EXIT_INTERRUPTED));
  const say = (text: string) => process.stderr.write(`${text}\n`);
  try {
    const report = summarise(await runRounds(options, say));
    const singles = hasLong(options) ? [await runFloorAlone(options, say)] : [];
    const backlog = options.scenarios.includes("backlog") ? await runBacklog(options, say) : null;
    const history = options.scenarios.includes("history") ? await runHistory(options, say) : null;
    const analytics = options.scenarios.includes("analytics") ? await runAnalytics(options, say) : null;
    const nodes = options.scenarios.includes("nodes") ? await runNodes(options, say) : null;
    for (const [name, run] of SINGLES) if (options.scenarios.includes(name)) singles.push(await run(options, say));
    print(options, await engineVersion(options.engine), report, { backlog, history, analytics, nodes, singles });
    const problems = [report, backlog, history, analytics, nodes, ...singles].flatMap((part) => part?.problems ?? []);
    return report.lost > 0 || problems.length > 0 ? EXIT_FAILED : 0;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return EXIT_FAILED;
  }
}

function readOptions(args: string[]): Options | null {
  try {
    return parseOptions(args, process.env);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${USAGE}\n`);
    return null;
  }
}

/**
 * Each floor runs before and after the server that is held against it, and its mean counts: a machine that becomes faster
 * or slower meanwhile is in both sides of the ratio.
 */
async function runRounds(options: Options, say: (text: string) => void): Promise<Round[]> {
  const wanted = (name: "pipeline" | "redirect") => options.scenarios.includes(name);
  if (!wanted("pipeline") && !wanted("redirect")) return [];
  const sink = await startSink();
  const bench: Bench = { sink, connections: options.connections, seconds: options.seconds };
  const visits = { ...bench, connections: options.visitors, links: options.links, popularity: options.popularity };
  const rounds: Round[] = [];
  try {
    for (let number = 1; number <= options.rounds; number++) {
      const announce = (what: string) => say(`round ${number} of ${options.rounds}: ${what}`);
      const round: Round = {};
      if (wanted("pipeline")) {
        announce("floor accept+post");
        const before = await runFloor(bench, "accept+post");
        announce("pipeline");
        const { saturation, quarter } = await runPipeline(bench, options.engine);
        announce("floor accept+post");
        round.accept_post = middleRow([before, await runFloor(bench, "accept+post")]);
        round.pipeline = saturation;
        round.pipeline_quarter = quarter;
      }
      if (wanted("redirect")) {
        announce("floor accept");
        const before = await runFloor(visits, "accept");
        announce("redirect, edge role");
        round.redirect_edge = await runRedirectEdgeRole(visits, options.engine);
        announce("floor accept");
        round.accept = middleRow([before, await runFloor(visits, "accept")]);
        announce("redirect, all roles");
        const { saturation, quarter } = await runRedirectAllRoles(visits, options.engine);
        round.redirect = saturation;
        round.redirect_quarter = quarter;
      }
      rounds.push(round);
    }
  } finally {
    await sink.stop();
  }
  return rounds;
}

function hasLong({ scenarios }: Options): boolean {
  return scenarios.some((name) => name !== "pipeline" && name !== "redirect");
}

/** What the machine does at that hour, beside scenarios that run once: their figures say little without it. */
async function runFloorAlone({ connections, seconds }: Options, say: (text: string) => void): Promise<Single> {
  say("floor accept+post");
  const sink = await startSink();
  try {
    const rows = [{ label: "accept+post", row: await runFloor({ sink, connections, seconds }, "accept+post") }];
    return { name: "floor", rows, notes: [], problems: problemsOf(rows) };
  } finally {
    await sink.stop();
  }
}

/** Scenarios that run when they are named. */
type Long = {
  backlog: Backlog | null;
  history: History | null;
  analytics: AnalyticsTimes | null;
  nodes: Nodes | null;
  singles: readonly Single[];
};

function print(options: Options, version: string, report: ReturnType<typeof summarise>, long: Long): void {
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${process.arch}`,
    node: process.version,
  };
  const { rounds, seconds, connections, visitors, engine } = options;
  const run = {
    engine: engine.kind,
    version,
    rounds,
    seconds,
    connections,
    visitors,
    finished_at: new Date().toISOString(),
  };
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ machine, run, ...report, ...long }, null, 2)}\n`);
    return;
  }
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, ${machine.system}, Node ${machine.node}\n` +
      `${run.version}, medians of ${rounds} x ${seconds} s, ${connections} connections, ${visitors} visitors, ${run.finished_at}`,
    formatReport(report),
    ...long.singles.map(formatSingle),
    long.backlog === null ? "" : formatBacklog(long.backlog),
    long.history === null ? "" : formatHistory(long.history),
    long.analytics === null ? "" : formatAnalytics(long.analytics),
    long.nodes === null ? "" : formatNodes(long.nodes),
  ];
  process.stdout.write(`${parts.filter((part) => part !== "").join("\n\n")}\n`);
}
