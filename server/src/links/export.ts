// All links of an app as CSV, newest first, page by page: what is in memory of it is one page, however many there are.
// Called by api/link-csv.ts.
import type { Database } from "../platform/database.ts";
import type { After } from "../platform/page.ts";
import { headerLine, linkLine } from "./csv.ts";
import { selectListedLinks } from "./listing-store.ts";

/** A link has up to some 50 kB of text. */
const PAGE_ROWS = 200;

/** Each is some lines; the first one begins with the names of the columns. */
export async function* exportLinks(db: Database, app_id: string, public_url: string): AsyncGenerator<string> {
  let place: After | null = null;
  let lines = headerLine();
  for (;;) {
    const found: Awaited<ReturnType<typeof selectListedLinks>> = await selectListedLinks(db, app_id, place, PAGE_ROWS);
    for (const { hostname, ...row } of found) lines += linkLine(row, hostname, public_url);
    yield lines;
    lines = "";
    place = found.at(-1) ?? null;
    if (found.length < PAGE_ROWS) return;
  }
}
