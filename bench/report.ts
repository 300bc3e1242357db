// Rounds become medians, medians become a table, and the goals are held against them. Pure: main.ts prints the text.
// A ratio is taken inside each round, where the floor ran before and after the server, and the median of the rounds
// counts.
import { median } from "./measure.ts";
import type { Row } from "./scenarios/phase.ts";

/** Rows in the order in which they are printed. */
export const ROWS = {
  accept: "floor: accept",
  accept_post: "floor: accept+post",
  pipeline: "pipeline, saturation",
  pipeline_quarter: "pipeline, quarter rate",
  redirect_edge: "redirect, edge role",
  redirect: "redirect, all roles",
  redirect_quarter: "redirect, all roles, quarter rate",
} as const;
export type RowName = keyof typeof ROWS;
export type Round = Partial<Record<RowName, Row>>;
export type Figure = { name: string; value: number; unit: "%" | "x" | "ms" | "MiB" | "/s" };
export type Goal = Figure & { limit: number; at_least: boolean };
/** `ratios` are shown beside the goals, and nothing is promised of them. */
export type Report = {
  rows: Round;
  goals: Goal[];
  ratios: Figure[];
  lost: number;
  problems: string[];
  notes: string[];
};

const rowNames = Object.keys(ROWS) as RowName[]; // the keys of a literal, which TypeScript widens to string

export function summarise(rounds: readonly Round[]): Report {
  const rows: Round = {};
  const problems: string[] = [];
  const notes: string[] = [];
  for (const name of rowNames) {
    const found = rounds.flatMap((round) => round[name] ?? []);
    if (found.length === 0) continue;
    rows[name] = middleRow(found);
    problems.push(...found.flatMap((row) => row.problems).map((text) => `${ROWS[name]}: ${text}`));
    notes.push(...found.flatMap((row) => row.notes).map((text) => `${ROWS[name]}: ${text}`));
  }
  const lost = Object.values(rows).reduce((sum, row) => sum + row.lost, 0);
  return { rows, goals: goalsOf(rounds), ratios: ratiosOf(rounds), lost, problems, notes };
}

/** Medians of the measurements, of two rows their mean; sums of what must be zero. */
export function middleRow(rows: readonly Row[]): Row {
  const middle = (pick: (row: Row) => number) => median(rows.map(pick));
  const sum = (pick: (row: Row) => number) => rows.reduce((total, row) => total + pick(row), 0);
  const three = (pick: (row: Row) => Row["accept_ms"]) => ({
    p50: middle((row) => pick(row).p50),
    p95: middle((row) => pick(row).p95),
    p99: middle((row) => pick(row).p99),
  });
  return {
    rate: rows[0]!.rate === null ? null : middle((row) => row.rate ?? Number.NaN),
    accepted: sum((row) => row.accepted),
    delivered: sum((row) => row.delivered),
    accepted_per_s: middle((row) => row.accepted_per_s),
    delivered_per_s: middle((row) => row.delivered_per_s),
    end_to_end_ms: three((row) => row.end_to_end_ms),
    accept_ms: three((row) => row.accept_ms),
    cpu_us_per_event: middle((row) => row.cpu_us_per_event),
    harness_cpu_us_per_event: middle((row) => row.harness_cpu_us_per_event),
    peak_bytes: middle((row) => row.peak_bytes),
    drain_ms: middle((row) => row.drain_ms),
    lost: sum((row) => row.lost),
    duplicated: sum((row) => row.duplicated),
    problems: rows.flatMap((row) => row.problems),
    notes: rows.flatMap((row) => row.notes),
  };
}

/** The goals that these rounds can answer. */
function goalsOf(rounds: readonly Round[]): Goal[] {
  const delivered = (row: Row) => row.delivered_per_s;
  const cpu = (row: Row) => row.cpu_us_per_event;
  const goals: Goal[] = [
    {
      name: "pipeline delivered/s ÷ accept+post delivered/s",
      value: 100 * ratio(rounds, "pipeline", "accept_post", delivered),
      limit: 50,
      at_least: true,
      unit: "%",
    },
    {
      name: "pipeline CPU per event ÷ accept+post CPU per event",
      value: ratio(rounds, "pipeline", "accept_post", cpu),
      limit: 2,
      at_least: false,
      unit: "x",
    },
    {
      name: "pipeline end-to-end p99 at a quarter of saturation",
      value: medianOf(rounds, (round) => round.pipeline_quarter?.end_to_end_ms.p99),
      limit: 50,
      at_least: false,
      unit: "ms",
    },
    {
      name: "redirects/s, edge role ÷ accept/s",
      value: 100 * ratio(rounds, "redirect_edge", "accept", acceptedPerSecond),
      limit: 40,
      at_least: true,
      unit: "%",
    },
  ];
  return goals.filter(isMeasured);
}

/** What a reader of the goals asks next. */
function ratiosOf(rounds: readonly Round[]): Figure[] {
  const value = 100 * ratio(rounds, "redirect", "accept", acceptedPerSecond);
  const ratios: Figure[] = [{ name: "redirects/s, all roles ÷ accept/s", value, unit: "%" }];
  return ratios.filter(isMeasured);
}

const acceptedPerSecond = (row: Row) => row.accepted_per_s;
const isMeasured = ({ value }: Figure) => !Number.isNaN(value);

function ratio(rounds: readonly Round[], above: RowName, below: RowName, pick: (row: Row) => number): number {
  return medianOf(rounds, (round) => round[above] && round[below] && pick(round[above]) / pick(round[below]));
}

function medianOf(rounds: readonly Round[], value: (round: Round) => number | undefined): number {
  return median(rounds.map((round) => value(round) ?? Number.NaN));
}

export function isMet(goal: Pick<Goal, "value" | "limit" | "at_least">): boolean {
  return goal.at_least ? goal.value >= goal.limit : goal.value <= goal.limit;
}

/** The report as plain text; empty when nothing was measured. */
export function formatReport(report: Report): string {
  if (Object.keys(report.rows).length === 0) return "";
  const head = ["", "accepted", "delivered", "end-to-end ms", "accept ms", "CPU µs", "harness", "peak", "lost", "dup"];
  const units = ["", "/s", "/s", "p50 / p95 / p99", "p50 / p99", "/event", "CPU µs", "MiB", "", ""];
  const rows = rowNames.flatMap((name) => (report.rows[name] ? [formatRow(ROWS[name], report.rows[name])] : []));
  const warnings = [
    ...report.problems.map((text) => `PROBLEM  ${text}`),
    ...report.notes.map((text) => `note     ${text}`),
  ];
  const sections = [formatTable([head, units, ...rows]), formatGoals(report.goals, report.ratios), warnings.join("\n")];
  return sections.filter((text) => text !== "").join("\n\n");
}

function formatRow(label: string, row: Row): string[] {
  const { end_to_end_ms: whole, accept_ms: accept } = row;
  return [
    row.rate === null ? label : `${label} (${formatCount(row.rate)}/s)`,
    formatCount(row.accepted_per_s),
    formatCount(row.delivered_per_s),
    Number.isNaN(whole.p50) ? "-" : `${formatMs(whole.p50)} / ${formatMs(whole.p95)} / ${formatMs(whole.p99)}`,
    `${formatMs(accept.p50)} / ${formatMs(accept.p99)}`,
    row.cpu_us_per_event.toFixed(1),
    row.harness_cpu_us_per_event.toFixed(1),
    formatMib(row.peak_bytes),
    String(row.lost),
    String(row.duplicated),
  ];
}

export function formatGoals(goals: readonly Goal[], ratios: readonly Figure[] = []): string {
  const lines = goals.map((goal) => [
    goal.name,
    formatValue(goal.value, goal.unit),
    `goal ${goal.at_least ? ">=" : "<="} ${formatValue(goal.limit, goal.unit)}`,
    isMet(goal) ? "met" : "NOT MET",
  ]);
  lines.push(...ratios.map(({ name, value, unit }) => [name, formatValue(value, unit), "no goal", ""]));
  return lines.length === 0 ? "" : formatTable(lines);
}

/** Columns aligned by width: the first to the left, the others to the right. */
export function formatTable(lines: readonly string[][]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

function formatValue(value: number, unit: Goal["unit"]): string {
  if (unit === "x") return `${value.toFixed(2)}x`;
  return unit === "ms" ? `${formatMs(value)} ms` : `${value.toFixed(0)} ${unit}`;
}

function formatMs(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}

export function formatMib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

/** 26600 as `26,600`; a dash where nothing was measured. */
export function formatCount(value: number): string {
  return Number.isNaN(value) ? "-" : Math.round(value).toLocaleString("en-US");
}
