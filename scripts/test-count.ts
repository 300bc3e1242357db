// A reporter for Node's test runner that writes one line of JSON: how many tests passed, failed, were canceled or skipped,
// and which files reported no test at all. scripts/test.ts gives it to `node --test` beside the readable report.
import { resolve } from "node:path";
import type { TestEvent } from "node:test/reporters";
import type { NodeReport } from "./test-totals.ts";

export default async function* count(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const silent_files: string[] = [];
  for await (const event of events) {
    // A file that ends well without a test of its own (empty, or ended by process.exit) is reported as one passed test
    // with the name of the file.
    if (event.type === "test:pass" && event.data.file === resolve(event.data.name)) silent_files.push(event.data.name);
    // There is one summary for each file, which names it, and one for the whole run, which does not.
    if (event.type === "test:summary" && event.data.file === undefined) {
      const report: NodeReport = { counts: event.data.counts, silent_files };
      yield `${JSON.stringify(report)}\n`;
    }
  }
}
