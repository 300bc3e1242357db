// Filters: which events a webhook takes beyond their types. A small tree of conditions on what is in an event, checked
// when it is saved, with the place of what is wrong. docs/guide/filters.md says the same to those who write one.
import { z } from "zod";
import { DataObject, EVENT_TYPES, EventType, PLATFORMS } from "./events.ts";
import { Id, Timestamp } from "./fields.ts";

/** Of the whole filter, in bytes of its JSON in UTF-8. */
export const FILTER_MAX_BYTES = 8 * 1024;
/** Levels of `all`, `any` and `not`, a single condition being the first. */
export const FILTER_DEPTH_MAX = 6;
export const FILTER_CONDITIONS_MAX = 50;
const FILTER_PATH_MAX_CHARS = 200;
/** Names after `data`. */
const FILTER_PATH_MAX_NAMES = 8;
export const FILTER_VALUE_MAX_CHARS = 500;
/** Values of one `in`. */
export const FILTER_VALUES_MAX = 100;
/** Elements of a list in an event that are looked at, the first. */
export const FILTER_ELEMENTS_MAX = 100;
/** Stored events that one check of a filter looks at, the newest. */
export const FILTER_CHECK_EVENTS_MAX = 50;

export type FilterValue = string | number | boolean;
export type FilterLeaf = { path: string } & (
  | { equals: FilterValue }
  | { in: FilterValue[] }
  | { exists: boolean }
  | { prefix: string }
);
export type Filter = { all: Filter[] } | { any: Filter[] } | { not: Filter } | FilterLeaf;

const FILTER_GROUPS = ["all", "any", "not"] as const;
const FILTER_OPERATORS = ["equals", "in", "exists", "prefix"] as const;

const FORM = `an object with one of ${FILTER_GROUPS.join(", ")}, or with path and one of ${FILTER_OPERATORS.join(", ")}`;
const NO_OPERATOR = `no operator: one of ${FILTER_OPERATORS.join(", ")} beside path`;
const COUNTS: Readonly<Record<number, string>> = { 2: "two", 3: "three", 4: "four" };
const PATH_FORM = `event, link_id, platform, utm.<name>, or data.<name> with up to ${FILTER_PATH_MAX_NAMES} names, none of them empty`;

/** One thing that is wrong with a filter, and where. */
interface Problem {
  path: (string | number)[];
  message: string;
}

type Place = Problem["path"];

/** What a check carries along the tree. */
interface Count {
  conditions: number;
}

/** All that is wrong with a value as a filter; empty when it is one. */
export function filterProblems(value: unknown): Problem[] {
  const bytes = new TextEncoder().encode(JSON.stringify(value) ?? "").length;
  if (bytes > FILTER_MAX_BYTES) return [{ path: [], message: `at most ${FILTER_MAX_BYTES} bytes; this has ${bytes}` }];
  const count: Count = { conditions: 0 };
  const problems = checkNode(value, [], count);
  if (count.conditions <= FILTER_CONDITIONS_MAX) return problems;
  return [{ path: [], message: `at most ${FILTER_CONDITIONS_MAX} conditions; this has ${count.conditions}` }];
}

function checkNode(node: unknown, at: Place, count: Count): Problem[] {
  if (!isObject(node)) return [{ path: at, message: FORM }];
  const group = FILTER_GROUPS.find((name) => Object.hasOwn(node, name));
  if (group === undefined) return checkLeaf(node, at, count);
  const strange = Object.keys(node).filter((name) => name !== group);
  if (strange.length > 0) return strangers(strange, at, `nothing beside ${group}`);
  if (depthOf(at) >= FILTER_DEPTH_MAX) return [{ path: at, message: `at most ${FILTER_DEPTH_MAX} levels` }];
  const inner = node[group];
  if (group === "not") return checkNode(inner, [...at, group], count);
  if (!Array.isArray(inner) || inner.length === 0) {
    return [{ path: [...at, group], message: "a non-empty array of conditions" }];
  }
  return inner.flatMap((one, index) => checkNode(one, [...at, group, index], count));
}

/** The level of a node: one more than the groups around it. */
function depthOf(at: Place): number {
  return 1 + at.filter((step) => typeof step === "string").length;
}

function checkLeaf(leaf: Record<string, unknown>, at: Place, count: Count): Problem[] {
  count.conditions++;
  const operators = FILTER_OPERATORS.filter((name) => Object.hasOwn(leaf, name));
  const strange = Object.keys(leaf).filter((name) => name !== "path" && !operators.some((known) => known === name));
  if (strange.length > 0) return strangers(strange, at, FORM);
  const [operator] = operators;
  if (operator === undefined) return [{ path: at, message: Object.hasOwn(leaf, "path") ? NO_OPERATOR : FORM }];
  if (operators.length > 1) {
    const given = `${COUNTS[operators.length] ?? "several"} operators given: ${operators.join(", ")}`;
    return [{ path: at, message: `${given}; one of them beside path` }];
  }
  const { path } = leaf;
  if (typeof path !== "string" || !isFilterPath(path)) return [{ path: [...at, "path"], message: PATH_FORM }];
  return checkOperand(operator, leaf[operator], path, [...at, operator]);
}

function strangers(names: readonly string[], at: Place, accepted: string): Problem[] {
  return names.map((name) => ({ path: [...at, name], message: `unknown field: ${accepted}` }));
}

function isFilterPath(path: string): boolean {
  if (path.length > FILTER_PATH_MAX_CHARS) return false;
  if (path === "event" || path === "link_id" || path === "platform") return true;
  const [root, ...names] = path.split(".");
  if (names.some((name) => name === "")) return false;
  if (root === "utm") return names.length === 1;
  return root === "data" && names.length >= 1 && names.length <= FILTER_PATH_MAX_NAMES;
}

function checkOperand(
  operator: (typeof FILTER_OPERATORS)[number],
  operand: unknown,
  path: string,
  at: Place,
): Problem[] {
  if (operator === "exists") return typeof operand === "boolean" ? [] : [{ path: at, message: "true or false" }];
  if (operator === "prefix") {
    const is_right = typeof operand === "string" && operand !== "" && operand.length <= FILTER_VALUE_MAX_CHARS;
    return is_right ? [] : [{ path: at, message: `a text of 1 to ${FILTER_VALUE_MAX_CHARS} characters` }];
  }
  const accepted = acceptedAt(path);
  if (operator === "equals") return accepted.test(operand) ? [] : [{ path: at, message: accepted.sentence }];
  if (!Array.isArray(operand) || operand.length === 0 || operand.length > FILTER_VALUES_MAX) {
    return [{ path: at, message: `an array of 1 to ${FILTER_VALUES_MAX} values` }];
  }
  return operand.flatMap((one, index) =>
    accepted.test(one) ? [] : [{ path: [...at, index], message: accepted.sentence }],
  );
}

interface Accepted {
  sentence: string;
  test(value: unknown): boolean;
}

/** A value that a path can never have is a typing error, and would quietly keep every event away. */
function acceptedAt(path: string): Accepted {
  if (path === "event") return oneOf(EVENT_TYPES);
  if (path === "platform") return oneOf(PLATFORMS);
  const text = `a text of at most ${FILTER_VALUE_MAX_CHARS} characters`;
  if (!path.startsWith("data.")) return { sentence: text, test: isText };
  const sentence = `${text}, a number, true or false; for what is absent or null, exists`;
  return { sentence, test: (value) => isText(value) || typeof value === "boolean" || Number.isFinite(value) };
}

function oneOf(values: readonly string[]): Accepted {
  return { sentence: `one of ${values.join(", ")}`, test: (value) => values.some((known) => known === value) };
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.length <= FILTER_VALUE_MAX_CHARS;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const CONDITION = `{"path":"data.user.plan","equals":"pro"}`;
const FILTER_SCHEMA = {
  type: "object",
  description:
    `Conditions on an event: {"all":[…]}, {"any":[…]}, {"not":…}, or one such as ${CONDITION}. ` +
    `Paths: ${PATH_FORM}. Operators: equals, in (an array), exists (true or false), prefix. ` +
    `At most ${FILTER_CONDITIONS_MAX} conditions, ${FILTER_DEPTH_MAX} levels, ${FILTER_MAX_BYTES} bytes.`,
  properties: {
    all: { type: "array", items: { type: "object" }, minItems: 1 },
    any: { type: "array", items: { type: "object" }, minItems: 1 },
    not: { type: "object" },
    path: { type: "string", maxLength: FILTER_PATH_MAX_CHARS },
    equals: { anyOf: [{ type: "string" }, { type: "number" }, { type: "boolean" }] },
    in: { type: "array", minItems: 1, maxItems: FILTER_VALUES_MAX },
    exists: { type: "boolean" },
    prefix: { type: "string", minLength: 1, maxLength: FILTER_VALUE_MAX_CHARS },
  },
  additionalProperties: false,
} as const;

/** Checked by hand: what a union of recursive schemas says of a mistake names no place that a person would look at. */
export const Filter = z
  .custom<Filter>((value) => value !== undefined && value !== null, { error: FORM })
  .superRefine((value, context) => {
    for (const { path, message } of filterProblems(value)) context.addIssue({ code: "custom", path, message });
  })
  .meta(FILTER_SCHEMA);

export const FilterCheck = z
  .strictObject({
    filter: Filter,
    event: z
      .strictObject({ event: EventType, data: DataObject, id: Id, ts: Timestamp, app_id: Id })
      .partial({ id: true, ts: true, app_id: true })
      .optional()
      .describe(`an event or a whole envelope to try; default: the app's last ${FILTER_CHECK_EVENTS_MAX} events`),
  })
  .meta({ id: "FilterCheck" });
export type FilterCheck = z.infer<typeof FilterCheck>;

export const FilterCheckAnswer = z
  .object({
    checked: z.number().int(),
    passed: z.number().int(),
    items: z.array(
      z.object({
        event_id: z.string().nullable().describe("null for an event that was given without an id"),
        event: EventType,
        ts: Timestamp.nullable(),
        passes: z.boolean(),
        reason: z.string().nullable().describe("which condition refuses it; null when it passes"),
      }),
    ),
  })
  .meta({ id: "FilterCheckAnswer" });
export type FilterCheckAnswer = z.infer<typeof FilterCheckAnswer>;
