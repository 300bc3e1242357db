// Links as rows of a CSV file (RFC 4180). Pure; called by csv-reading.ts and export.ts. What is written here is read here as
// the same links. Spreadsheets run cells that begin like a formula: those are written behind an apostrophe, and one that
// stands before such a beginning is taken away when a file is read.
import { CSV_COLUMNS, type CsvColumn, WRITABLE_COLUMNS, type WritableColumn } from "#contract/link-csv.ts";
import { timeText } from "../platform/time-text.ts";
import { type LinkRow, linkOrigin, readTags } from "./link.ts";

const LINE_END = "\r\n";
const LIKE_A_FORMULA = /^'*[=+\-@\t\r\n]/;
const ESCAPED = /^'+[=+\-@\t\r\n]/;
const TAG_SEPARATOR = ",";
const FLAGS: Readonly<Record<string, 0 | 1>> = { "0": 0, "1": 1, false: 0, true: 1 };

export function headerLine(): string {
  return CSV_COLUMNS.join(",") + LINE_END;
}

/** @param hostname of the link's domain, null for the server's own host */
export function linkLine(row: LinkRow, hostname: string | null, public_url: string): string {
  const told: Partial<Record<CsvColumn, string | number | null>> = {
    ...row,
    tags: readTags(row.tags).join(TAG_SEPARATOR),
    slug_url: `${linkOrigin(hostname, public_url)}/${row.slug}`,
    expires_at: timeText(row.expires_at),
    last_click_at: timeText(row.last_click_at),
    created_at: timeText(row.created_at),
  };
  return CSV_COLUMNS.map((column) => writeCell(told[column] ?? "")).join(",") + LINE_END;
}

function writeCell(value: string | number): string {
  const text = String(value);
  const safe = LIKE_A_FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** What a row says, by the names of a link's fields; to be validated. An empty cell says nothing. */
export function readCells(columns: readonly string[], cells: readonly string[]): Record<string, unknown> {
  const link: Record<string, unknown> = {};
  for (const [index, column] of columns.entries()) {
    const text = readCell(cells[index] ?? "");
    if (text !== "" && isWritable(column)) link[column] = parseText(column, text);
  }
  return link;
}

function readCell(cell: string): string {
  return ESCAPED.test(cell) ? cell.slice(1) : cell;
}

function isWritable(column: string): column is WritableColumn {
  return (WRITABLE_COLUMNS as readonly string[]).includes(column);
}

function parseText(column: WritableColumn, text: string): unknown {
  switch (column) {
    case "tags":
      return text
        .split(TAG_SEPARATOR)
        .map((tag) => tag.trim())
        .filter((tag) => tag !== "");
    case "click_limit":
      return /^\d{1,15}$/.test(text) ? Number(text) : text;
    case "allow_param_passthrough":
    case "force_redirect_web":
    case "enabled":
    case "internal":
      return FLAGS[text.toLowerCase()] ?? text;
    default:
      return text;
  }
}
