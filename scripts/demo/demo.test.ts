import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { report } from "./main.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const RUN_TIMEOUT_MS = 90_000;
const LINE_MAX_CHARS = 100;

/** Starts the demo as npm does, with a folder of its own for temporary files. */
function startDemo(t: TestContext) {
  const temp = mkdtempSync(join(tmpdir(), "linkme-demo-test-"));
  t.after(() => rmSync(temp, { recursive: true, force: true }));
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN], {
    // A setting of the person who starts the demo must not reach its server.
    env: { PATH: process.env["PATH"], TMPDIR: temp, LINKME_ROLE: "nothing", DATABASE_URL: "file:/nowhere/at.all" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_TIMEOUT_MS,
  });
  const output = { text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output.text += text;
    });
  }
  return { child, temp, output };
}

/** Resolves when the demo and all that hold its output have ended. */
async function ended(child: ChildProcess): Promise<number | null> {
  const [code] = await once(child, "close");
  return code;
}

test("The demo delivers every event exactly as promised", async (t) => {
  const { child, temp, output } = startDemo(t);
  assert.equal(await ended(child), 0, output.text);
  const lines = output.text.split("\n");
  const rows = lines.filter((line) => line.startsWith("link."));
  assert.deepEqual(rows.map((row) => row.replace(/\s+…[0-9a-f]{8}\s+/, " ").replace(/\s.*$/, "")).sort(), [
    ...["link.app_open", "link.app_open", "link.claim", "link.claim", "link.click", "link.click", "link.click"],
    ...["link.deferred_claim_attempt", "link.token_created", "link.token_created", "link.token_created"],
  ]);
  const kept = /^link\.[a-z_]+ +…[0-9a-f]{8} {2}(ios|android|web) +(503 → )?200 +[0-9.]+ m?s {2}as promised$/;
  for (const row of rows) assert.match(row, kept);
  assert.equal(rows.filter((row) => row.includes("503 → 200")).length, 3);
  assert.match(output.text, /11 events delivered exactly as promised, 3 of them after a refusal\./);
  assert.match(output.text, /14 requests/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence is what must not be there.
  assert.doesNotMatch(output.text, /\u001b/, "no colours outside a terminal");
  for (const line of lines) assert.ok(line.length <= LINE_MAX_CHARS, line);
  assert.deepEqual(readdirSync(temp), [], "temporary files are left");
});

test("A demo that is stopped leaves neither processes nor files", async (t) => {
  const { child, temp, output } = startDemo(t);
  while (!output.text.includes("create an app")) await once(child.stdout, "data");
  child.kill("SIGTERM");
  assert.equal(await ended(child), 143, output.text);
  assert.deepEqual(readdirSync(temp), [], "temporary files are left");
});

test("A broken promise is told in its own sentence and makes the exit code 1", () => {
  const told: string[] = [];
  const row = { event: "link.click", id: null, platform: "ios", statuses: [], delivered_ms: null, is_kept: false };
  const code = report({ rows: [row], broken: ["link.click (ios) is missing."] }, "1.00 s", (line: string) => {
    told.push(line);
  });
  assert.equal(code, 1);
  assert.ok(told.includes("link.click (ios) is missing."));
  assert.ok(told.includes("\n1 broken promise."));
});
