// Builds the package into a folder, for tests that use it as a user would.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
export const SDK = join(ROOT, "sdk/node");
export const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
export const ZOD = join(ROOT, "node_modules/zod");
/** npm_execpath is the npm that runs the tests, so no second npm is needed on PATH. */
const npm = process.env["npm_execpath"];
export const NPM: readonly [command: string, args: string[]] = npm ? [process.execPath, [npm]] : ["npm", []];

/** What `npm run build` makes, beside the files that are packed with it. */
export function buildPackage(folder: string): void {
  for (const file of ["package.json", "README.md", "LICENSE"]) cpSync(join(SDK, file), join(folder, file));
  const dist = join(folder, "dist");
  run(process.execPath, [TSC, "-p", join(SDK, "tsconfig.build.json"), "--outDir", dist], folder);
  run(process.execPath, [TSC, "-p", join(SDK, "tsconfig.cjs.json"), "--outDir", join(dist, "cjs")], folder);
  run(process.execPath, [join(SDK, "mark-commonjs.mjs"), join(dist, "cjs")], folder);
}

/** What the program printed; it has to end well. */
export function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}): string {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", env: { ...process.env, ...env } });
  assert.equal(result.status, 0, `${command} ${args.join(" ")}\n${result.error ?? ""}${result.stdout}${result.stderr}`);
  return result.stdout;
}
