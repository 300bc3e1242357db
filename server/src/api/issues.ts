// Turns what Zod found wrong into the sentence and the details of a refusal. Pure; called by bind.ts.
import type { z } from "zod";
import type { ErrorDetail } from "#contract/errors.ts";
import { AppError } from "../errors.ts";
import { unknownField } from "./known-names.ts";
import { numberRule } from "./number-rule.ts";

const DETAILS_MAX = 20;
const PATH_MAX_CHARS = 200;

type Issue = z.core.$ZodIssue;

/** The schema that has found them, and where the value came from, to speak of it when it is wrong as a whole. */
interface Source {
  schema: z.core.$ZodType;
  part: "body" | "query" | "link";
}

/** @param known what is wrong besides, other than by the schema */
export function refuseIssues(issues: readonly Issue[], source: Source, known: readonly ErrorDetail[] = []): AppError {
  const { part } = source;
  // Of thousands the rest would be described for nothing.
  const found = issues.slice(0, DETAILS_MAX).flatMap((issue) => describe(issue, source));
  const details = [...known, ...found].slice(0, DETAILS_MAX);
  const [first] = details;
  const more = details.length > 1 ? ` (and ${details.length - 1} more, see details)` : "";
  const message = first ? `${first.path}: ${first.message}${more}` : `The ${part} was not understood.`;
  return new AppError("invalid_request", message, { details });
}

function describe(issue: Issue, source: Source): ErrorDetail[] {
  const { part } = source;
  const path = issue.path.map(String);
  if (isStrange(issue)) {
    const { schema } = source;
    return issue.keys.slice(0, DETAILS_MAX).map((key) => ({
      path: show([...path, key], part),
      message: unknownField(schema, issue.path, key),
    }));
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0 && isDefault(issue)) {
    return nearest(issue.errors).flatMap((inner) =>
      describe({ ...inner, path: [...issue.path, ...inner.path] }, source),
    );
  }
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => ({ path: show(path, part), message }));
  return [{ path: show(path, part), message: sentence(issue, source) }];
}

/** Of the forms that a value may have, the one that it was probably meant to have: the fewest strange members of its own. */
function nearest(branches: readonly Issue[][]): Issue[] {
  const strange = (branch: Issue[]) =>
    branch.reduce((sum, issue) => sum + (isStrange(issue) && issue.path.length === 0 ? issue.keys.length : 0), 0);
  return [...branches].sort((left, right) => strange(left) - strange(right))[0] ?? [];
}

function isStrange(issue: Issue): issue is z.core.$ZodIssueUnrecognizedKeys {
  return issue.code === "unrecognized_keys";
}

/** What is accepted, in our words where the schema gave none. */
function sentence(issue: Issue, { schema }: Source): string {
  if (!isDefault(issue)) return issue.message;
  const range = numberRule(schema, issue.path);
  if (issue.code === "invalid_type") {
    const expected = range ?? TYPES[issue.expected] ?? issue.expected;
    if (issue.message.endsWith("received undefined")) return `required: ${expected}`;
    return issue.message.endsWith("received null") ? `${expected}, not null` : expected;
  }
  if (range !== null) return range;
  if (issue.code === "too_small") return `at least ${amount(issue.minimum, issue.origin)}`;
  if (issue.code === "too_big") return `at most ${amount(issue.maximum, issue.origin)}`;
  if (issue.code === "invalid_value") return `one of ${issue.values.join(", ")}`;
  return issue.message;
}

function isDefault(issue: Issue): boolean {
  return /^(Invalid (input|option)|Too (small|big))\b/.test(issue.message);
}

const TYPES: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "an array",
};
const UNITS: Record<string, string> = { string: "character", array: "item", set: "item" };

function amount(count: number | bigint, origin: string): string {
  const unit = UNITS[origin];
  return unit === undefined ? String(count) : `${count} ${unit}${Number(count) === 1 ? "" : "s"}`;
}

function show(path: readonly string[], part: string): string {
  const text = path.length === 0 ? part : path.join(".");
  return text.length > PATH_MAX_CHARS ? `${text.slice(0, PATH_MAX_CHARS)}…` : text;
}
