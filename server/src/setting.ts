// What one row of the table of settings says, and the schemas that several rows share. The table is config.ts.
import { z } from "zod";

export interface Setting<Value, Fallback extends string | null = string | null> {
  name: string;
  /** The text that stands in for a missing value; null when there is none, and `default_is` says what happens. */
  fallback: Fallback;
  default_is?: string;
  unit: string;
  /** Completes the sentence "accepted is …". */
  accepts: string;
  description: string;
  /** Never shown in a message. */
  secret?: true;
  schema: z.ZodType<Value, string>;
}

/** Keeps the type of each row; the table is one object of them. */
export function setting<Value, Fallback extends string | null>(
  row: Setting<Value, Fallback>,
): Setting<Value, Fallback> {
  return row;
}

const SHOWN_MAX_CHARS = 200;

/** The beginning of a sentence about a value, which it does not show when it is secret. */
export function showValue(row: Pick<Setting<unknown>, "secret">, value: string): string {
  if (row.secret) return "has a value that is not accepted (it is secret and not shown)";
  const cut = value.length > SHOWN_MAX_CHARS ? `${value.slice(0, SHOWN_MAX_CHARS)}…` : value;
  // A database URL holds a password between the first colon after // and the last @.
  return `is ${JSON.stringify(cut.replace(/:\/\/.*@/s, "://***@"))}`;
}

export function wholeNumber(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .refine((number) => number >= min && number <= max);
}
