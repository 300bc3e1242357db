// What settings ask of this machine, which their values alone do not tell: an address to listen on, files, directories. Called
// once by main.ts before any file is made or opened, so that these problems are reported with those of the values.
import { accessSync, constants, existsSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { CountryFileError, openCountries } from "./analytics/country.ts";
import type { Config } from "./config.ts";
import { databasePath } from "./platform/database-open.ts";
import { makeDirectory, removeDirectories } from "./platform/directories.ts";
import { whyNotOurs } from "./platform/sqlite-file.ts";

/** What the system says of a HOST that is not of this machine, or an address that is none by itself, like fe80::1. */
const FOREIGN_HOST: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "ENOTFOUND", "EINVAL"]);
const PRIVATE_DIRECTORY = 0o700;
/** In the data directory, where they were not given. */
export const TOKEN_FILE = "admin.token";
export const SEAL_KEY_FILE = "seal.key";

export interface MachineCheck {
  /** One sentence each. */
  problems: string[];
  /** Removes the directories that the check has made, for a start that ends here. */
  undo(): void;
}

/**
 * Looks at each of these values, whatever was found wrong with others. The directories that are missing are made.
 * @param values those that could be read
 */
export async function checkMachine(values: Partial<Config>): Promise<MachineCheck> {
  const made: string[] = [];
  const { host, database_url = "", data_dir, geoip_database = null } = values;
  const path = database_url.startsWith("file:") ? databasePath(database_url) : null;
  const problems = [
    host === undefined ? null : await whyNotHost(host),
    path === null ? null : whyNotFile(path, made),
    // Beside the file: said of that already.
    data_dir === undefined || (path !== null && resolve(dirname(path)) === resolve(data_dir))
      ? null
      : whyNotDataDir(data_dir, values, made),
    await whyNotCountries(geoip_database),
  ];
  return {
    problems: problems.filter((problem) => problem !== null),
    undo: () => removeDirectories(made),
  };
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

function whyNotFile(path: string, made: string[]): string | null {
  const reason = whyNotOurs(path);
  if (reason !== null) {
    return `DATABASE_URL ${path} ${reason}; accepted is a file of LinkMe Server, or one that is not there yet.`;
  }
  const problem = whyNotDirectory(dirname(path), made) ?? whyNotWritable(path);
  if (problem === null) return null;
  return `DATABASE_URL ${path} cannot be used (${problem}); accepted is a file that this process may read and write, or one that is not there yet in a directory of that kind.`;
}

function whyNotDataDir(path: string, values: Partial<Config>, made: string[]): string | null {
  // Secrets that are there already may be mounted to be read alone.
  const is_given =
    (values.admin_token !== null || existsSync(join(path, TOKEN_FILE))) &&
    (values.seal_key !== null || existsSync(join(path, SEAL_KEY_FILE)));
  const problem = whyNotDirectory(path, made, is_given ? 0 : constants.W_OK);
  return problem === null ? null : unusableDataDir(path, problem);
}

export function unusableDataDir(path: string, reason: string): string {
  return `LINKME_DATA_DIR ${path} cannot be used (${reason}); accepted is the path of a directory that this process may read and write.`;
}

function whyNotDirectory(path: string, made: string[], write = constants.W_OK): string | null {
  try {
    made.push(...makeDirectory(path, PRIVATE_DIRECTORY));
    accessSync(path, constants.R_OK | constants.X_OK | write);
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}

/** Null also where it is not there. */
function whyNotWritable(path: string): string | null {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return codeOf(error) === "ENOENT" ? null : reasonOf(error);
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
  return code === "EEXIST" || code === "ENOTDIR" ? `${code}: a file is in its place` : code;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
