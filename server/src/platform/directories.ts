// Directories that the server makes for itself: of its data, of an SQLite file, of the spool.
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a directory and those above it that are missing. Node's `recursive` never comes back where the system says of a
 * directory in an existing one that it does not exist, as Linux does below /proc.
 * @throws the error of `mkdirSync`
 */
export function makeDirectory(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  // What is there may be a file.
  for (const one of missing.length === 0 ? [resolve(path)] : missing) makeOne(one, mode);
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // It was there, or another process was faster.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}
