// What a schema accepts as the number at some place, both ends of its range together, in words. Zod tells of one end at a
// time, and of null not at all, so this looks at the schema itself. Pure; called by issues.ts.
import { z } from "zod";

interface NumberRule {
  number: z.ZodNumber;
  is_nullable: boolean;
}

/**
 * Null where the schema has no number at that place.
 * @example numberRule(z.object({ n: z.number().int().min(1).max(9).nullable() }), ["n"]) // "a whole number from 1 to 9, or null"
 */
export function numberRule(schema: z.core.$ZodType, path: readonly PropertyKey[]): string | null {
  const found = numberAt(schema, path, false);
  return found === null ? null : `${inWords(found.number)}${found.is_nullable ? ", or null" : ""}`;
}

function numberAt(schema: z.core.$ZodType, path: readonly PropertyKey[], is_nullable: boolean): NumberRule | null {
  if (schema instanceof z.ZodNumber) return path.length === 0 ? { number: schema, is_nullable } : null;
  if (schema instanceof z.ZodNullable) return numberAt(schema.def.innerType, path, true);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return numberAt(schema.def.innerType, path, is_nullable);
  }
  if (schema instanceof z.ZodPipe) return numberAt(schema.def.in, path, is_nullable);
  if (schema instanceof z.ZodUnion) {
    return schema.def.options.map((option) => numberAt(option, path, is_nullable)).find((one) => one !== null) ?? null;
  }
  const [step, ...rest] = path;
  const inner = step === undefined ? undefined : innerOf(schema, step);
  return inner === undefined ? null : numberAt(inner, rest, false);
}

function innerOf(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodArray) return schema.def.element;
  return schema instanceof z.ZodObject ? schema.def.shape[String(step)] : undefined;
}

function inWords({ isInt, minValue, maxValue }: z.ZodNumber): string {
  const what = isInt ? "a whole number" : "a number";
  const has_least = isEnd(minValue);
  const has_most = isEnd(maxValue);
  if (has_least && has_most) return `${what} from ${minValue} to ${maxValue}`;
  if (has_least) return `${what} of at least ${minValue}`;
  return has_most ? `${what} of at most ${maxValue}` : what;
}

/** Whole numbers end where they cannot be told apart any more: nobody is told that. */
function isEnd(value: number | null): boolean {
  return value !== null && Math.abs(value) < Number.MAX_SAFE_INTEGER;
}
