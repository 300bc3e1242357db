// Does what the README and the guides tell a reader to do: runs every `sh` block of them in order, in a folder that
// looks like a fresh clone, and waits for what the `text` block below promises. The server is the real one, started by
// the README's own command; only ports differ. Everything ends with the test process, however that ends.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { EVENT_TYPES } from "#contract/events.ts";
import { waitUntil } from "../server/test/support/wait.ts";

const ROOT = join(import.meta.dirname, "..");
const QUICK_START = "## First webhook in a minute";
// Below every system's range of ephemeral ports, so that no connection of another test takes the port meanwhile.
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
/** The server stops when its standard input ends, which it does when this process ends. */
const UNTIL_INPUT_ENDS = "trap : TERM; {\n%s\n} </dev/null & read -r _; kill -TERM 0; wait";
/** Commands that are typed once: they store, open or start something. */
const CHANGES = / -d | -X |cat >|curl -si|kill|&$/m;
const END_JOBS = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n";

interface Step {
  command: string;
  /** Lines that the output must hold, in any order; `…` stands for anything. */
  promised: string[];
}

const quick_start = readSteps(sectionOf(readFileSync(join(ROOT, "README.md"), "utf8"), QUICK_START));
const FOLLOWED = [
  "first-webhook",
  "filters",
  "replay",
  "verify-signatures",
  "receive-webhooks",
  "rotate-secrets",
  "links",
  "privacy",
  "ga4",
  "posthog",
  "segment",
  "other-vendors",
];
const GUIDES = FOLLOWED.map((name) => `docs/guide/${name}.md`);
const OPERATE = "docs/guide/operate.md";

describe("a reader who follows", () => {
  const [start, ...quick_steps] = quick_start;
  assert(start !== undefined, "the quick start begins with a command");
  let server: Running;
  let shell: Running;

  before(async () => {
    const folder = cloneFolder();
    const [port, receiver_port] = [await findFreePort(), await findFreePort()];
    server = run(["-c", UNTIL_INPUT_ENDS.replace("%s", start.command)], folder, { PORT: `${port}` });
    shell = run(["-s"], folder, { LINKME: `http://127.0.0.1:${port}`, RECEIVER_PORT: `${receiver_port}` });
    shell.child.stdin?.write(END_JOBS);
  });
  after(() => Promise.all([shell.end(), server.end()]));

  test("the README starts the server", async () => {
    await waitUntil(() => server.isEnded() || missing(start, server.output()).length === 0, "the server to be ready");
    assert.deepEqual(missing(start, server.output()), [], server.output());
  });

  for (const step of quick_steps) test(`the README: ${titleOf(step)}`, () => follow(step));

  for (const guide of GUIDES) {
    const steps = readSteps(readFileSync(join(ROOT, guide), "utf8"));
    for (const step of steps) test(`${guide}: ${titleOf(step)}`, () => follow(step));
  }

  /** Types the command once; one that only reads is typed again, as by a reader who is faster than a delivery. */
  async function follow(step: Step): Promise<void> {
    let from = await type(step.command);
    const isMet = async () => {
      if (missing(step, shell.output().slice(from)).length === 0) return true;
      if (!CHANGES.test(step.command) && !shell.isEnded()) from = await type(step.command);
      return false;
    };
    // What is missing says more than that time ran out.
    await waitUntil(isMet, "the promised output").catch(() => {});
    assert.deepEqual(missing(step, shell.output().slice(from)), [], `Output:\n${shell.output()}`);
  }

  let typed = 0;
  /** Resolves when the command has ended, with the place where its output begins. */
  async function type(command: string): Promise<number> {
    const from = shell.output().length;
    const mark = `end of command ${++typed}\n`;
    shell.child.stdin?.write(`${command}\necho; echo "${mark.trim()}"\n`);
    await waitUntil(() => shell.isEnded() || shell.output().includes(mark), "the command to end");
    return from;
  }
});

test("every line that the server logs is explained to operators", () => {
  const guide = readFileSync(join(ROOT, OPERATE), "utf8");
  const sources = globSync("server/src/**/*.ts", { cwd: ROOT }).filter((path) => !path.endsWith(".test.ts"));
  const names = sources.flatMap((path) => {
    const lines = readFileSync(join(ROOT, path), "utf8").split("\n");
    const logging = lines.filter((line) => /\blog\(|\bevent: "[a-z]+\./.test(line));
    return logging.flatMap((line) => [...line.matchAll(/"([a-z]+\.[a-z_]+)"/g)].map((match) => match[1] ?? ""));
  });
  assert.ok(names.includes("server.ready") && names.includes("spool.failed"), "log lines are found");
  const types: readonly string[] = EVENT_TYPES;
  const unexplained = [...new Set(names)].filter((name) => !types.includes(name) && !guide.includes(`\`${name}\``));
  assert.deepEqual(unexplained, [], `Add them to ${OPERATE}.`);
});

const READINGS: [string, string, Step[]][] = [
  [
    "a command with its promise",
    "```sh\na\nb\n```\nc\n\n```text\nd\n…e\n```\n",
    [{ command: "a\nb", promised: ["d", "…e"] }],
  ],
  [
    "a command without one",
    "```sh\na\n```\n```sh\nb\n```\n",
    [
      { command: "a", promised: [] },
      { command: "b", promised: [] },
    ],
  ],
  ["code that is no command", "```js\na\n```\n```\nb\n```\n", []],
];

for (const [name, markdown, steps] of READINGS) {
  test(`steps are read: ${name}`, () => assert.deepEqual(readSteps(markdown), steps));
}

const PROMISES: [string, string, boolean][] = [
  ["a line as it is", '"id":"demo"', true],
  ["a line with a gap", '{"id":"…","name"', true],
  ["another line", '{"id":"other"', false],
  ["a gap across lines", '"id":"…second', false],
];

for (const [name, promise, isKept] of PROMISES) {
  test(`a promise is ${isKept ? "kept" : "broken"}: ${name}`, () => {
    assert.equal(missing({ command: "", promised: [promise] }, '{"id":"demo","name":1}\nsecond').length === 0, isKept);
  });
}

/** The text from one heading to the next of the same rank. */
function sectionOf(markdown: string, heading: string): string {
  const from = markdown.indexOf(`${heading}\n`);
  assert(from >= 0, `README.md has the heading ${heading}`);
  const to = markdown.indexOf("\n## ", from + heading.length);
  return markdown.slice(from, to < 0 ? undefined : to);
}

function readSteps(markdown: string): Step[] {
  const steps: Step[] = [];
  for (const [, language, body = ""] of markdown.matchAll(/^```(\w*)\n([\s\S]*?)\n```$/gm)) {
    if (language === "sh") steps.push({ command: body, promised: [] });
    if (language === "text") steps.at(-1)?.promised.push(...body.split("\n"));
  }
  return steps;
}

/** The promised lines that the output does not hold. */
function missing({ promised }: Step, output: string): string[] {
  return promised.filter((line) => {
    const parts = line.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return !new RegExp(parts.join(".*")).test(output);
  });
}

function titleOf({ command }: Step): string {
  return command.split("\n")[0] ?? "";
}

/** Every file of the project, as in a clone, and a place for data of its own. */
function cloneFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "linkme-readme-"));
  const names = readdirSync(ROOT).filter((name) => !["data", ".git", ".cache"].includes(name));
  for (const name of names) symlinkSync(join(ROOT, name), join(folder, name));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Running {
  child: ChildProcess;
  output(): string;
  isEnded(): boolean;
  /** Ends its input, which ends it and what it started. */
  end(): Promise<void>;
}

function run(args: string[], cwd: string, own_env: Record<string, string>): Running {
  const settings = /^(?:LINKME_|DATABASE_URL$|HOST$|PORT$|NODE_TEST_CONTEXT$)/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings.test(name)));
  // A group of its own: `kill 0` in it reaches all that it started and nothing else.
  const child = spawn("bash", args, { cwd, env: { ...env, ...own_env }, stdio: "pipe", detached: true });
  const ended = once(child, "close");
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      text += chunk;
    });
  }
  return {
    child,
    output: () => text,
    isEnded: () => child.exitCode !== null || child.signalCode !== null,
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}

async function findFreePort(): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    const server = createServer();
    const is_free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!is_free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
