import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "./config.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const MAIL = {
  LINKME_SMTP_URL: "smtps://ops:p%40ss@mail.example.com",
  LINKME_SMTP_FROM: "linkme@example.com",
  LINKME_SMTP_TO: "ops@example.com, on-call@example.com",
};
const URL_NAME = "LINKME_OPERATOR_WEBHOOK_URL";

function read(env: Record<string, string>) {
  const reading = readConfig(env, () => "");
  return reading.kind === "config"
    ? { config: reading.config, problems: [] }
    : { config: null, problems: reading.problems };
}

test("a mail server is read from its URL, with the usual ports and a password in any letters", () => {
  const { config, problems } = read(MAIL);
  assert.deepEqual(problems, []);
  const login = { user: "ops", password: "p@ss" };
  assert.deepEqual(config?.smtp_url, { host: "mail.example.com", port: 465, secure: true, login });
  assert.deepEqual(config?.smtp_to, ["ops@example.com", "on-call@example.com"]);
  for (const [url, host, port] of [
    ["smtp://mail", "mail", 587],
    ["smtp://[::1]:25/", "::1", 25],
    ["SMTP://127.0.0.1:2525", "127.0.0.1", 2525],
  ] as const) {
    const read_url = read({ ...MAIL, LINKME_SMTP_URL: url }).config?.smtp_url;
    assert.deepEqual(read_url, { host, port, secure: false, login: null });
  }
});

for (const [name, text] of [
  ["LINKME_SMTP_URL", "mail.example.com"],
  ["LINKME_SMTP_URL", "http://mail.example.com"],
  ["LINKME_SMTP_URL", "smtp://user@mail.example.com"],
  ["LINKME_SMTP_URL", "smtp://user:50%@mail.example.com"],
  ["LINKME_SMTP_URL", "smtp://mail.example.com/path"],
  ["LINKME_SMTP_URL", "smtp://mail.example.com?pool=true"],
  ["LINKME_SMTP_URL", "smtp://:25"],
  ["LINKME_SMTP_FROM", "LinkMe <linkme@example.com>"],
  ["LINKME_SMTP_FROM", "a@example.com,b@example.com"],
  ["LINKME_SMTP_FROM", "a@example.com\nBcc: b@example.com"],
  ["LINKME_SMTP_TO", "ops"],
  ["LINKME_SMTP_TO", "a@example.com,,b@example.com"],
  ["LINKME_SMTP_TO", Array.from({ length: 21 }, () => "a@example.com").join(",")],
  ["LINKME_OPERATOR_WEBHOOK_SECRET", "secret"],
  ["LINKME_OPERATOR_WEBHOOK_SECRET", "whsec_c2hvcnQ="],
  ["LINKME_OPERATOR_WEBHOOK_SECRET", "whsec_"],
  [URL_NAME, "ops.example.com"],
  [URL_NAME, "ftp://ops.example.com"],
  [URL_NAME, "https://user:password@ops.example.com"],
  ["LINKME_BACKLOG_NOTICE_SECONDS", "59"],
  ["LINKME_LOW_DISK_BYTES", "1GiB"],
] as const) {
  test(`${name}=${JSON.stringify(text.slice(0, 60))} is refused by one sentence`, () => {
    const { problems } = read({ ...MAIL, [URL_NAME]: "https://ops.example.com", [name]: text });
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.ok(problems[0]?.startsWith(`${name} `) && problems[0].includes("; accepted is "), problems[0]);
  });
}

const APART: [env: Record<string, string>, sentence: RegExp][] = [
  [{ ...MAIL, LINKME_SMTP_TO: "" }, /^LINKME_SMTP_TO is missing; set all of LINKME_SMTP_URL, .*, or none\.$/],
  [{ LINKME_SMTP_TO: "a@example.com" }, /^LINKME_SMTP_URL and LINKME_SMTP_FROM are missing; /],
  [{ LINKME_OPERATOR_WEBHOOK_SECRET: SECRET }, /^LINKME_OPERATOR_WEBHOOK_SECRET is set without /],
  [
    { [URL_NAME]: "http://ops.example.com" },
    /^LINKME_OPERATOR_WEBHOOK_URL is "http:\/\/ops\.example\.com", which is plain http; accepted is https, or /,
  ],
  [
    { [URL_NAME]: "http://8.8.8.8", LINKME_EGRESS_ALLOW: "10.0.0.0/8" },
    /^LINKME_OPERATOR_WEBHOOK_URL is "http:\/\/8\.8\.8\.8", which leads to 8\.8\.8\.8, /,
  ],
  [{ [URL_NAME]: "https://10.1.2.3/x" }, /^LINKME_OPERATOR_WEBHOOK_URL is \S+, which leads to 10\.1\.2\.3, /],
  [{ [URL_NAME]: "https://localhost/x" }, /^LINKME_OPERATOR_WEBHOOK_URL is \S+, which leads to 127\.0\.0\.1, /],
];

for (const [env, sentence] of APART) {
  test(`settings that do not go together stop the start: ${Object.keys(env).join(", ")}`, () => {
    const { problems } = read(env);
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0] ?? "", sentence);
  });
}

test("what does not go together is told beside what is bad in itself, and a bad value is told once", () => {
  const names = (env: Record<string, string>) => read(env).problems.map((problem) => problem.split(" ")[0]);
  assert.deepEqual(names({ PORT: "eighty", LINKME_SMTP_TO: "ops", [URL_NAME]: "http://ops.example.com" }), [
    "PORT",
    "LINKME_SMTP_TO",
    URL_NAME,
    "LINKME_SMTP_URL",
  ]);
  // Whether the URL is good depends on the networks, and nobody knows which were meant.
  const allow = { LINKME_EGRESS_ALLOW: "everything", [URL_NAME]: "http://ops.example.com" };
  assert.deepEqual(names(allow), ["LINKME_EGRESS_ALLOW"]);
  assert.deepEqual(names({ LINKME_OPERATOR_WEBHOOK_SECRET: SECRET, [URL_NAME]: "ftp://ops" }), [URL_NAME]);
  assert.deepEqual(names({ ...MAIL, LINKME_SMTP_URL: "none" }), ["LINKME_SMTP_URL"]);
});

test("settings that go together are accepted", () => {
  const together: Record<string, string>[] = [
    { [URL_NAME]: "https://ops.example.com/hooks?a=b" },
    { [URL_NAME]: "https://ops.example.com", LINKME_OPERATOR_WEBHOOK_SECRET: SECRET },
    { [URL_NAME]: "http://10.1.2.3:9000/x", LINKME_EGRESS_ALLOW: "10.0.0.0/8" },
    { [URL_NAME]: "http://ops.internal/x", LINKME_EGRESS_ALLOW: "10.0.0.0/8" },
    { ...MAIL, LINKME_LOW_DISK_BYTES: "0" },
  ];
  for (const env of together) assert.deepEqual(read(env).problems, []);
});

test("neither the mail server's password nor the signing secret stands in a message", () => {
  const bad: Record<string, string>[] = [
    { LINKME_SMTP_URL: "smtp://user:hunter2@mail.example.com/path" },
    { LINKME_OPERATOR_WEBHOOK_SECRET: "whsec_hunter2" },
    { ...MAIL, LINKME_SMTP_URL: "smtp://user:hunter2@mail.example.com", LINKME_SMTP_TO: "" },
  ];
  for (const env of bad) {
    const { problems } = read(env);
    assert.ok(problems.length > 0 && !problems.join("\n").includes("hunter2"), problems.join("\n"));
  }
});
