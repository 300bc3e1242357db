// Starts and stops the server: configuration → database → modules → listen → drain. Nothing else has effects at import.
// A start ends in one of three ways: the ready line, one sentence for each thing that is wrong, or waiting for a
// database that is late, takes no writes, or cannot be opened because its disk is full, with the health checks already answering.
import { readFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { CountryFileError } from "./analytics/country.ts";
import { serverVersion } from "./api/docs.ts";
import { composeServer, type Server } from "./compose.ts";
import { type Config, EXIT_BAD_CONFIG, readConfig } from "./config.ts";
import { findMachineProblems, foreignHost, isForeignHost } from "./config-machine.ts";
import { DataDirError, dropNewSealKey, readSecrets, type Secrets } from "./data-dir.ts";
import { checkSealKey } from "./destinations/seal-check-store.ts";
import { type Database, DatabaseError, isDatabaseError } from "./platform/database.ts";
import { createLateDatabase, type LateDatabase } from "./platform/database-late.ts";
import { databasePath, openDatabase } from "./platform/database-open.ts";
import { tryLock } from "./platform/file-lock.ts";
import { log } from "./platform/log.ts";
import { MigrationError, migrate } from "./platform/migrate.ts";
import { createSealer, SealError } from "./platform/sealing.ts";
import { createSeldomLog } from "./platform/seldom-log.ts";
import { isOfDisk } from "./platform/sqlite-file.ts";
import { systemCodeOf } from "./platform/system-code.ts";

const EXIT_FAILED = 1;
/** Promised to operators: 10 s from the signal to the end of the process. */
const DRAIN_LIMIT_MS = 9_000;
/** npm passes on the signal that the terminal has sent to us as well; two this close are one. */
const SAME_SIGNAL_MS = 100;
const PARENT_CHECK_MS = 500;
const DATABASE_RETRY_MS = 500;
/** Longer than a process before this one may take to stop. */
const FILE_WAIT_MS = 12_000;
const FILE_RETRY_MS = 100;

/** For what is tried again twice a second. */
const logSeldom = createSeldomLog(log, Date.now);

await start();

async function start(): Promise<void> {
  // A reader that went away must not end the server.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  // The database and the spool hold what nobody else on the machine is to read.
  process.umask(0o077);
  process.on("uncaughtException", endAsFailed);
  const config = await loadConfig();
  const secrets = loadSecrets(config);
  const showToken = announceToken(secrets);
  const db = await openOrWait(config);
  const server = await composeServer(config, secrets, db).catch((error: unknown) => {
    if (error instanceof CountryFileError) return fail(EXIT_BAD_CONFIG, error.message);
    throw error;
  });
  stopOnSignal(() => server.stop(DRAIN_LIMIT_MS), config.is_run_by_npm);
  const is_migrated = await tryToPrepare(db, secrets);
  const url = await listen(server, config);
  if (!is_migrated) {
    log("server.waiting", {
      url,
      message: "Listening; only the health checks are answered until the database is there.",
    });
    await waitForDatabase(db, secrets);
  }
  await server.open().catch(endIfDamaged);
  log("server.ready", {
    url,
    version: serverVersion(),
    roles: config.roles,
    database: db.engine,
    data_dir: config.data_dir,
  });
  process.stderr.write(`\nLinkMe Server is ready. Its API: ${config.public_url ?? url}/docs\n`);
  showToken();
}

async function loadConfig(): Promise<Config> {
  const reading = readConfig(process.env, (path) => readFileSync(path, "utf8"));
  for (const warning of reading.warnings) log("config.warning", { message: warning }, "warn");
  const problems = await findMachineProblems(reading.config);
  if (reading.kind === "config" && problems.length === 0) return reading.config;
  return fail(EXIT_BAD_CONFIG, ...(reading.kind === "problems" ? reading.problems : []), ...problems);
}

function loadSecrets(config: Config): Secrets {
  try {
    return readSecrets(config);
  } catch (error) {
    if (error instanceof DataDirError) fail(EXIT_BAD_CONFIG, error.message);
    throw error;
  }
}

/** A file that its disk does not let us open yet, too full for what SQLite keeps beside it, is opened by `tryToPrepare`. */
async function openOrWait(config: Config): Promise<Database | LateDatabase> {
  const open = () => openOwn(config);
  try {
    return await open();
  } catch (error) {
    if (!isDatabaseError(error, "unavailable")) throw error;
    return createLateDatabase(open);
  }
}

/** @throws DatabaseError "unavailable" when the disk is full or fails; anything else ends the process */
async function openOwn(config: Config): Promise<Database> {
  const { database_url, database_connections: connections } = config;
  let db: Database | undefined;
  try {
    db = await openDatabase(database_url, { connections });
    await takeSqliteFile(db, config);
    return db;
  } catch (error) {
    if (!(error instanceof Error && isOfDisk(error.cause))) {
      return fail(EXIT_BAD_CONFIG, whyNotOpened(database_url, error));
    }
    await db?.close();
    const message = `The database file cannot be opened at the moment. ${sentenceOf(error)}; see whether its disk is full or fails`;
    throw new DatabaseError("unavailable", message, { cause: error.cause });
  }
}

function whyNotOpened(database_url: string, error: unknown): string {
  if (!database_url.startsWith("file:")) return `DATABASE_URL cannot be opened. ${sentenceOf(error)}`;
  const path = databasePath(database_url);
  return `DATABASE_URL ${path} cannot be opened. ${sentenceOf(error)}; accepted is a file that this process may read and write, or one that is not there yet.`;
}

/**
 * An SQLite file has one dispatcher: at its start it takes up what is leased, and a second one would send all that again.
 * A process that is still stopping is waited for.
 */
async function takeSqliteFile(db: Database, config: Config): Promise<void> {
  if (db.engine !== "sqlite" || !config.roles.includes("dispatcher")) return;
  // A link leads to the same file: it has one lock, beside itself.
  const path = realpathSync(databasePath(config.database_url));
  const began_at = performance.now();
  let unlock = tryLock(path);
  if (unlock === null) {
    const message = `Waiting up to ${FILE_WAIT_MS / 1_000} s for the process that uses the database file.`;
    log("database.in_use", { message }, "warn");
  }
  while (unlock === null) {
    if (performance.now() - began_at > FILE_WAIT_MS) {
      const advice = "stop that one first, or set DATABASE_URL to a file of its own for each";
      fail(EXIT_FAILED, `DATABASE_URL ${path} is in use by another LinkMe Server; ${advice}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, FILE_RETRY_MS));
    unlock = tryLock(path);
  }
  // Held to the very end: what is in flight is ours until then.
  process.once("exit", unlock);
}

/** Migrates, and sees that the seal key is the one of this database. False when the database cannot be reached yet. */
async function tryToPrepare(db: Database | LateDatabase, secrets: Secrets): Promise<boolean> {
  try {
    if ("open" in db) await db.open();
    const applied = await migrate(db);
    if (applied.length > 0) log("database.migrated", { applied });
    await checkSealKey(db, createSealer(secrets.seal_key));
    return true;
  } catch (error) {
    if (error instanceof SealError) {
      dropNewSealKey(secrets);
      fail(EXIT_BAD_CONFIG, whyNotThisKey(secrets));
    }
    if (error instanceof MigrationError) fail(EXIT_FAILED, error.message);
    if (!isDatabaseError(error, "unavailable")) endIfDamaged(error);
    logSeldom("database.waiting", { message: sentenceOf(error), error, retry_ms: DATABASE_RETRY_MS }, "warn");
    return false;
  }
}

function endIfDamaged(error: unknown): never {
  if (!(error instanceof DatabaseError) || error.kind === "unavailable") throw error;
  const advice = "is DATABASE_URL a database of LinkMe Server, and undamaged? Else restore a backup";
  return fail(EXIT_FAILED, `The database cannot be used: ${sentenceOf(error)}; ${advice}.`);
}

function whyNotThisKey({ seal_key_file, is_seal_key_new }: Secrets): string {
  const given = "LINKME_SEAL_KEY does not fit this database";
  const kept = is_seal_key_new
    ? `LINKME_SEAL_KEY is not set and ${seal_key_file} was missing, but this database holds what another key has sealed`
    : `${seal_key_file} does not fit this database, and LINKME_SEAL_KEY is not set`;
  return `${seal_key_file === null ? given : kept}; accepted is the key that this database was used with before, as LINKME_SEAL_KEY or in the file seal.key, and what to do when it is lost is in docs/guide/operate.md.`;
}

async function waitForDatabase(db: Database | LateDatabase, secrets: Secrets): Promise<void> {
  do await new Promise((resolve) => setTimeout(resolve, DATABASE_RETRY_MS));
  while (!(await tryToPrepare(db, secrets)));
}

async function listen(server: Server, { host, port }: Config): Promise<string> {
  try {
    await server.app.listen({ host, port });
  } catch (error) {
    // A port that another program has, or a name while no resolver answers, may mend itself: whoever starts the server tries again.
    fail(isForeignHost(systemCodeOf(error) ?? "") ? EXIT_BAD_CONFIG : EXIT_FAILED, whyNotListening(error, host, port));
  }
  return server.address();
}

function whyNotListening(error: unknown, host: string, port: number): string {
  const code = systemCodeOf(error) ?? "";
  if (code === "EADDRINUSE") {
    return `PORT ${port} on ${host} is in use by another program; stop that one, or set PORT to a free port or to 0.`;
  }
  if (code === "EACCES") return `PORT ${port} needs rights that this process lacks; set PORT to 1024 or above.`;
  if (code === "EAI_AGAIN") {
    return `HOST ${host} cannot be looked up at the moment; see that a resolver answers, or set HOST to 127.0.0.1, 0.0.0.0 or an address of this machine.`;
  }
  if (isForeignHost(code)) return foreignHost(host);
  return `The server cannot listen on ${host}, port ${port}: ${sentenceOf(error)}`;
}

/**
 * The first signal drains, within its limit; a second one ends the process on the spot. An npm that was killed cannot
 * pass a signal on, so its end counts as one.
 */
function stopOnSignal(stop: () => Promise<boolean>, is_run_by_npm: boolean): void {
  let first_at: number | undefined;
  const receive = (signal: NodeJS.Signals, number: number) => {
    const now = performance.now();
    if (first_at !== undefined) {
      if (now - first_at > SAME_SIGNAL_MS) process.exit(128 + number);
      return;
    }
    first_at = now;
    log("server.stopping", { signal });
    setTimeout(() => {
      log("server.stopped", { drained: false }, "warn");
      process.exit(0);
    }, DRAIN_LIMIT_MS).unref();
    stop().then(
      (drained) => {
        log("server.stopped", { drained }, drained ? "info" : "warn");
        process.exit(0);
      },
      (error) => fail(EXIT_FAILED, `The server could not stop in order: ${sentenceOf(error)}`),
    );
  };
  process.on("SIGTERM", receive);
  process.on("SIGINT", receive);
  if (!is_run_by_npm) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    receive("SIGTERM", constants.signals.SIGTERM);
  }, PARENT_CHECK_MS).unref();
}

/**
 * Answers how to say where the token is. The start that makes it shows it, this once, whatever becomes of that start: the
 * next one finds it made already. It goes to a person's terminal and not into the log.
 */
function announceToken(secrets: Secrets): () => void {
  const show = () => void process.stderr.write(`${tokenNote(secrets)}\n`);
  if (!secrets.is_token_new) return show;
  process.once("exit", show);
  return () => {
    process.off("exit", show);
    show();
  };
}

function tokenNote({ admin_token, token_file, is_token_new }: Secrets): string {
  if (token_file === null) return "Admin token: LINKME_ADMIN_TOKEN\n";
  if (!is_token_new) return `Admin token: in ${token_file}\n`;
  return `Admin token, shown this once and kept in ${token_file}:\n\n  ${admin_token}\n`;
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error instanceof DatabaseError && error.cause instanceof Error ? error.cause.message : "";
  return error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}

/**
 * Nobody knows what an error that nobody caught has left undone. The next start goes on from what is on the disk, and
 * everything that was answered is there.
 */
function endAsFailed(error: unknown): never {
  log("server.failed", { error }, "error");
  return fail(EXIT_FAILED, `The server has ended: ${sentenceOf(error)}`);
}

/** What went wrong is the last thing to be seen, behind the token of a first start. */
function fail(code: number, ...sentences: string[]): never {
  process.once("exit", () => {
    for (const sentence of sentences) process.stderr.write(`${sentence}\n`);
  });
  process.exit(code);
}
