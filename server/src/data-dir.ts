// Files that the server makes for itself in the data directory: the seal key and the admin token, mode 600. Called once
// by main.ts. Processes that start at the same moment on the same directory end up with the same values.
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, SETTINGS } from "./config.ts";
import { reasonOf, SEAL_KEY_FILE, TOKEN_FILE, unusableDataDir } from "./config-machine.ts";
import { makeDirectory } from "./platform/directories.ts";
import { systemCodeOf } from "./platform/system-code.ts";

const SECRET_BYTES = 32;
const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o700;

export interface Secrets {
  seal_key: Buffer;
  /** Where the seal key is kept; null when it was given. */
  seal_key_file: string | null;
  /** Made by this very start. */
  is_seal_key_new: boolean;
  admin_token: string;
  /** Where the admin token is kept; null when it was given. */
  token_file: string | null;
  /** Made by this very start. */
  is_token_new: boolean;
}

/** The data directory cannot be used; the message is a sentence for the operator. */
export class DataDirError extends Error {
  override readonly name = "DataDirError";
}

/**
 * The secrets of the configuration, or those of the data directory, made when they are missing.
 * @throws DataDirError
 */
export function readSecrets(config: Config): Secrets {
  try {
    makeDirectory(config.data_dir, PRIVATE_DIRECTORY);
  } catch (error) {
    throw new DataDirError(unusableDataDir(config.data_dir, reasonOf(error)));
  }
  const token_file = join(config.data_dir, TOKEN_FILE);
  const token =
    config.admin_token === null
      ? readOrCreate(token_file, () => randomBytes(SECRET_BYTES).toString("base64url"))
      : { value: config.admin_token, is_new: false };
  if (!SETTINGS.admin_token.schema.safeParse(token.value).success) throw spoiled(token_file, "LINKME_ADMIN_TOKEN");
  const seal_key_file = join(config.data_dir, SEAL_KEY_FILE);
  return {
    ...(config.seal_key === null
      ? { ...readSealKey(seal_key_file), seal_key_file }
      : { seal_key: config.seal_key, seal_key_file: null, is_seal_key_new: false }),
    admin_token: token.value,
    token_file: config.admin_token === null ? token_file : null,
    is_token_new: token.is_new,
  };
}

/**
 * Removes a seal key that this start has made and that does not fit the database, so that the old one can be put back. One
 * that somebody has put there meanwhile stays.
 */
export function dropNewSealKey({ seal_key, seal_key_file, is_seal_key_new }: Secrets): void {
  if (seal_key_file === null || !is_seal_key_new) return;
  try {
    if (readIfExists(seal_key_file) === seal_key.toString("base64")) unlinkSync(seal_key_file);
  } catch {
    // It hinders nobody: the old key can be put in its place, and the next start says again that this one does not fit.
  }
}

function readSealKey(file: string): Pick<Secrets, "seal_key" | "is_seal_key_new"> {
  const { value, is_new } = readOrCreate(file, () => randomBytes(SECRET_BYTES).toString("base64"));
  const key = SETTINGS.seal_key.schema.safeParse(value);
  if (!key.success || key.data === null) throw spoiled(file, "LINKME_SEAL_KEY");
  return { seal_key: key.data, is_seal_key_new: is_new };
}

function readOrCreate(file: string, make: () => string): { value: string; is_new: boolean } {
  try {
    const existing = readIfExists(file);
    if (existing !== null) return { value: existing, is_new: false };
    const value = make();
    if (createWhole(file, `${value}\n`)) return { value, is_new: true };
    return { value: readFileSync(file, "utf8").trim(), is_new: false };
  } catch (error) {
    throw refusal(file, error);
  }
}

function readIfExists(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Linking a finished file into place is atomic and fails when another process was first: nobody reads half a key. */
function createWhole(file: string, content: string): boolean {
  const draft = `${file}.${process.pid}.new`;
  try {
    writeFileSync(draft, content, { mode: PRIVATE_FILE });
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    // Of a disk that is full, too: each start would else leave one more.
    rmSync(draft, { force: true });
  }
}

function refusal(path: string, error: unknown): DataDirError {
  return new DataDirError(
    `${path} cannot be used (${reasonOf(error)}); accepted is a LINKME_DATA_DIR that this process may read and write.`,
  );
}

function spoiled(file: string, name: string): DataDirError {
  return new DataDirError(`${file} does not hold a value that ${name} accepts; restore the file, or set ${name}.`);
}
