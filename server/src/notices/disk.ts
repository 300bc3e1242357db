// Watches the free space of the directories that the server writes to. Started by compose-notices.ts in every process, for
// each has a disk of its own; processes on one machine that share a directory tell it once.
import { statfs } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Conditions, Reading } from "./conditions.ts";

/** Low ends when so much more than the limit is free. */
const ENOUGH_FACTOR = 1.25;
const MIB = 1024 * 1024;

export interface DiskLookOptions {
  directories: readonly string[];
  /** Less is low, in bytes. */
  low_bytes: number;
  conditions: Pick<Conditions, "report">;
  /** Bytes that this process may still write there. */
  freeBytes?: (directory: string) => Promise<number>;
}

/** Where something is, for people who run several machines. */
export function nameNode(directory: string): string {
  return `${hostname()}:${resolve(directory)}`;
}

/** One look at every directory. */
export function createDiskLook(options: DiskLookOptions): () => Promise<void> {
  const { low_bytes, conditions, freeBytes = readFreeBytes } = options;
  const directories = [...new Set(options.directories.map((one) => resolve(one)))];
  return async () => {
    for (const directory of directories) {
      const node = nameNode(directory);
      await conditions.report({ kind: "disk", subject: node }, judgeDisk(node, await freeBytes(directory), low_bytes));
    }
  };
}

async function readFreeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** Pure. */
export function judgeDisk(node: string, free_bytes: number, low_bytes: number): Reading {
  const data = { node, free_bytes, low_bytes };
  const free = `${Math.floor(free_bytes / MIB)} MiB are free at ${node}`;
  if (free_bytes < low_bytes) {
    const next = "Free space or add some: on a full disk nothing is accepted any more, and clicks lose their tokens";
    return { state: "holds", begin: { type: "disk.low", message: `${free}. ${next}.`, data } };
  }
  if (free_bytes < low_bytes * ENOUGH_FACTOR) return { state: "between" };
  return { state: "gone", end: () => ({ type: "disk.recovered", message: `${free} again.`, data }) };
}
