// The short form of `npm run chaos`: each thing befalls a server under load once, on both engines.
import { describe, test } from "node:test";
import { runChaos } from "../chaos/chaos.ts";
import { createRandom } from "../support/random.ts";

const MISHAPS = 7;
/** Generous, for a busy machine: `npm run chaos` holds it to the 10 s that are promised. */
const RECOVERY_MAX_MS = 30_000;

describe("whatever befalls a server, it recovers by itself and keeps what it promised", { concurrency: 2 }, () => {
  for (const engine of ["sqlite", "postgres"] as const) {
    test(`on ${engine}`, async (t) => {
      const random = createRandom();
      t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
      const log = (text: string) => t.diagnostic(text);
      const report = await runChaos({ engine, random, mishaps: MISHAPS, recovery_max_ms: RECOVERY_MAX_MS, log });
      for (const { mishap, repeated } of report.recoveries) t.diagnostic(`${mishap}: ${repeated} sent again`);
      t.diagnostic(`${report.promised} promises, ${report.requests} requests, ${report.repeated} sent again`);
    });
  }
});
