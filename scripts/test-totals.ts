// Reads what the two test runners say at their end and adds it up. Pure; called by scripts/test.ts.
// A run that says nothing, or in which nothing ran, counts as a failure: silence must never look like success.

export interface Totals {
  passed: number;
  failed: number;
  /** Tests that were left out. A suite that leaves tests out has not shown that the product works. */
  skipped: number;
}

export const BROKEN_RUN: Totals = { passed: 0, failed: 1, skipped: 0 };

/** What scripts/test-count.ts writes. */
export interface NodeReport {
  counts: { tests: number; passed: number; cancelled: number; skipped: number; todo: number };
  /** Files that Node's runner counts as one passed test each, though no test in them reported anything. */
  silent_files: string[];
}

export function readNodeTotals({ counts, silent_files }: NodeReport): Totals {
  const passed = counts.passed - silent_files.length;
  const skipped = counts.skipped + counts.todo;
  // Failed, canceled, or ended without a word: all that is left.
  return { passed, failed: counts.tests - passed - skipped, skipped };
}

/**
 * From the end of what `python3 -m unittest` prints, such as "Ran 12 tests in 0.1s" and "FAILED (failures=1, errors=2)".
 * An error outside a test (an import, a fixture) is in `errors` and not in the number that ran.
 */
export function readPythonTotals(output: string): Totals {
  const ran = /^Ran (\d+) tests? in /m.exec(output)?.[1];
  const verdict = /^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?\s*$/m.exec(output.slice(output.lastIndexOf("\nRan ")));
  if (ran === undefined || verdict === null) return BROKEN_RUN;
  const number = (name: string) => Number(new RegExp(`(?:^|, )${name}=(\\d+)`).exec(verdict[2] ?? "")?.[1] ?? 0);
  const failed = number("failures") + number("errors") + number("unexpected successes");
  const skipped = number("skipped") + number("expected failures");
  return { passed: Math.max(0, Number(ran) - failed - skipped), failed, skipped };
}

export function addTotals(all: Totals[]): Totals {
  const sum = (name: keyof Totals) => all.reduce((total, one) => total + one[name], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** Undefined when the run shows that the product works, else the reason why it does not. */
export function findFault({ passed, failed, skipped }: Totals): string | undefined {
  if (failed > 0) return `${failed} failed`;
  if (skipped > 0) return `${skipped} skipped: a test that is left out counts as a failure`;
  if (passed === 0) return "no test ran";
  return undefined;
}
