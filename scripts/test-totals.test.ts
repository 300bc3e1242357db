// The one line that everybody reads at the end of a run must be right, above all when something went wrong.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runNodeTests } from "./test.ts";
import { addTotals, BROKEN_RUN, findFault, readNodeTotals, readPythonTotals } from "./test-totals.ts";

const PYTHON_OUTPUTS = [
  ["one pass", "Ran 1 test in 0.001s\n\nOK\n", { passed: 1, failed: 0, skipped: 0 }],
  ["all pass", "test_a ... ok\n\nRan 12 tests in 0.1s\n\nOK\n", { passed: 12, failed: 0, skipped: 0 }],
  ["skips", "\nRan 12 tests in 0.1s\n\nOK (skipped=2)\n", { passed: 10, failed: 0, skipped: 2 }],
  ["failures", "\nRan 9 tests in 1s\n\nFAILED (failures=1, errors=2)\n", { passed: 6, failed: 3, skipped: 0 }],
  ["an import error", "\nRan 1 test in 0s\n\nFAILED (errors=1)\n", { passed: 0, failed: 1, skipped: 0 }],
  ["a failing fixture", "\nRan 0 tests in 0s\n\nFAILED (errors=1)\n", { passed: 0, failed: 1, skipped: 0 }],
  [
    "surprises",
    "\nRan 4 tests in 0s\n\nFAILED (expected failures=1, unexpected successes=2)\n",
    { passed: 1, failed: 2, skipped: 1 },
  ],
  [
    "a look-alike printed by a test",
    "OK\nRan 3 tests in 0s\n\nFAILED (failures=3)\n",
    { passed: 0, failed: 3, skipped: 0 },
  ],
  ["no test", "\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n", { passed: 0, failed: 0, skipped: 0 }],
  ["nothing at all", "", BROKEN_RUN],
  ["a crash", "Traceback (most recent call last):\n", BROKEN_RUN],
  ["a crash half way", "\nRan 3 tests in 0s\n", BROKEN_RUN],
] as const;

for (const [name, output, expected] of PYTHON_OUTPUTS) {
  test(`Python's report is read: ${name}`, () => {
    assert.deepEqual(readPythonTotals(`\n${output}`), expected);
  });
}

const NODE_REPORTS = [
  ["passes", { tests: 3, passed: 3 }, [], { passed: 3, failed: 0, skipped: 0 }],
  ["canceled tests", { tests: 6, passed: 3, cancelled: 2 }, [], { passed: 3, failed: 3, skipped: 0 }],
  ["left-out tests", { tests: 6, passed: 3, skipped: 1, todo: 2 }, [], { passed: 3, failed: 0, skipped: 3 }],
  ["a file without tests", { tests: 3, passed: 3 }, ["a.test.ts"], { passed: 2, failed: 1, skipped: 0 }],
] as const;

for (const [name, counts, silent_files, expected] of NODE_REPORTS) {
  test(`Node's numbers are read: ${name}`, () => {
    const report = { counts: { cancelled: 0, skipped: 0, todo: 0, ...counts }, silent_files: [...silent_files] };
    assert.deepEqual(readNodeTotals(report), expected);
  });
}

test("totals add up over the runners", () => {
  const sum = addTotals([{ passed: 1, failed: 2, skipped: 0 }, { passed: 10, failed: 0, skipped: 3 }, BROKEN_RUN]);
  assert.deepEqual(sum, { passed: 11, failed: 3, skipped: 3 });
});

const VERDICTS = [
  [{ passed: 5, failed: 0, skipped: 0 }, undefined],
  [{ passed: 5, failed: 1, skipped: 0 }, /1 failed/],
  [{ passed: 5, failed: 0, skipped: 1 }, /1 skipped/],
  [{ passed: 0, failed: 0, skipped: 0 }, /no test ran/],
] as const;

for (const [totals, fault] of VERDICTS) {
  test(`a run of ${JSON.stringify(totals)} is ${fault ? "a failure" : "a success"}`, () => {
    if (fault) assert.match(findFault(totals) ?? "", fault);
    else assert.equal(findFault(totals), undefined);
  });
}

const FILES = [
  [
    "passes and a failure",
    'test("a", () => {}); test("b", () => { throw new Error("no"); });',
    { passed: 1, failed: 1, skipped: 0 },
  ],
  ["a crash at import", 'throw new Error("no");', { passed: 0, failed: 1, skipped: 0 }],
  ["an exit before the end", 'test("b", () => process.exit(0));', { passed: 0, failed: 1, skipped: 0 }],
  ["no test", "test;", { passed: 0, failed: 1, skipped: 0 }],
  [
    "a left-out test",
    'test("a", () => {}); test("b", { ["sk" + "ip"]: true }, () => {});',
    { passed: 1, failed: 0, skipped: 1 },
  ],
] as const;

for (const [name, body, expected] of FILES) {
  test(`a real run of Node's runner is counted: ${name}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "linkme-count-"));
    const file = join(folder, "sample.test.mjs");
    writeFileSync(file, `import { test } from "node:test";\n${body}\n`);
    assert.deepEqual(await runNodeTests([file], [], process.env), expected);
    rmSync(folder, { recursive: true });
  });
}
