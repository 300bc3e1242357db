// `npm run fuzz`: 100,000 requests that nobody expects against a server process of its own. `npm run fuzz -- --requests 5000`,
// and LINKME_FUZZ_SEED repeats a run's choices. Ends with an error, and prints each failing input as a line of cases.ts,
// when one was answered with 5xx or not at all, or when memory grew.
import { parseArgs } from "node:util";
import { createRandom } from "../support/random.ts";
import { type FuzzReport, GROWTH_MAX_BYTES, runFuzz, toMib } from "./fuzz.ts";
import { createFuzzSite, startFuzzServer } from "./site.ts";

const REQUESTS_DEFAULT = "100000";
const REQUESTS_MIN = 1_000;

const { values } = parseArgs({ options: { requests: { type: "string", default: REQUESTS_DEFAULT } } });
const requests = Number(values.requests);
const given = process.env["LINKME_FUZZ_SEED"];
const { seed } = createRandom(given === undefined ? undefined : Number(given));
if (!Number.isInteger(requests) || requests < REQUESTS_MIN)
  refuse(`--requests is "${values.requests}"; accepted is a whole number from ${REQUESTS_MIN}.`);
if (!Number.isSafeInteger(seed) || seed < 0)
  refuse(`LINKME_FUZZ_SEED is "${given}"; accepted is a whole number from 0.`);

const started = performance.now();
const server = await startFuzzServer();
try {
  console.log(`seed ${seed}, ${requests} requests (LINKME_FUZZ_SEED=${seed} repeats them)`);
  const report = await runFuzz({ server, names: await createFuzzSite(server), seed, requests, log: console.log });
  process.exitCode = tell(report);
} finally {
  await server.stop();
}

function tell({ sent, endings, shed, failures, warm_bytes, end_bytes }: FuzzReport): number {
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`${sent} requests in ${seconds} s: ${JSON.stringify(endings)}`);
  console.log(
    `${shed} of them were shed (503 with Retry-After: more bodies at a time than the server holds, no fault)`,
  );
  console.log(`memory ${toMib(warm_bytes)} after the warm-up, ${toMib(end_bytes)} at the end`);
  for (const { what, as_case } of failures) console.error(`\nFAILED: ${what}\n  ${as_case}`);
  const has_grown = end_bytes - warm_bytes > GROWTH_MAX_BYTES;
  if (has_grown) console.error(`\nFAILED: memory grew by more than ${toMib(GROWTH_MAX_BYTES)}`);
  return failures.length > 0 || has_grown ? 1 : 0;
}

function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}
