// Reads JSON bodies. Bytes that no store or receiver could keep as they are get refused with the path of the trouble:
// invalid UTF-8, NUL, lone surrogates, keys that reach for prototypes, numbers beyond a double, bottomless nesting.
// The common body pays for three native searches and a glance at its nesting, nothing more.
import { isUtf8 } from "node:buffer";
import { invalid, refuse } from "../errors.ts";

/** Deeper nesting than this breaks parsers of receivers, and recursion here. */
export const JSON_MAX_DEPTH = 64;

/**
 * The value of a JSON body; undefined for an empty one.
 * @param number_max a number beyond it is refused: as a double it has lost digits
 * @throws AppError `invalid_request`
 */
export function parseJsonBody(bytes: Buffer, number_max = Number.MAX_SAFE_INTEGER): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw refuse("invalid_request", "The body is not valid UTF-8; JSON is sent as UTF-8.");
  const text = bytes.toString("utf8");
  const value = parse(text);
  // Only an escape can hide a NUL or half a surrogate pair, and only these words can name a prototype.
  const is_suspicious = text.includes("\\u") || text.includes("__proto__") || text.includes("constructor");
  inspect(value, { is_suspicious, number_max });
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // A BOM is the one mistake that nobody can see in the message.
    const hint = text.startsWith("\ufeff") ? "it begins with a byte order mark" : messageOf(error);
    throw refuse("invalid_request", `The body is not valid JSON: ${hint}.`);
  }
}

function messageOf(error: unknown): string {
  // V8 quotes a piece of the body after the first words; the place is what helps.
  return error instanceof Error ? error.message.replace(/\.+$/, "") : "it cannot be read";
}

interface Inspection {
  is_suspicious: boolean;
  number_max: number;
}

function inspect(value: unknown, inspection: Inspection): void {
  const trouble = findTrouble(value, inspection, 1);
  if (trouble !== null) throw invalid(trouble.path.reverse().join("."), trouble.message);
}

interface Trouble {
  message: string;
  /** Innermost name first. */
  path: string[];
}

/** Recursion is bounded by the very depth that it checks. */
function findTrouble(value: unknown, inspection: Inspection, depth: number): Trouble | null {
  if (typeof value === "string") return inspection.is_suspicious ? textTrouble(value) : null;
  if (typeof value === "number") {
    return Math.abs(value) <= inspection.number_max ? null : { message: numberRule(inspection), path: [] };
  }
  if (typeof value !== "object" || value === null) return null;
  if (depth > JSON_MAX_DEPTH) return { message: `at most ${JSON_MAX_DEPTH} levels of nesting`, path: [] };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const trouble = findTrouble(value[index], inspection, depth + 1);
      if (trouble !== null) return within(trouble, String(index));
    }
    return null;
  }
  return membersTrouble(value, inspection, depth);
}

function numberRule({ number_max }: Inspection): string {
  if (number_max === Number.MAX_VALUE) return "a number that fits into a double";
  return "a number up to 9007199254740991 (2^53 - 1), beyond which digits are lost; send a larger one as text";
}

function membersTrouble(value: object, inspection: Inspection, depth: number): Trouble | null {
  for (const name in value) {
    // Parsed JSON has own, enumerable members only.
    const member: unknown = value[name as keyof typeof value];
    const named = inspection.is_suspicious ? nameTrouble(name, member) : null;
    const trouble = named ?? findTrouble(member, inspection, depth + 1);
    if (trouble !== null) return within(trouble, name);
  }
  return null;
}

function nameTrouble(name: string, member: unknown): Trouble | null {
  const reaches_prototype =
    name === "__proto__" ||
    (name === "constructor" && typeof member === "object" && member !== null && Object.hasOwn(member, "prototype"));
  if (reaches_prototype) return { message: "another name: this one reaches for an object's prototype", path: [] };
  return textTrouble(name);
}

function textTrouble(text: string): Trouble | null {
  if (text.includes("\u0000")) return { message: "text without NUL characters", path: [] };
  return text.isWellFormed() ? null : { message: "text without lone surrogates", path: [] };
}

function within(trouble: Trouble, name: string): Trouble {
  // The path is shown to people: a spoilt name must not spoil the answer.
  trouble.path.push(name.replaceAll("\u0000", "\\u0000").toWellFormed());
  return trouble;
}
