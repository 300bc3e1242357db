// Cursors of lists: the sort values of the last item shown, as base64url of a JSON array. Opaque to callers; whoever
// decodes one says which types it must hold, so a cursor that was changed or belongs to another list is refused.
import { invalid } from "../errors.ts";
import { uuidFloor } from "./ids.ts";

type CursorValue = string | number;
type CursorType = "string" | "number";

/**
 * Bound on the rows that one page of a filtered list looks at: a rare filter answers a short page with a cursor. Measured with ten
 * million rows that are mostly on the disk: 20,000 take up to a quarter of a second on a busy machine.
 */
export const PAGE_SCAN_MAX = 5_000;
const CURSOR_MAX_CHARS = 512;
const VALUE_MAX_CHARS = 200;
const REFUSAL = "the next_cursor of the page before, unchanged";

export function encodeCursor(values: readonly CursorValue[]): string {
  return Buffer.from(JSON.stringify(values)).toString("base64url");
}

/**
 * The values of a cursor.
 * @throws AppError `invalid_request` with the path `cursor`
 * @example const [created_at, id] = decodeCursor(cursor, ["number", "string"])
 */
export function decodeCursor(text: string, types: readonly CursorType[]): CursorValue[] {
  if (text.length > CURSOR_MAX_CHARS || !/^[A-Za-z0-9_-]+$/.test(text)) throw invalid("cursor", REFUSAL);
  const values = parse(Buffer.from(text, "base64url").toString("utf8"));
  if (!Array.isArray(values) || values.length !== types.length) throw invalid("cursor", REFUSAL);
  return types.map((type, index) => check(values[index], type));
}

export interface PositionRange {
  from_position?: string | undefined;
  until_position?: string | undefined;
  before_position?: string | undefined;
}

/**
 * The positions that a list shows: from `since` on, before `until`, and before the end of the page that the cursor ended.
 * @throws AppError `invalid_request` with the path `since` or `cursor`
 */
export function positionRange(
  { since, until }: { since?: string | undefined; until?: string | undefined },
  cursor: string | undefined,
): PositionRange {
  const range: PositionRange = {};
  if (since !== undefined) range.from_position = uuidFloor(Date.parse(since));
  if (until !== undefined) range.until_position = uuidFloor(Date.parse(until));
  if (since !== undefined && until !== undefined && Date.parse(since) > Date.parse(until)) {
    throw invalid("since", "a time before until");
  }
  if (cursor !== undefined) range.before_position = String(decodeCursor(cursor, ["string"])[0]);
  return range;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // Not ours: the caller is told so by the same refusal as for any other wrong cursor.
    return undefined;
  }
}

function check(value: unknown, type: CursorType): CursorValue {
  // Times, places and counts: none that we encode is negative, and what goes on from one that is would never come to an end.
  if (type === "number" && Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  // Databases refuse NUL and lone surrogates in text; nothing that we encode has them.
  const text = type === "string" && typeof value === "string" && value.length <= VALUE_MAX_CHARS ? value : null;
  if (text === null || text.includes("\u0000") || !text.isWellFormed()) throw invalid("cursor", REFUSAL);
  return text;
}
