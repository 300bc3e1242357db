// `npm run generate`: writes every file that follows from a definition in the sources, so that nothing is kept equal
// by hand. scripts/check.ts compares the same texts with what is committed.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { serverVersion } from "#server/api/docs.ts";
import { composeOpenApi } from "#server/api/openapi.ts";
import { describeSettings } from "#server/config.ts";
import { generateSpec } from "./generate-spec.ts";

const ROOT = dirname(import.meta.dirname);

/** Every generated file: its path from the project's root, and its text. The same sources give the same texts. */
export async function generate(): Promise<Record<string, string>> {
  return {
    ...generateSpec(),
    "spec/openapi.json": `${JSON.stringify(await composeOpenApi(serverVersion()), null, 2)}\n`,
    "docs/configuration.md": describeSettings(),
  };
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await generate())) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
    console.log(`wrote ${path}`);
  }
}
