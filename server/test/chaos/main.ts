// `npm run chaos`: lets one thing after another befall a server under load, on both engines, and says what became of its
// promises. `npm run chaos -- --mishaps 50 --engine postgres --seed 7`. Ends with an error when one was broken.
import { parseArgs } from "node:util";
import { createRandom } from "../support/random.ts";
import { type ChaosOptions, runChaos } from "./chaos.ts";

const MISHAPS_DEFAULT = "20";
/** Promised: from the end of a mishap until a new event comes through. */
const RECOVERY_MAX_MS = 10_000;

const values = readOptions();
const mishaps = Number(values.mishaps);
const engines = values.engine.split(",");
if (!Number.isInteger(mishaps) || mishaps < 1)
  fail(`--mishaps is "${values.mishaps}"; accepted is a whole number from 1.`);
if (!engines.every(isEngine))
  fail(`--engine is "${values.engine}"; accepted is sqlite, postgres or both with a comma.`);
for (const engine of engines.filter(isEngine)) {
  const random = createRandom(values.seed === undefined ? undefined : Number(values.seed));
  const log = (text: string) => console.log(`${engine}: ${text}`);
  log(`seed ${random.seed}, ${mishaps} mishaps`);
  const report = await runChaos({ engine, random, mishaps, recovery_max_ms: RECOVERY_MAX_MS, log });
  for (const { mishap, repeated } of report.recoveries) if (repeated > 0) log(`${mishap}: ${repeated} sent again`);
  const slowest = Math.round(Math.max(...report.recoveries.map(({ ms }) => ms)));
  log(
    `${report.promised} promises kept, lost 0, ${report.requests} requests, ${report.repeated} sent again, slowest recovery ${slowest} ms`,
  );
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        mishaps: { type: "string", default: MISHAPS_DEFAULT },
        engine: { type: "string", default: "sqlite,postgres" },
        seed: { type: "string" },
      },
    }).values;
  } catch (error) {
    // An option that is none: its message names it.
    return fail(`${error instanceof Error ? error.message : error} Accepted are --mishaps, --engine and --seed.`);
  }
}

function isEngine(name: string): name is ChaosOptions["engine"] {
  return name === "sqlite" || name === "postgres";
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
