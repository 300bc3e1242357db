// Links as CSV files: an import goes the way of every call that makes many links, an export is sent while it is read.
// Called by compose-edge.ts for processes with the role `api`.
import { Readable } from "node:stream";
import { IMPORT_ERRORS_MAX } from "#contract/link-csv.ts";
import { AppError, unavailable } from "../errors.ts";
import { readLinksCsv } from "../links/csv-reading.ts";
import { exportLinks } from "../links/export.ts";
import type { Links } from "../links/links.ts";
import type { Database } from "../platform/database.ts";
import type { Handlers } from "./bind.ts";
import { presentRefusal } from "./failures.ts";
import { createEach } from "./link-lists.ts";

/** Of this process, for each holds a page of links while its client reads. */
export const EXPORTS_MAX = 8;
const RETRY_AFTER_SECONDS = 5;
/** A client that reads nothing for so long is left; another one may have its place. */
const STALLED_MAX_MS = 30_000;

export interface LinkCsvDeps {
  db: Database;
  links: Pick<Links, "createMany">;
  publicUrl(): string;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
  /** How long a client may read nothing. */
  stalled_max_ms?: number;
}

type Names = "importLinks" | "exportLinks";

export function linkCsvHandlers(deps: LinkCsvDeps): Handlers<Names> {
  const { db, links, publicUrl, log, stalled_max_ms = STALLED_MAX_MS } = deps;
  let exports = 0;

  return {
    async importLinks({ params, body }) {
      const rows = await readLinksCsv(body);
      const readable = rows.filter(({ link }) => !(link instanceof AppError));
      const made = await createEach(
        links,
        params.app_id,
        readable.map(({ link }) => link),
      );
      const outcomes = new Map(readable.map((row, index) => [row, made[index]]));
      const refused = rows.flatMap((row) => {
        const outcome = row.link instanceof AppError ? row.link : outcomes.get(row);
        return outcome instanceof AppError ? [{ line: row.line, ...presentRefusal(outcome) }] : [];
      });
      const errors = refused.slice(0, IMPORT_ERRORS_MAX);
      return { created: rows.length - refused.length, failed: refused.length, errors };
    },

    async exportLinks({ params, reply }) {
      if (exports >= EXPORTS_MAX) {
        throw unavailable(`This process is sending ${EXPORTS_MAX} exports. Ask again later.`, RETRY_AFTER_SECONDS);
      }
      exports++;
      try {
        const pages = exportLinks(db, params.app_id, publicUrl());
        // Before the answer begins, so that a database that is away can be told by its status.
        const first = await pages.next();
        const file = Readable.from(resume(first, pages));
        reply.raw.setTimeout(stalled_max_ms, () => void file.destroy(new Error("its client reads nothing")));
        file.once("error", (error) => log("export.failed", { app_id: params.app_id, error }, "warn"));
        file.once("close", () => exports--);
        return file;
      } catch (error) {
        exports--;
        throw error;
      }
    },
  };
}

async function* resume(first: IteratorResult<string>, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}
