// Directories that the server makes for itself: of its data, of an SQLite file, of the spool.
import { existsSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a directory and those above it that are missing. Node's `recursive` never comes back where the system says of a
 * directory in an existing one that it does not exist, as Linux does below /proc.
 * @returns those that it has made, the outermost first
 * @throws the error of `mkdirSync`; nothing that was made is left then
 */
export function makeDirectory(path: string, mode = 0o777): string[] {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  const made: string[] = [];
  try {
    // What is there may be a file.
    for (const one of missing.length === 0 ? [resolve(path)] : missing) if (makeOne(one, mode)) made.push(one);
  } catch (error) {
    removeDirectories(made);
    throw error;
  }
  return made;
}

/** Removes directories as `makeDirectory` names them, as far as nobody has put anything into them. */
export function removeDirectories(made: readonly string[]): void {
  for (const one of made.toReversed()) {
    try {
      rmdirSync(one);
    } catch {
      // Somebody uses it.
    }
  }
}

/** False when it was there, or another process was faster. */
function makeOne(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
    return false;
  }
}
