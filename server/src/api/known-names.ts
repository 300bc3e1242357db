// Which fields a schema knows at some place, in words for whoever sent another one: the nearest when a slip is likely, else
// all of them. Pure; called by issues.ts.
import { z } from "zod";
import { editDistance } from "../platform/edit-distance.ts";

const NAMED_MAX = 40;
/** So many letters may be wrong, added or missing in a name that is probably meant. */
const SLIPS_MAX = 2;

/** @example unknownField(z.strictObject({ states: z.array(z.string()) }), [], "state") // 'unknown field: did you mean "states"?' */
export function unknownField(schema: z.core.$ZodType, path: readonly PropertyKey[], name: string): string {
  const names = [...new Set(namesAt(schema, path))];
  if (names.length === 0) return "unknown field: none is taken here";
  const near = nearest(names, name);
  if (near !== null) return `unknown field: did you mean "${near}"?`;
  const shown = names.slice(0, NAMED_MAX).join(", ");
  return `unknown field: accepted ${names.length === 1 ? "is" : "are"} ${shown}${names.length > NAMED_MAX ? ", …" : ""}`;
}

function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodNullable || schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return namesAt(schema.def.innerType, path);
  }
  if (schema instanceof z.ZodPipe) return namesAt(schema.def.in, path);
  if (schema instanceof z.ZodUnion) return schema.def.options.flatMap((option) => namesAt(option, path));
  const [step, ...rest] = path;
  if (schema instanceof z.ZodArray) return step === undefined ? [] : namesAt(schema.def.element, rest);
  if (schema instanceof z.ZodRecord) {
    const { keyType } = schema.def;
    return step === undefined && keyType instanceof z.ZodEnum ? keyType.options.map(String) : [];
  }
  if (!(schema instanceof z.ZodObject)) return [];
  if (step === undefined) return Object.keys(schema.def.shape);
  const inner: z.core.$ZodType | undefined = schema.def.shape[String(step)];
  return inner === undefined ? [] : namesAt(inner, rest);
}

/** A name that is written in another way, or begins like one, counts as near. */
function nearest(names: readonly string[], name: string): string | null {
  const plain = plainName(name);
  if (plain.length < 2) return null;
  const ranked = names
    .map((known) => ({ known, slips: editDistance(plain, plainName(known)) }))
    .sort((a, b) => a.slips - b.slips);
  const best = ranked[0];
  return best !== undefined && best.slips <= SLIPS_MAX && best.slips < plain.length / 2 ? best.known : null;
}

function plainName(name: string): string {
  // Longer ones are near to nothing, and comparing them would only cost time.
  return name
    .slice(0, 50)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "");
}
