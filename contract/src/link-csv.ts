// Links as CSV (RFC 4180, UTF-8): the columns, by the names of a link's fields, and what an import answers.
import { z } from "zod";
import { FLAG_FIELDS, NULLABLE_FIELDS } from "./link-fields.ts";
import { LinkRefusal } from "./link-lists.ts";

/** Rows of one import, below the line with the names. */
export const CSV_ROWS_MAX = 10_000;
export const IMPORT_ERRORS_MAX = 1_000;

type Field = keyof typeof NULLABLE_FIELDS | keyof typeof FLAG_FIELDS;
// Object.keys forgets the names of the keys.
const FIELDS = [...Object.keys(NULLABLE_FIELDS), ...Object.keys(FLAG_FIELDS)] as Field[];

export const WRITABLE_COLUMNS = ["slug", ...FIELDS] as const;
export type WritableColumn = (typeof WRITABLE_COLUMNS)[number];
/** What an export tells besides. An import passes over them, so that an exported file can be imported as it is. */
export const TOLD_COLUMNS = ["id", "slug_url", "click_count", "install_count", "last_click_at", "created_at"] as const;
export const CSV_COLUMNS = [...WRITABLE_COLUMNS, ...TOLD_COLUMNS] as const;
export type CsvColumn = (typeof CSV_COLUMNS)[number];

/** The first line names the columns, in any order. */
export const CsvText = z
  .string({ error: "CSV text whose first line names the columns, like slug,web_fallback_url" })
  .meta({ id: "LinksCsv", example: "slug,web_fallback_url\r\nspring,https://shop.example/spring\r\n" });

export const ImportAnswer = z
  .object({
    created: z.number().int(),
    failed: z.number().int(),
    errors: z
      .array(LinkRefusal.extend({ line: z.number().int().describe("of the file, from 1, where the row begins") }))
      .max(IMPORT_ERRORS_MAX)
      .describe(`the first ${IMPORT_ERRORS_MAX}, in the order of the file; the other rows have become links`),
  })
  .meta({ id: "ImportAnswer" });
export type ImportAnswer = z.infer<typeof ImportAnswer>;
