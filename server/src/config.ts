// The settings: the only reader of the environment, which main.ts hands in. Each setting is written once; parsing, the
// sentences for bad values, the warnings for misspelt names and docs/configuration.md all follow from this table.
// All problems are reported together, so that one restart mends them all.
import { dirname } from "node:path";
import { DELIVERY_RETENTION_DEFAULT_DAYS, EVENT_RETENTION_DEFAULT_DAYS, RETENTION_MAX_DAYS } from "#contract/apps.ts";
import { RETRY_DELAY_MAX_SECONDS, RETRY_SCHEDULE_MAX_ITEMS } from "#contract/destinations.ts";
import { LIMIT_SETTINGS } from "./config-limits.ts";
import { NOTICE_SETTINGS, noticeProblems } from "./config-notices.ts";
import {
  amount,
  bearer,
  CRAWLER_MAX_CHARS,
  CRAWLER_MIN_CHARS,
  CRAWLERS_MAX,
  connections,
  crawlers,
  databaseUrl,
  days,
  delays,
  failures,
  hostName,
  networks,
  origin,
  portNumber,
  roles,
  sealKey,
  seconds,
  TOKEN_MAX_CHARS,
  text,
} from "./config-values.ts";
import { databasePath } from "./platform/database-open.ts";
import { editDistance } from "./platform/edit-distance.ts";
import { systemCodeOf } from "./platform/system-code.ts";
import { type Setting, setting, showValue } from "./setting.ts";

/** How a process ends when its configuration is wrong (EX_CONFIG of sysexits.h). */
export const EXIT_BAD_CONFIG = 78;
const RETRY_SCHEDULE_DEFAULT = "5,300,1800,7200,18000,36000,50400,72000,86400";
/** A shorter operator's token can be guessed; it works, with a warning. */
const TOKEN_WEAK_CHARS = 16;
const OWN_PREFIX = "LINKME_";
/** How many letters a misspelt name may differ from the one that is suggested. */
const SUGGESTION_MAX_EDITS = 4;

type Environment = Readonly<Record<string, string | undefined>>;
type ReadFile = (path: string) => string;

const A_NUMBER_OF_DAYS = `a whole number of days from 1 to ${RETENTION_MAX_DAYS}, or forever`;
const A_LIST_OF_NETWORKS = "a comma-separated list of networks or addresses, like 10.0.0.0/8,192.168.1.7,fd00::/8";

export const SETTINGS = {
  port: setting({
    name: "PORT",
    fallback: "8080",
    unit: "port number",
    accepts: "a whole number from 0 to 65535; 0 picks a free port",
    description: "The port to listen on. With 0 the ready line says which one was free.",
    schema: portNumber,
  }),
  host: setting({
    name: "HOST",
    fallback: "127.0.0.1",
    unit: "address",
    accepts: "an IP address or a host name of this machine, like 127.0.0.1 or 0.0.0.0",
    description: "The address to listen on. `0.0.0.0` serves a network; put TLS in front of it.",
    schema: hostName,
  }),
  database_url: setting({
    name: "DATABASE_URL",
    fallback: "file:./data/linkme.db",
    unit: "URL",
    accepts:
      "file: and a path, like file:./data/linkme.db, or postgres://user:password@host:5432/name; several hosts are separated by commas, each with its port",
    description: "Where everything is stored: an SQLite file for one machine, or PostgreSQL for many processes.",
    schema: databaseUrl,
  }),
  database_connections: setting({
    name: "LINKME_DATABASE_CONNECTIONS",
    fallback: "10",
    unit: "connections",
    accepts: "a whole number from 2 to 1000",
    description:
      "The most connections that this process opens to PostgreSQL; one of them listens for hints of other processes. An SQLite file has no use for it.",
    schema: connections,
  }),
  data_dir: setting({
    name: "LINKME_DATA_DIR",
    fallback: null,
    default_is: "the directory of the SQLite file, else `./data`",
    unit: "path",
    accepts: "the path of a directory that this process may write to",
    description: "Where files beside the database live: the seal key, the admin token, the spool.",
    schema: text.min(1),
  }),
  admin_token: setting({
    name: "LINKME_ADMIN_TOKEN",
    fallback: null,
    default_is: "generated into `admin.token` in the data directory, mode 600, and printed once",
    unit: "text",
    accepts: `1 to ${TOKEN_MAX_CHARS} printable ASCII characters without spaces; use 32 or more random ones`,
    description: "The operator's Bearer token: it may do everything.",
    secret: true,
    schema: bearer,
  }),
  public_url: setting({
    name: "LINKME_PUBLIC_URL",
    fallback: null,
    default_is: "`http://<host>:<port>`",
    unit: "URL",
    accepts: "an http or https address without a path, like https://go.example.com",
    description: "The address in links that the server prints. On its host the links of every app answer.",
    schema: origin,
  }),
  egress_allow: setting({
    name: "LINKME_EGRESS_ALLOW",
    fallback: "",
    default_is: "empty: public addresses only",
    unit: "networks",
    accepts: A_LIST_OF_NETWORKS,
    description: "Networks that may be targets of webhooks although private, and over plain `http`.",
    schema: networks,
  }),
  trusted_proxies: setting({
    name: "LINKME_TRUSTED_PROXIES",
    fallback: "",
    default_is: "empty: no proxy is believed",
    unit: "networks",
    accepts: A_LIST_OF_NETWORKS,
    description: "Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.",
    schema: networks,
  }),
  seal_key: setting({
    name: "LINKME_SEAL_KEY",
    fallback: null,
    default_is: "generated into `seal.key` in the data directory, mode 600",
    unit: "base64",
    accepts: "32 random bytes in base64, as `openssl rand -base64 32` prints them",
    description:
      "Seals secrets at rest. Processes that share a database must share it. Keep a copy: without it the secrets in a backup cannot be read.",
    secret: true,
    schema: sealKey,
  }),
  roles: setting({
    name: "LINKME_ROLE",
    fallback: "edge,api,dispatcher",
    unit: "list",
    accepts: "a comma-separated list of edge, api and dispatcher",
    description:
      "What this process does: `edge` answers links and SDK calls, `api` the management API, `dispatcher` delivers and adds up clicks.",
    schema: roles,
  }),
  retry_schedule: setting({
    name: "LINKME_RETRY_SCHEDULE",
    fallback: RETRY_SCHEDULE_DEFAULT,
    unit: "seconds",
    accepts: `up to ${RETRY_SCHEDULE_MAX_ITEMS} delays in seconds from 0 to ${RETRY_DELAY_MAX_SECONDS}, separated by commas, like 5,300,1800; or none for a single attempt`,
    description: "Delays before each retry of a failed delivery, for webhooks that set none themselves.",
    schema: delays,
  }),
  pause_after_failures: setting({
    name: "LINKME_PAUSE_AFTER_FAILURES",
    fallback: "20",
    unit: "attempts",
    accepts: "a whole number from 1 to 1000000",
    description:
      "A webhook is paused when so many attempts in a row have failed, over at least LINKME_PAUSE_AFTER_SECONDS: its deliveries wait, and one is tried now and then.",
    schema: failures,
  }),
  pause_after_seconds: setting({
    name: "LINKME_PAUSE_AFTER_SECONDS",
    fallback: "300",
    unit: "seconds",
    accepts: "a whole number from 1 to 31536000",
    description:
      "How long a webhook has to fail before it is paused; LINKME_DISABLE_AFTER_SECONDS, where that is shorter.",
    schema: seconds,
  }),
  disable_after_seconds: setting({
    name: "LINKME_DISABLE_AFTER_SECONDS",
    fallback: "432000",
    unit: "seconds",
    accepts: "a whole number from 1 to 31536000",
    description:
      "A webhook that is paused, and whose attempts have all failed for so long, is disabled when the next probe fails, until somebody enables it. Where it is shorter than LINKME_PAUSE_AFTER_SECONDS, a webhook is paused when its attempts have all failed for so long, however few they are, tried again after as long, and disabled when that fails.",
    schema: seconds,
  }),
  event_retention_days: setting({
    name: "LINKME_EVENT_RETENTION_DAYS",
    fallback: String(EVENT_RETENTION_DEFAULT_DAYS),
    unit: "days",
    accepts: A_NUMBER_OF_DAYS,
    description: "How long an app that is created without a limit of its own keeps events, deliveries and clicks.",
    schema: days,
  }),
  delivery_retention_days: setting({
    name: "LINKME_DELIVERY_RETENTION_DAYS",
    fallback: String(DELIVERY_RETENTION_DEFAULT_DAYS),
    unit: "days",
    accepts: A_NUMBER_OF_DAYS,
    description: "The same for what was sent and answered, counted from the end of the delivery.",
    schema: days,
  }),
  links_per_app: setting({
    name: "LINKME_LINKS_PER_APP",
    fallback: "1000000",
    unit: "links",
    accepts: "a whole number from 1 to 1000000000",
    description: "How many links an app may have; one more is refused with 409.",
    schema: amount,
  }),
  domains_per_app: setting({
    name: "LINKME_DOMAINS_PER_APP",
    fallback: "100",
    unit: "domains",
    accepts: "a whole number from 1 to 1000000000",
    description: "How many domains an app may have; one more is refused with 409.",
    schema: amount,
  }),
  geoip_database: setting({
    name: "LINKME_GEOIP_DATABASE",
    fallback: null,
    default_is: "none: countries are not known",
    unit: "path",
    accepts: "the path of a MaxMind database (.mmdb) with countries, like /var/lib/GeoLite2-Country.mmdb",
    description:
      "Tells the country that an address is of, for the counts of clicks; the address is not stored. It is read at the start.",
    schema: text.min(1),
  }),
  crawlers: setting({
    name: "LINKME_CRAWLERS",
    fallback: "",
    default_is: "empty: those that the server knows",
    unit: "words",
    accepts: `up to ${CRAWLERS_MAX} words of ${CRAWLER_MIN_CHARS} to ${CRAWLER_MAX_CHARS} printable ASCII characters, separated by commas, like AcmeBot,Acme Link Check; none that the browsers of people send, like Mozilla`,
    description:
      "Who sends one of these within its `User-Agent`, in any case, is a crawler too: it gets the preview of a link, and leaves no click.",
    schema: crawlers,
  }),
  ...LIMIT_SETTINGS,
  ...NOTICE_SETTINGS,
};

type Settings = typeof SETTINGS;
type ValueOf<Row> =
  Row extends Setting<infer Value, infer Fallback> ? (Fallback extends string ? Value : Value | null) : never;
/** The settings as the program uses them. */
export type Config = { [Name in keyof Settings]: NonNullable<ValueOf<Settings[Name]>> | NullOf<Settings[Name]> } & {
  data_dir: string;
  /** True below `npm start`: a process that npm started should not outlive it. */
  is_run_by_npm: boolean;
};
type NullOf<Row> = Row extends Setting<infer _Value, infer Fallback> ? (Fallback extends string ? never : null) : never;

export type Reading =
  | { kind: "config"; config: Config; warnings: string[] }
  /** `config` holds what could be read all the same. */
  | { kind: "problems"; problems: string[]; warnings: string[]; config: Partial<Config> };

/** Reads every setting; either all are good, or every problem is named. */
export function readConfig(env: Environment, read_file: ReadFile): Reading {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [field, row] of Object.entries(SETTINGS)) {
    const given = readText(row, env, read_file);
    if ("problem" in given) problems.push(given.problem);
    else values[field] = parse(row, given, problems);
  }
  const warnings = unknownNames(env);
  // Every field was parsed by the schema of its own row just now, or is undefined.
  problems.push(...noticeProblems(values as Partial<Config>));
  const { database_url } = values as Partial<Config>;
  if (values["data_dir"] === null) values["data_dir"] = database_url && defaultDataDir(database_url);
  if (problems.length > 0) return { kind: "problems", problems, warnings, config: values };
  // Every row had a value: one without is a problem.
  const config = values as Config;
  if (config.admin_token !== null && config.admin_token.length < TOKEN_WEAK_CHARS) {
    warnings.push(`LINKME_ADMIN_TOKEN is shorter than ${TOKEN_WEAK_CHARS} characters and can be guessed.`);
  }
  if (config.admin_token === null && !config.database_url.startsWith("file:")) {
    warnings.push(
      "LINKME_ADMIN_TOKEN is not set: every process makes one of its own, so where several share a PostgreSQL they would refuse each other's.",
    );
  }
  if (config.egress_allow.some((network) => network.endsWith("/0"))) {
    warnings.push("LINKME_EGRESS_ALLOW allows every address: webhooks may reach whatever this machine can reach.");
  }
  const is_run_by_npm = env["npm_lifecycle_event"] === "start";
  return { kind: "config", config: { ...config, is_run_by_npm }, warnings };
}

interface Given {
  text: string | null;
  /** The file that it was read from. */
  file: string | null;
}

/** An empty value counts as none, for that is how compose files pass variables that were not set. */
function readText(row: Setting<unknown>, env: Environment, read_file: ReadFile): Given | { problem: string } {
  const value = env[row.name]?.trim() || null;
  const file = env[`${row.name}_FILE`]?.trim() || null;
  if (file === null) return { text: value, file };
  if (value !== null) return { problem: `${row.name} and ${row.name}_FILE are both set; keep one of them.` };
  try {
    return { text: read_file(file).trim() || null, file };
  } catch (error) {
    const reason = systemCodeOf(error) ?? "it cannot be read";
    return { problem: `${row.name}_FILE is "${file}" (${reason}); accepted is the path of a readable file.` };
  }
}

/** Undefined for a value that is not accepted. */
function parse(row: Setting<unknown>, given: Given, problems: string[]): unknown {
  const text = given.text ?? row.fallback;
  if (text === null) return null;
  const result = row.schema.safeParse(text);
  if (result.success) return result.data;
  const source = given.file === null ? "" : ` (read from ${given.file})`;
  problems.push(`${row.name}${source} ${showValue(row, text)}; accepted is ${row.accepts}.`);
  return undefined;
}

function defaultDataDir(database_url: string): string {
  return database_url.startsWith("file:") ? dirname(databasePath(database_url)) : "./data";
}

/** A misspelt setting would be ignored in silence; a warning names the one that was probably meant. */
function unknownNames(env: Environment): string[] {
  const known = Object.values(SETTINGS).flatMap((row) => [row.name, `${row.name}_FILE`]);
  const unknown = Object.keys(env).filter((name) => name.startsWith(OWN_PREFIX) && !known.includes(name));
  return unknown.map((name) => {
    const bare = name.slice(OWN_PREFIX.length);
    const near = (one: string) => Math.min(editDistance(one, name), editDistance(one, bare));
    const nearest = known.map((one) => ({ one, edits: near(one) })).sort((a, b) => a.edits - b.edits)[0];
    const most_edits = Math.min(SUGGESTION_MAX_EDITS, bare.length / 2);
    const hint = nearest && nearest.edits <= most_edits ? ` Did you mean ${nearest.one}?` : "";
    return `${name} is not a setting of this server and is ignored.${hint}`;
  });
}

/** docs/configuration.md, from the same table. */
export function describeSettings(): string {
  const rows = Object.values(SETTINGS).map((row) => {
    const fallback = row.default_is ?? `\`${row.fallback}\``;
    return `| \`${row.name}\` | ${row.unit} | ${fallback} | ${row.description} Accepted: ${row.accepts}. |`;
  });
  return [
    "# Configuration",
    "",
    "<!-- Generated from server/src/config.ts by `npm run generate`; edit there. -->",
    "",
    "Settings are environment variables. None is needed to start.",
    "Every one can also be given as `NAME_FILE`, the path of a file that holds the value; an empty value counts as none.",
    `A bad value stops the start with exit code ${EXIT_BAD_CONFIG}; all problems are named together.`,
    "",
    "| variable | unit | default | meaning |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
