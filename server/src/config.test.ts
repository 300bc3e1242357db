import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, describeSettings, type Reading, readConfig, SETTINGS } from "./config.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const NO_FILES = (path: string): string => {
  throw Object.assign(new Error("no such file"), { code: "ENOENT", path });
};

function read(env: Record<string, string>, files: Record<string, string> = {}): Reading {
  return readConfig(env, (path) => files[path] ?? NO_FILES(path));
}

function good(env: Record<string, string>, files: Record<string, string> = {}): Config {
  const reading = read(env, files);
  assert.equal(reading.kind, "config", JSON.stringify(reading));
  return reading.kind === "config" ? reading.config : assert.fail();
}

function problems(env: Record<string, string>, files: Record<string, string> = {}): string[] {
  const reading = read(env, files);
  return reading.kind === "problems" ? reading.problems : assert.fail("was accepted");
}

test("without any variable the server starts on 127.0.0.1:8080 with an SQLite file below ./data", () => {
  assert.deepEqual(good({}), {
    port: 8080,
    host: "127.0.0.1",
    database_url: "file:./data/linkme.db",
    database_connections: 10,
    data_dir: "./data",
    admin_token: null,
    public_url: null,
    egress_allow: [],
    trusted_proxies: [],
    seal_key: null,
    roles: ["edge", "api", "dispatcher"],
    retry_schedule: [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
    pause_after_failures: 20,
    pause_after_seconds: 300,
    disable_after_seconds: 432_000,
    event_retention_days: 395,
    delivery_retention_days: 30,
    links_per_app: 1_000_000,
    domains_per_app: 100,
    geoip_database: null,
    crawlers: [],
    claims_per_minute: 60,
    app_events_per_minute: 600,
    calls_per_minute: 600,
    ...{ operator_webhook_url: null, operator_webhook_secret: null, smtp_url: null, smtp_from: null, smtp_to: null },
    ...{ backlog_notice_seconds: 900, low_disk_bytes: 1_073_741_824 },
    is_run_by_npm: false,
  });
});

const ACCEPTED: [string, string, keyof Config, unknown][] = [
  ["PORT", "0", "port", 0],
  ["PORT", "65535", "port", 65_535],
  ["PORT", " 80 ", "port", 80],
  ["PORT", "", "port", 8080],
  ["HOST", "0.0.0.0", "host", "0.0.0.0"],
  ["HOST", "::1", "host", "::1"],
  ["HOST", "localhost", "host", "localhost"],
  ["HOST", "box-1.example.com.", "host", "box-1.example.com."],
  ["HOST", "4f3c2d1a9b8e", "host", "4f3c2d1a9b8e"],
  ["HOST", "web.3scale", "host", "web.3scale"],
  ["DATABASE_URL", "file:/var/lib/linkme/x.db", "data_dir", "/var/lib/linkme"],
  ["DATABASE_URL", "file:///var/lib/linkme/x.db", "data_dir", "/var/lib/linkme"],
  ["DATABASE_URL", "postgres://u:p@db:5432/linkme", "data_dir", "./data"],
  ["DATABASE_URL", "postgresql://db/linkme", "database_url", "postgresql://db/linkme"],
  ["DATABASE_URL", "postgres://u:p@one:5432,two:5433/x", "database_url", "postgres://u:p@one:5432,two:5433/x"],
  ["LINKME_DATABASE_CONNECTIONS", "2", "database_connections", 2],
  ["LINKME_DATA_DIR", "/srv/linkme", "data_dir", "/srv/linkme"],
  ["LINKME_ADMIN_TOKEN", "a".repeat(32), "admin_token", "a".repeat(32)],
  ["LINKME_PUBLIC_URL", "https://go.example.com/", "public_url", "https://go.example.com"],
  ["LINKME_PUBLIC_URL", "http://localhost:8080", "public_url", "http://localhost:8080"],
  ["LINKME_EGRESS_ALLOW", "10.0.0.0/8, fd00::/8", "egress_allow", ["10.0.0.0/8", "fd00::/8"]],
  ["LINKME_TRUSTED_PROXIES", "192.168.1.7", "trusted_proxies", ["192.168.1.7"]],
  ["LINKME_SEAL_KEY", KEY, "seal_key", Buffer.alloc(32, 7)],
  ["LINKME_SEAL_KEY", KEY.replace("=", ""), "seal_key", Buffer.alloc(32, 7)],
  ["LINKME_ROLE", "dispatcher, edge,edge", "roles", ["edge", "dispatcher"]],
  ["LINKME_RETRY_SCHEDULE", "0, 604800", "retry_schedule", [0, 604_800]],
  ["LINKME_RETRY_SCHEDULE", "none", "retry_schedule", []],
  ["LINKME_EVENT_RETENTION_DAYS", "forever", "event_retention_days", null],
  ["LINKME_EVENT_RETENTION_DAYS", "3650", "event_retention_days", 3_650],
  ["LINKME_DELIVERY_RETENTION_DAYS", "1", "delivery_retention_days", 1],
  ["LINKME_PAUSE_AFTER_FAILURES", "1", "pause_after_failures", 1],
  ["LINKME_PAUSE_AFTER_SECONDS", "31536000", "pause_after_seconds", 31_536_000],
  ["LINKME_DISABLE_AFTER_SECONDS", "86400", "disable_after_seconds", 86_400],
  ["LINKME_CRAWLERS", "ChatPreview/2, acme link check", "crawlers", ["ChatPreview/2", "acme link check"]],
  ["LINKME_CRAWLERS", Array(100).fill("x".repeat(100)).join(","), "crawlers", Array(100).fill("x".repeat(100))],
];

for (const [name, text, field, value] of ACCEPTED) {
  test(`${name}=${JSON.stringify(text)} is accepted`, () => assert.deepEqual(good({ [name]: text })[field], value));
}

const REFUSED: [string, string][] = [
  ["PORT", "abc"],
  ["PORT", "-1"],
  ["PORT", "65536"],
  ["PORT", "80.5"],
  ["PORT", "0x50"],
  ["PORT", "1e3"],
  ["HOST", "http://127.0.0.1"],
  ["HOST", "a b"],
  ["HOST", "999.999.999.999"],
  ["HOST", "1"],
  ["HOST", "0x7f000001"],
  ["HOST", "localhost.1."],
  ["HOST", "."],
  ["HOST", "-"],
  ["HOST", "a..b"],
  ["DATABASE_URL", "./data/linkme.db"],
  ["DATABASE_URL", "mysql://db/linkme"],
  ["DATABASE_URL", "file:"],
  ["DATABASE_URL", "file:./data/"],
  ["DATABASE_URL", "file::memory:"],
  ["DATABASE_URL", "file://host/x.db"],
  ["DATABASE_URL", "file:x.db?mode=ro"],
  ["DATABASE_URL", "postgres://"],
  ["DATABASE_URL", "postgres://one:5432,two:five/x"],
  ["DATABASE_URL", `postgres://${"one,".repeat(10)}one/x`],
  ["LINKME_DATABASE_CONNECTIONS", "1"],
  ["LINKME_PUBLIC_URL", "go.example.com"],
  ["LINKME_PUBLIC_URL", "https://go.example.com/links"],
  ["LINKME_PUBLIC_URL", "https://go.example.com?x=1"],
  ["LINKME_PUBLIC_URL", "ftp://go.example.com"],
  ["LINKME_EGRESS_ALLOW", "10.0.0.0/33"],
  ["LINKME_EGRESS_ALLOW", "localhost"],
  ["LINKME_TRUSTED_PROXIES", "10.0.0.0/8;10.1.0.0/16"],
  ["LINKME_ROLE", "worker"],
  ["LINKME_ROLE", "api,"],
  ["LINKME_RETRY_SCHEDULE", "5,,300"],
  ["LINKME_RETRY_SCHEDULE", "-5"],
  ["LINKME_RETRY_SCHEDULE", "604801"],
  ["LINKME_RETRY_SCHEDULE", "1.5"],
  ["LINKME_PAUSE_AFTER_FAILURES", "0"],
  ["LINKME_PAUSE_AFTER_FAILURES", "twenty"],
  ["LINKME_PAUSE_AFTER_SECONDS", "-1"],
  ["LINKME_DISABLE_AFTER_SECONDS", "31536001"],
  ["LINKME_RETRY_SCHEDULE", Array.from({ length: 25 }, () => "1").join(",")],
  ["LINKME_CRAWLERS", "acme,"],
  ["LINKME_CRAWLERS", "ab"],
  ["LINKME_CRAWLERS", "größe"],
  ["LINKME_CRAWLERS", "x".repeat(101)],
  ["LINKME_CRAWLERS", "acme,MOZILLA/5"],
  ["LINKME_CRAWLERS", "safari"],
  ["LINKME_CRAWLERS", "Android"],
  ["LINKME_CRAWLERS", "Windows NT"],
];

for (const [name, text] of REFUSED) {
  test(`${name}=${JSON.stringify(text)} is refused by one sentence with the name, the value and what is accepted`, () => {
    const [sentence, ...more] = problems({ [name]: text });
    assert.deepEqual(more, []);
    assert.ok(sentence?.startsWith(`${name} is ${JSON.stringify(text)}; accepted is `), sentence);
  });
}

test("more words for crawlers than there may be are refused", () => {
  const [sentence, ...more] = problems({ LINKME_CRAWLERS: Array(101).fill("acme").join(",") });
  assert.deepEqual(more, []);
  assert.match(sentence ?? "", /^LINKME_CRAWLERS is "acme,.*; accepted is up to 100 words of 3 to 100 /);
});

test("the value of a secret stands in no message", () => {
  for (const [name, text] of [
    ["LINKME_SEAL_KEY", "hunter2-hunter2"],
    ["LINKME_SEAL_KEY", Buffer.alloc(31, 1).toString("base64")],
    ["LINKME_ADMIN_TOKEN", "hunter2 hunter2"],
    ["LINKME_ADMIN_TOKEN", "a".repeat(501)],
  ] as const) {
    const [sentence = ""] = problems({ [name]: text });
    assert.match(sentence, new RegExp(`^${name} has a value that is not accepted`));
    assert.ok(!sentence.includes(text));
  }
  const [sentence = ""] = problems({ DATABASE_URL: "postgresx://user:hunter2@db/linkme" });
  assert.ok(!sentence.includes("hunter2"), sentence);
});

test("all problems are reported together", () => {
  const found = problems({ PORT: "x", HOST: "a b", LINKME_ROLE: "worker", LINKME_SEAL_KEY: "short" });
  assert.deepEqual(
    found.map((sentence) => sentence.split(" ")[0]),
    ["PORT", "HOST", "LINKME_SEAL_KEY", "LINKME_ROLE"],
  );
});

const MAIL = { LINKME_SMTP_URL: "smtp://mail", LINKME_SMTP_FROM: "a@example.com", LINKME_SMTP_TO: "b@example.com" };
const SIGNING_SECRET = `whsec_${KEY}`;
const SAMPLES: Record<string, string> = {
  ...MAIL,
  LINKME_SEAL_KEY: KEY,
  LINKME_OPERATOR_WEBHOOK_SECRET: SIGNING_SECRET,
};
/** What goes only together. */
const COMPANIONS: Record<string, Record<string, string>> = {
  ...Object.fromEntries(Object.keys(MAIL).map((name) => [name, MAIL])),
  LINKME_OPERATOR_WEBHOOK_SECRET: { LINKME_OPERATOR_WEBHOOK_URL: "https://ops.example.com" },
};

test("every variable can be read from a file, without the line break at its end", () => {
  for (const row of Object.values(SETTINGS)) {
    const value = SAMPLES[row.name] ?? row.fallback ?? "https://go.example.com";
    if (value === "") continue;
    const { [row.name]: _, ...others } = COMPANIONS[row.name] ?? {};
    const from_file = good({ ...others, [`${row.name}_FILE`]: "/run/x" }, { "/run/x": `${value}\n` });
    assert.deepEqual(from_file, good({ ...others, [row.name]: value }));
  }
});

test("a file that cannot be read, and a variable given in both ways, are problems", () => {
  assert.match(problems({ PORT_FILE: "/run/none" })[0] ?? "", /^PORT_FILE is "\/run\/none" \(ENOENT\); accepted is/);
  assert.match(problems({ PORT: "1", PORT_FILE: "/run/x" }, { "/run/x": "1" })[0] ?? "", /both set/);
  assert.match(
    problems({ PORT_FILE: "/run/x" }, { "/run/x": "abc" })[0] ?? "",
    /^PORT \(read from \/run\/x\) is "abc"/,
  );
});

test("an unknown LINKME_ variable is warned about, with the nearest known name", () => {
  const reading = read({
    LINKME_RETRY_SHEDULE: "5",
    LINKME_SOMETHING_ELSE: "1",
    LINKME_TYPO: "1",
    PATH: "/bin",
    LINKME_ROLE_FILE: "",
  });
  assert.deepEqual(reading.warnings, [
    "LINKME_RETRY_SHEDULE is not a setting of this server and is ignored. Did you mean LINKME_RETRY_SCHEDULE?",
    "LINKME_SOMETHING_ELSE is not a setting of this server and is ignored.",
    "LINKME_TYPO is not a setting of this server and is ignored.",
  ]);
});

test("a short admin token works, with a warning", () => {
  const reading = read({ LINKME_ADMIN_TOKEN: "admin" });
  assert.equal(reading.kind, "config");
  assert.match(reading.warnings[0] ?? "", /can be guessed/);
});

test("a name with the prefix too much is known", () => {
  const { warnings } = read({ LINKME_DATABASE_URL: "file:./x.db" });
  assert.match(warnings[0] ?? "", /Did you mean DATABASE_URL\?$/);
});

test("what is seldom meant works, with a warning", () => {
  const postgres = read({ DATABASE_URL: "postgres://db/linkme" });
  assert.match(postgres.warnings[0] ?? "", /^LINKME_ADMIN_TOKEN is not set: every process makes one of its own/);
  for (const network of ["0.0.0.0/0", "10.0.0.0/8, ::/0"]) {
    assert.match(read({ LINKME_EGRESS_ALLOW: network }).warnings[0] ?? "", /LINKME_EGRESS_ALLOW allows every address/);
  }
});

test("the configuration page names every setting", () => {
  const page = describeSettings();
  for (const row of Object.values(SETTINGS)) assert.ok(page.includes(`| \`${row.name}\` |`), row.name);
});
