// `npm run demo`: starts the server with a temporary store and a receiver beside it, lives one link's life over HTTP,
// prints each event's journey, and fails when one event was not delivered exactly as promised. Every process it starts
// ends with it, however it ends; the store is removed too, unless SIGKILL leaves no time for that.
import { styleText } from "node:util";
import { type ServerProcess, startServer } from "../../server/test/support/server-process.ts";
import { JourneyError } from "./client.ts";
import { countByType, expectEvents } from "./expectation.ts";
import { createLink, createWebhook, type Stage, visitByAndroid, visitByDesktop, visitByIphone } from "./journey.ts";
import { observe, waitUntilSettled } from "./observe.ts";
import { type ReceiverProcess, startReceiver } from "./receiver-process.ts";
import { composeTable, duration, type Style } from "./table.ts";
import { judge, type Promised, type Verdict } from "./verdict.ts";

const RUN_TIMEOUT_MS = 60_000;
const RETRY_SCHEDULE_SECONDS = [1, 2];
/** Delays carry ±20 % jitter. */
const RETRY_AFTER_MIN_MS = 800;
const RETRY_AFTER_MAX_MS = 1_200;
const LINE_MAX_CHARS = 100;
const WHAT_CHARS = 24;
const REQUEST_CHARS = 28;
const LOG_LINES_SHOWN = 5;
const EXIT_BY_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

if (import.meta.main) await start();

async function start(): Promise<void> {
  const running: { server?: ServerProcess } = {};
  const end = async (code: number, reason?: string) => {
    if (reason !== undefined) console.error(reason);
    await running.server?.kill9();
    // The receiver ends when its channel closes, and the temporary store is removed on exit.
    process.exit(code);
  };
  for (const [signal, code] of Object.entries(EXIT_BY_SIGNAL)) process.once(signal, () => void end(code));
  const timer = setTimeout(
    () => void end(1, `The demo did not end within ${RUN_TIMEOUT_MS / 1_000} s.`),
    RUN_TIMEOUT_MS,
  );
  try {
    process.exitCode = await run(running);
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : error}`);
    reportLog(running.server);
    await end(1);
  }
  clearTimeout(timer);
}

async function run(running: { server?: ServerProcess }): Promise<number> {
  const started_at = performance.now();
  console.log("LinkMe Server: one link, three visitors, and every event on its way to a webhook.\n");
  const receiver = await startReceiver();
  const server = await startServer({ env: { LINKME_RETRY_SCHEDULE: RETRY_SCHEDULE_SECONDS.join(",") } });
  running.server = server;
  const stage: Stage = { server, tell };
  console.log(`  server    ${server.url}, with a temporary store`);
  console.log(`  receiver  ${receiver.url}, answers 503 to the first try of every third event\n`);
  const { expected, promised } = await travel(stage, receiver);
  console.log(`\n${expected.length} events must arrive:\n  ${countByType(expected)}\n`);

  await waitUntilSettled(server, promised, { count: expected.length, watch_ms: RETRY_AFTER_MAX_MS });
  const seen = await observe(server, promised);
  // Afterwards nothing can arrive any more, so the receipts are complete.
  await server.stop();
  await receiver.stop();
  const verdict = judge(expected, { ...seen, receipts: receiver.receipts }, promised);
  const code = report(verdict, duration(performance.now() - started_at));
  if (code !== 0) reportLog(server);
  return code;
}

async function travel(stage: Stage, receiver: ReceiverProcess) {
  const { app_id, webhook } = await createWebhook(stage, receiver.url);
  if (!webhook.signing_secret) throw new JourneyError("The answer to creating a webhook lacks its signing_secret.");
  await receiver.arm(webhook.signing_secret);
  const link = await createLink(stage, app_id);
  const visits = [
    await visitByIphone(stage, app_id, link),
    await visitByAndroid(stage, app_id, link),
    await visitByDesktop(stage, link),
  ];
  const promised: Promised = { app_id, webhook_id: webhook.id, retry_after_ms: RETRY_AFTER_MIN_MS };
  return { expected: expectEvents(visits, link), promised };
}

/** Prints the table and the sentences. @returns the exit code */
export function report({ rows, broken }: Verdict, took: string, print = console.log): number {
  for (const line of composeTable(rows, paint)) print(line);
  print("");
  for (const sentence of broken) print(paint("red", sentence));
  if (broken.length > 0) {
    print(`\n${broken.length} broken ${broken.length === 1 ? "promise" : "promises"}.`);
    return 1;
  }
  const requests = rows.reduce((sum, { statuses }) => sum + statuses.length, 0);
  const refused = rows.filter(({ statuses }) => statuses.length > 1).length;
  print(paint("green", `${rows.length} events delivered exactly as promised, ${refused} of them after a refusal.`));
  print(`${requests} requests, every signature valid, every retry with the same bytes; ${took} in all.`);
  return 0;
}

function tell(what: string, request: string, result: string): void {
  const line = `  ${what.padEnd(WHAT_CHARS)}${request.padEnd(REQUEST_CHARS)} → ${result}`;
  console.log(line.length > LINE_MAX_CHARS ? `${line.slice(0, LINE_MAX_CHARS - 1)}…` : line);
}

/** What the server had to say, for whoever has to find out why. */
function reportLog(server: ServerProcess | undefined): void {
  const lines = server?.stdout().split("\n") ?? [];
  const telling = lines.filter((line) => /"level":"(warn|error)"/.test(line)).slice(-LOG_LINES_SHOWN);
  if (telling.length > 0) console.error(`\nThe server's last warnings:\n${telling.join("\n")}`);
}

/** Plain on anything but a terminal, and when NO_COLOR is set. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}
