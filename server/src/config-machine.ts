// What settings ask of this machine, which their values alone do not tell: an address to listen on, files, directories. Called
// once by main.ts before any file is made or opened, so that these problems are reported with those of the values.
import { accessSync, constants, existsSync, lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { CountryFileError, openCountries } from "./analytics/country.ts";
import type { Config } from "./config.ts";
import { databasePath } from "./platform/database-open.ts";
import { whyNotOurs } from "./platform/sqlite-file.ts";
import { systemCodeOf } from "./platform/system-code.ts";

/** What the system says of a HOST that is not of this machine, or an address that is none by itself, like fe80::1. */
const FOREIGN_HOST: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "ENOTFOUND", "EINVAL"]);
/** In the data directory, where they were not given. */
export const TOKEN_FILE = "admin.token";
export const SEAL_KEY_FILE = "seal.key";

/**
 * Looks at each of these values, whatever was found wrong with others, and changes nothing. What it cannot foresee, such as a
 * directory below /proc, the start meets later by itself.
 * @param values those that could be read
 * @returns one sentence for each problem
 */
export async function findMachineProblems(values: Partial<Config>): Promise<string[]> {
  const { host, database_url = "", data_dir, geoip_database = null } = values;
  const path = database_url.startsWith("file:") ? databasePath(database_url) : null;
  const of_file = path === null ? null : whyNotFile(path);
  // Said of the file already.
  const is_told = path !== null && of_file !== null && resolve(dirname(path)) === resolve(data_dir ?? "");
  const problems = [
    host === undefined ? null : await whyNotHost(host),
    of_file,
    data_dir === undefined || is_told ? null : whyNotDataDir(data_dir, path, values),
    await whyNotCountries(geoip_database),
  ];
  return problems.filter((problem) => problem !== null);
}

/** Null too where no resolver answers at the moment, or whatever else may be otherwise when the server listens. */
async function whyNotHost(host: string): Promise<string | null> {
  const code = await new Promise<string>((done) => {
    const server = createServer();
    server.once("error", (error) => done(codeOf(error)));
    // A port that is free: whether that of PORT is, listening will tell.
    server.listen({ host, port: 0 }, () => server.close(() => done("")));
  });
  return isForeignHost(code) ? foreignHost(host) : null;
}

export function isForeignHost(code: string): boolean {
  return FOREIGN_HOST.has(code);
}

export function foreignHost(host: string): string {
  return `HOST ${host} is not an address of this machine; set HOST to 127.0.0.1, 0.0.0.0 or one of its own.`;
}

function whyNotFile(path: string): string | null {
  const reason = whyNotOurs(path);
  if (reason !== null) {
    return `DATABASE_URL ${path} ${reason}; accepted is a file of LinkMe Server, or one that is not there yet.`;
  }
  const problem = whyNotMade(path);
  if (problem === null) return null;
  return `DATABASE_URL ${path} cannot be used (${problem}); accepted is a file that this process may read and write, or one that is not there yet in a directory of that kind.`;
}

/** A file that is there, or its directory. Where a link leads to is made by nobody but the file itself. */
function whyNotMade(path: string): string | null {
  if (!leadsNowhere(path)) return whyNotDirectory(dirname(path)) ?? whyNotWritable(path);
  const target = resolve(realpathSync(dirname(path)), readlinkSync(path));
  return existsSync(dirname(target)) ? whyNotMade(target) : `${path} is a link that leads nowhere`;
}

function whyNotDataDir(path: string, file: string | null, values: Partial<Config>): string | null {
  if (file !== null && `${resolve(path)}/`.startsWith(`${resolve(file)}/`)) {
    return unusableDataDir(path, "the file of DATABASE_URL is in its place");
  }
  // Secrets that are there already may be mounted to be read alone.
  const isGiven = (value: unknown, secret: string) => value != null || isReadable(join(path, secret));
  const is_given =
    existsSync(path) && isGiven(values.admin_token, TOKEN_FILE) && isGiven(values.seal_key, SEAL_KEY_FILE);
  const problem = whyNotDirectory(path, is_given ? 0 : constants.W_OK);
  return problem === null ? null : unusableDataDir(path, problem);
}

export function unusableDataDir(path: string, reason: string): string {
  return `LINKME_DATA_DIR ${path} cannot be used (${reason}); accepted is the path of a directory that this process may read and write.`;
}

/** One that is there, or the nearest one above, in which it can be made. */
function whyNotDirectory(path: string, write = constants.W_OK): string | null {
  const at = resolve(path);
  if (leadsNowhere(at)) return `${at} is a link that leads nowhere`;
  try {
    if (!statSync(at).isDirectory()) return `${at} is no directory`;
    accessSync(at, constants.R_OK | constants.X_OK | write);
    return null;
  } catch (error) {
    return isMissing(error) ? whyNotDirectory(dirname(at)) : reasonOf(error);
  }
}

/** A link to what is not there. */
function leadsNowhere(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink() && statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    // What cannot be looked at is told of by who looks into it.
    return false;
  }
}

/** It, or what it would be in, is not there. */
function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(codeOf(error));
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Null also where it is not there. */
function whyNotWritable(path: string): string | null {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return isMissing(error) ? null : reasonOf(error);
  }
}

async function whyNotCountries(path: string | null): Promise<string | null> {
  try {
    await openCountries(path);
    return null;
  } catch (error) {
    if (error instanceof CountryFileError) return error.message;
    throw error;
  }
}

/** @param error of a file or directory @returns its code, with what that means where it is not plain */
export function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code === "EACCES") return `${code}: give the account of this process the right to read and write it`;
  return code === "EEXIST" || code === "ENOTDIR" ? `${code}: a file is in its place` : code;
}

function codeOf(error: unknown): string {
  return systemCodeOf(error) ?? String(error);
}
