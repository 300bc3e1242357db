// Reads a CSV file of links, piece by piece, so that a large one holds nobody up. What is wrong with the file as a whole is
// refused; what is wrong with a row is said of that row. Called by api/link-csv.ts.
import { CSV_COLUMNS, CSV_ROWS_MAX, WRITABLE_COLUMNS } from "#contract/link-csv.ts";
import { AppError, invalid, refuse } from "../errors.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { readCells } from "./csv.ts";

/** Read at once: a few milliseconds. */
const PIECE_BYTES = 16_384;
const CR = 0x0d;
const LF = 0x0a;

export interface CsvRow {
  /** Where it begins, from 1. */
  readonly line: number;
  /** By the names of a link's fields, to be validated; or why it is no row of this file. */
  readonly link: Record<string, unknown> | AppError;
}

/** @throws AppError invalid_request when it is no CSV file, names other columns, or has more than CSV_ROWS_MAX rows */
export async function readLinksCsv(text: string): Promise<CsvRow[]> {
  const [header, ...records] = await readRecords(text);
  if (header === undefined) throw invalid("line 1", `the names of columns, among ${WRITABLE_COLUMNS.join(", ")}`);
  const columns = readHeader(header.cells);
  return records.map(({ line, cells }) => ({
    line,
    link: cells.length === columns.length ? readCells(columns, cells) : otherCount(columns.length, cells.length),
  }));
}

interface CsvRecord {
  readonly line: number;
  readonly cells: readonly string[];
}

async function readRecords(text: string): Promise<CsvRecord[]> {
  // Loaded with the first import, for a start must be quick.
  const { parse } = await import("csv-parse");
  const parser = parse({
    ...{ bom: true, info: true, relax_column_count: true, skip_empty_lines: true },
    record_delimiter: ["\r\n", "\n", "\r"],
  });
  const bytes = Buffer.from(text);
  const lines = createLineCount(bytes);
  const records: CsvRecord[] = [];
  let failure: Error | null = null;
  parser.on("data", ({ record, info }: { record: string[]; info: { bytes: number } }) => {
    records.push({ line: lines.begin(), cells: record });
    lines.end(info.bytes);
  });
  parser.on("error", (error) => {
    failure = error;
  });
  const closed = new Promise((resolve) => parser.once("close", resolve));
  const isFull = () => records.length > CSV_ROWS_MAX + 1;
  for (let at = 0; at < bytes.length && failure === null && !isFull(); at += PIECE_BYTES) {
    parser.write(bytes.subarray(at, at + PIECE_BYTES));
    await yieldToEventLoop();
  }
  parser.end();
  await closed;
  if (isFull()) {
    throw refuse("invalid_request", `One import takes up to ${CSV_ROWS_MAX} rows. Send the others in further ones.`);
  }
  if (failure !== null) throw describe(failure, lines.begin());
  return records;
}

/** The parser's own count takes a line end of two signs inside of a cell for two. */
function createLineCount(bytes: Buffer) {
  let at = 0;
  let line = 1;

  /** Of the first row behind what has been counted: empty lines before it are passed over. */
  function begin(): number {
    while (bytes[at] === CR || bytes[at] === LF) step();
    return line;
  }

  function end(until: number): void {
    while (at < until) step();
  }

  function step(): void {
    const is_first_of_two = bytes[at] === CR && bytes[at + 1] === LF;
    if (!is_first_of_two && (bytes[at] === CR || bytes[at] === LF)) line++;
    at++;
  }

  return { begin, end };
}

const TROUBLES: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quotation mark that ends the cell; one inside of a cell is written twice",
  INVALID_OPENING_QUOTE: "quotation marks around the whole cell; one inside of it is written twice",
  CSV_INVALID_CLOSING_QUOTE: "a comma or the end of the line behind the cell; a quotation mark inside is written twice",
};

/** @param line where the row begins that is not understood */
function describe(error: Error & { code?: string }, line: number): AppError {
  return invalid(`line ${line}`, TROUBLES[error.code ?? ""] ?? `CSV as RFC 4180 has it: ${error.message}`);
}

function readHeader(cells: readonly string[]): string[] {
  const columns = cells.map((cell) => cell.trim());
  const known: readonly string[] = CSV_COLUMNS;
  for (const [index, column] of columns.entries()) {
    if (columns.indexOf(column) < index) throw invalid(column, "a column that is named only once, in line 1");
    if (known.includes(column)) continue;
    if (/[;\t]/.test(column)) throw invalid("line 1", "columns that are separated by commas");
    throw invalid(column, `unknown column: accepted are ${WRITABLE_COLUMNS.join(", ")}`);
  }
  return columns;
}

function otherCount(expected: number, found: number): AppError {
  return new AppError("invalid_request", `The row has ${found} cells, and line 1 names ${expected} columns.`);
}
