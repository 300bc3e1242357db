// Turns what Zod found wrong into the sentence and the details of a refusal. Pure; called by bind.ts.
import type { z } from "zod";
import type { ErrorDetail } from "#contract/errors.ts";
import { AppError } from "../errors.ts";

const DETAILS_MAX = 20;
const PATH_MAX_CHARS = 200;

type Issue = z.core.$ZodIssue;

/** @param part where the value came from, to speak of it when it is wrong as a whole: "body", "query" */
export function refuseIssues(issues: readonly Issue[], part: "body" | "query"): AppError {
  const details = issues.flatMap((issue) => describe(issue, part)).slice(0, DETAILS_MAX);
  const [first] = details;
  const more = details.length > 1 ? ` (and ${details.length - 1} more, see details)` : "";
  const message = first ? `${first.path}: ${first.message}${more}` : `The ${part} was not understood.`;
  return new AppError("invalid_request", message, { details });
}

function describe(issue: Issue, part: string): ErrorDetail[] {
  const path = issue.path.map(String);
  if (isStrange(issue)) {
    return issue.keys.map((key) => ({ path: show([...path, key], part), message: "unknown field" }));
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    return nearest(issue.errors).flatMap((inner) => describe({ ...inner, path: [...issue.path, ...inner.path] }, part));
  }
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => ({ path: show(path, part), message }));
  return [{ path: show(path, part), message: sentence(issue) }];
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

function sentence(issue: Issue): string {
  const missing = /^Invalid input: expected (\w+), received (undefined|null)$/.exec(issue.message);
  if (missing === null) return issue.message;
  return missing[2] === "undefined" ? `required: ${missing[1]}` : `${missing[1]}, not null`;
}

function show(path: readonly string[], part: string): string {
  const text = path.length === 0 ? part : path.join(".");
  return text.length > PATH_MAX_CHARS ? `${text.slice(0, PATH_MAX_CHARS)}…` : text;
}
