import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReport, formatTable, isMet, middleRow, type Round, summarise } from "./report.ts";
import { memoryGoals } from "./scenarios/backlog.ts";
import type { Row } from "./scenarios/phase.ts";

const none = { p50: Number.NaN, p95: Number.NaN, p99: Number.NaN };

function row(given: Partial<Row>): Row {
  return {
    rate: null,
    accepted: 1000,
    delivered: 1000,
    accepted_per_s: 1000,
    delivered_per_s: 1000,
    end_to_end_ms: none,
    accept_ms: { p50: 1, p95: 2, p99: 3 },
    cpu_us_per_event: 40,
    harness_cpu_us_per_event: 20,
    peak_bytes: 100 * 2 ** 20,
    drain_ms: 5,
    lost: 0,
    duplicated: 0,
    problems: [],
    notes: [],
    ...given,
  };
}

test("A ratio is taken inside each round and its median counts, so a slow round hides nothing", () => {
  const round = (floor: number, server: number): Round => ({
    accept_post: row({ delivered_per_s: floor }),
    pipeline: row({ delivered_per_s: server }),
  });
  const { goals } = summarise([round(20_000, 12_000), round(5_000, 2_000), round(10_000, 7_000)]);
  assert.equal(goals[0]!.value, 60);
});

test("A floor that ran before and after the server counts with its mean, and with all that went wrong", () => {
  const before = row({ delivered_per_s: 20_000, cpu_us_per_event: 40, lost: 1, problems: ["one"] });
  const both = middleRow([before, row({ delivered_per_s: 10_000, cpu_us_per_event: 80, problems: ["two"] })]);
  assert.equal(both.delivered_per_s, 15_000);
  assert.equal(both.cpu_us_per_event, 60);
  assert.deepEqual([both.lost, both.problems], [1, ["one", "two"]]);
});

test("Each goal compares the figures it names", () => {
  const { goals } = summarise([
    {
      accept: row({ accepted_per_s: 50_000 }),
      accept_post: row({ delivered_per_s: 20_000, cpu_us_per_event: 40 }),
      pipeline: row({ delivered_per_s: 9_000, cpu_us_per_event: 60 }),
      pipeline_quarter: row({ end_to_end_ms: { p50: 2, p95: 5, p99: 51 } }),
      redirect_edge: row({ accepted_per_s: 20_000 }),
      redirect: row({ accepted_per_s: 5_000 }),
    },
  ]);
  assert.deepEqual(
    goals.map((goal) => [goal.value, goal.limit, isMet(goal)]),
    [
      [45, 50, false],
      [1.5, 2, true],
      [51, 50, false],
      [40, 40, true],
    ],
  );
});

test("A goal whose figures were not measured is left out", () => {
  assert.deepEqual(summarise([]).goals, []);
  assert.deepEqual(summarise([{ accept: row({}), accept_post: row({}) }]).goals, []);
  const onlyRedirect = summarise([{ accept: row({}), redirect_edge: row({}) }]);
  assert.deepEqual(
    onlyRedirect.goals.map((goal) => goal.name),
    ["redirects/s, edge role ÷ accept/s"],
  );
});

test("A redirect that also delivers is set against the floor as well, without a goal", () => {
  const rounds = [6_000, 2_000, 3_000].map((accepted_per_s) => ({
    accept: row({ accepted_per_s: 10_000 }),
    redirect: row({ accepted_per_s }),
  }));
  const report = summarise(rounds);
  assert.deepEqual(report.goals, []);
  assert.deepEqual(report.ratios, [{ name: "redirects/s, all roles ÷ accept/s", value: 30, unit: "%" }]);
  assert.match(formatReport(report), /^redirects\/s, all roles ÷ accept\/s +30 % +no goal$/m);
  for (const round of [{ redirect: row({}) }, { accept: row({}) }, { accept: row({}), redirect_edge: row({}) }]) {
    assert.deepEqual(summarise([round]).ratios, [], Object.keys(round).join());
  }
});

test("Goals and ratios share one table", () => {
  const text = formatReport(
    summarise([
      { accept: row({}), redirect_edge: row({ accepted_per_s: 390 }), redirect: row({ accepted_per_s: 90 }) },
    ]),
  );
  const tail = text.split("\n").slice(-2);
  assert.deepEqual(tail, [
    "redirects/s, edge role ÷ accept/s  39 %  goal >= 40 %  NOT MET",
    "redirects/s, all roles ÷ accept/s   9 %       no goal",
  ]);
});

test("What the edge role loses counts like any other loss", () => {
  const report = summarise([{ redirect_edge: row({ lost: 2, duplicated: 1 }) }, { redirect: row({ lost: 1 }) }]);
  assert.equal(report.lost, 3);
  assert.equal(report.rows.redirect_edge!.duplicated, 1);
});

test("Losses and duplicates add up over the rounds, while speeds are medians", () => {
  const rounds = [3, 1, 2].map((lost) => ({ pipeline: row({ lost, duplicated: 1, accepted_per_s: lost * 100 }) }));
  const { rows, lost } = summarise(rounds);
  assert.equal(lost, 6);
  assert.equal(rows.pipeline!.lost, 6);
  assert.equal(rows.pipeline!.duplicated, 3);
  assert.equal(rows.pipeline!.accepted_per_s, 200);
});

test("The table names what was not measured with a dash, and shows problems and notes", () => {
  const text = formatReport(
    summarise([
      {
        accept: row({ delivered_per_s: Number.NaN, notes: ["2 answers were 503"] }),
        redirect_edge: row({ delivered_per_s: Number.NaN }),
        pipeline_quarter: row({
          rate: 2500,
          end_to_end_ms: { p50: 1.234, p95: 20, p99: 30.4 },
          problems: ["unsigned"],
        }),
      },
    ]),
  );
  assert.match(text, /^floor: accept +1,000 +- +- +1\.00 \/ 3\.00 +40\.0 +20\.0 +100 +0 +0$/m);
  assert.match(text, /^redirect, edge role +1,000 +- +- +1\.00 \/ 3\.00 +40\.0 +20\.0 +100 +0 +0$/m);
  assert.match(text, /^pipeline, quarter rate \(2,500\/s\) +1,000 +1,000 +1\.23 \/ 20 \/ 30 /m);
  assert.match(text, /^PROBLEM +pipeline, quarter rate: unsigned$/m);
  assert.match(text, /^note +floor: accept: 2 answers were 503$/m);
});

test("Columns are as wide as their widest cell", () => {
  assert.equal(
    formatTable([
      ["a", "b"],
      ["long", "1000"],
    ]),
    "a        b\nlong  1000",
  );
});

test("Memory is flat when the second half of a backlog needs no more than the first", () => {
  const steps = (...mib: number[]) => mib.map((size, i) => ({ events: i, rss_bytes: size * 2 ** 20 }));
  const cases: [string, number[], number, boolean[]][] = [
    ["flat and small", [200, 210, 205, 208], 210, [true, true]],
    ["growing", [100, 150, 200, 250], 250, [true, false]],
    ["flat and large", [400, 400, 400, 400], 400, [false, true]],
  ];
  for (const [name, mib, peak, met] of cases) {
    assert.deepEqual(memoryGoals(peak * 2 ** 20, steps(...mib)).map(isMet), met, name);
  }
});
