// Whether an event passes a destination's filter, and if not, which condition refuses it, in words. Pure: compiled once for
// each destination by destination.ts, asked by fan-out, by replays of what was missing and by the check of a filter.
import { FILTER_ELEMENTS_MAX, type Filter, type FilterLeaf, filterProblems } from "#contract/filters.ts";

/** Of a value of the event, in the sentence that says why it was refused. */
const SHOWN_MAX_CHARS = 80;
/** Of the values that a condition wants. */
const SHOWN_VALUES_MAX = 5;
/** Of the alternatives of an `any` that all refused. */
const SHOWN_ALTERNATIVES_MAX = 3;
const REASON_MAX_CHARS = 500;

/** An event as a filter looks at it. */
export interface Subject {
  readonly event: string;
  readonly link_id: string | null;
  /** The event's `data`; called only when a condition asks for it. */
  data(): unknown;
  /** Of a list in it: one element is enough, among the first. Made once, however many conditions and filters ask. */
  elementsOf(list: readonly unknown[]): ReadonlySet<unknown>;
}

export interface CompiledFilter {
  /** Whether more is asked for than the type and the link. */
  readonly needs_data: boolean;
  /** How many it has: what one event costs at most. */
  readonly conditions: number;
  /** Null when the event passes; else a sentence such as `Filtered: platform is "web", and the filter wants "ios".` */
  refusal(subject: Subject): string | null;
}

/** Whether it holds is asked for every event; why not, as part of a sentence, only of what decides. */
interface Condition {
  holds(subject: Subject): boolean;
  /** Of a subject for which it does not hold. */
  why(subject: Subject): string;
}

type Read = (subject: Subject) => unknown;

/** @param filter one that the contract's check has passed */
export function compileFilter(filter: Filter): CompiledFilter {
  const condition = compile(filter, true);
  const paths = pathsOf(filter);
  return {
    needs_data: paths.some((path) => path !== "event" && path !== "link_id"),
    conditions: paths.length,
    refusal: (subject) =>
      condition.holds(subject) ? null : `Filtered: ${cut(condition.why(subject), REASON_MAX_CHARS)}.`,
  };
}

/**
 * One filter that passes what at least one of these passes, given as they are stored. Null, which passes everything, when one of
 * them is null or cannot be read by this version of the server.
 */
export function compileAny(texts: readonly (string | null)[]): CompiledFilter | null {
  const filters = texts.map((text) => (text === null ? null : readFilter(text)));
  return filters.every((one) => one !== null) ? compileFilter({ any: filters }) : null;
}

/** As it is stored; null when this version of the server cannot read it. */
export function readFilter(text: string): Filter | null {
  const filter: unknown = JSON.parse(text);
  // Checked by what is asked here.
  return filterProblems(filter).length > 0 ? null : (filter as Filter);
}

/** An event that is stored; its body is read at most once, however many conditions and destinations ask. */
export function subjectOf({ event, link_id, body }: { event: string; link_id: string | null; body: string }): Subject {
  let parsed: { data?: unknown } | undefined;
  return subjectWith({ event, link_id }, () => {
    // Written by composeEvent alone.
    parsed ??= JSON.parse(body) as { data?: unknown };
    return parsed.data;
  });
}

/** An event whose data is read by the function. */
export function subjectWith<Of extends Pick<Subject, "event" | "link_id">>(
  of: Of,
  data: Subject["data"],
): Of & Subject {
  let known: Map<readonly unknown[], ReadonlySet<unknown>> | undefined;
  return {
    ...of,
    data,
    elementsOf(list) {
      known ??= new Map();
      const elements = known.get(list) ?? new Set(list.slice(0, FILTER_ELEMENTS_MAX));
      known.set(list, elements);
      return elements;
    },
  };
}

/** `wanted` false is a `not` around it: it is carried down to the leaves, so that those can say what they exclude. */
function compile(filter: Filter, wanted: boolean): Condition {
  if ("not" in filter) return compile(filter.not, !wanted);
  if ("all" in filter) return join(filter.all, wanted, wanted);
  if ("any" in filter) return join(filter.any, wanted, !wanted);
  return leaf(filter, wanted);
}

function join(filters: readonly Filter[], wanted: boolean, is_all: boolean): Condition {
  const conditions = filters.map((one) => compile(one, wanted));
  return is_all || conditions.length === 1 ? everyOf(conditions) : oneOf(conditions);
}

function everyOf(conditions: readonly Condition[]): Condition {
  return {
    holds: (subject) => conditions.every((one) => one.holds(subject)),
    why: (subject) => conditions.find((one) => !one.holds(subject))?.why(subject) ?? "",
  };
}

function oneOf(conditions: readonly Condition[]): Condition {
  const shown = conditions.slice(0, SHOWN_ALTERNATIVES_MAX);
  const others = conditions.length - shown.length;
  const rest = others === 0 ? "" : `; and ${others} more`;
  return {
    holds: (subject) => conditions.some((one) => one.holds(subject)),
    why(subject) {
      const reasons = shown.map((one) => one.why(subject));
      return `none of ${conditions.length} alternatives holds (${reasons.join("; ")}${rest})`;
    },
  };
}

function leaf(condition: FilterLeaf, wanted: boolean): Condition {
  const read = reader(condition.path);
  const { test, yes, no } = operatorOf(condition);
  const wish = `the filter ${wanted ? yes : no}`;
  return {
    holds: (subject) => test(read(subject), subject) === wanted,
    why: (subject) => `${condition.path} is ${show(read(subject))}, and ${wish}`,
  };
}

interface Operator {
  test(value: unknown, subject: Subject): boolean;
  /** After "the filter": what it says when it is wanted, and when it is not. */
  yes: string;
  no: string;
}

function operatorOf(condition: FilterLeaf): Operator {
  if ("exists" in condition) {
    const words = ["wants it to be there", "wants it to be absent"] as const;
    const [yes, no] = condition.exists ? words : ([words[1], words[0]] as const);
    return { test: (value) => isThere(value) === condition.exists, yes, no };
  }
  if ("prefix" in condition) {
    const { prefix } = condition;
    const begins = (one: unknown) => typeof one === "string" && one.startsWith(prefix);
    const test: Operator["test"] = (value, subject) =>
      Array.isArray(value) ? some(subject.elementsOf(value), begins) : begins(value);
    const what = `one that begins with ${show(prefix)}`;
    return { test, yes: `wants ${what}`, no: `excludes ${what}` };
  }
  if ("in" in condition) {
    const values = new Set<unknown>(condition.in);
    const shown = condition.in.slice(0, SHOWN_VALUES_MAX).map(show).join(", ");
    const rest = values.size > SHOWN_VALUES_MAX ? ` and ${values.size - SHOWN_VALUES_MAX} more` : "";
    const what = `one of ${shown}${rest}`;
    const test: Operator["test"] = (value, subject) =>
      Array.isArray(value) ? overlap(values, subject.elementsOf(value)) : values.has(value);
    return { test, yes: `wants ${what}`, no: `excludes ${what}` };
  }
  const { equals } = condition;
  const test: Operator["test"] = (value, subject) =>
    Array.isArray(value) ? subject.elementsOf(value).has(equals) : value === equals;
  return { test, yes: `wants ${show(equals)}`, no: `excludes ${show(equals)}` };
}

function overlap(a: ReadonlySet<unknown>, b: ReadonlySet<unknown>): boolean {
  const [fewer, more] = a.size < b.size ? [a, b] : [b, a];
  return some(fewer, (one) => more.has(one));
}

function some(values: ReadonlySet<unknown>, test: (value: unknown) => boolean): boolean {
  for (const value of values) if (test(value)) return true;
  return false;
}

/** `null` says nothing, so it counts as absent; LinkMe's own events never hold it. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function reader(path: string): Read {
  if (path === "event") return (subject) => subject.event;
  if (path === "link_id") return (subject) => subject.link_id ?? undefined;
  const [root, ...names] = path.split(".");
  if (root === "platform") return within(["platform"]);
  if (root === "data") return within(names);
  const [name = ""] = names;
  return within(["utm", name.startsWith("utm_") ? name : `utm_${name}`]);
}

/** Through objects only; what an object has from its prototype is not in the event. */
function within(names: readonly string[]): Read {
  return (subject) => {
    let value = subject.data();
    for (const name of names) {
      if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
        return undefined;
      }
      // An object, as was just asked.
      value = (value as Record<string, unknown>)[name];
    }
    return value;
  };
}

function pathsOf(filter: Filter): string[] {
  if ("all" in filter) return filter.all.flatMap(pathsOf);
  if ("any" in filter) return filter.any.flatMap(pathsOf);
  return "not" in filter ? pathsOf(filter.not) : [filter.path];
}

function show(value: unknown): string {
  if (value === undefined) return "absent";
  if (Array.isArray(value)) {
    if (value.length === 0) return "an empty list";
    const rest = value.length > SHOWN_VALUES_MAX ? ",…" : "";
    return cut(`[${value.slice(0, SHOWN_VALUES_MAX).map(showElement).join(",")}${rest}]`, SHOWN_MAX_CHARS);
  }
  if (typeof value === "object" && value !== null) return "an object";
  return JSON.stringify(typeof value === "string" ? cut(value, SHOWN_MAX_CHARS) : value);
}

/** Whatever its size, a few characters of it. */
function showElement(value: unknown): string {
  if (Array.isArray(value)) return "[…]";
  if (typeof value === "object" && value !== null) return "{…}";
  return JSON.stringify(typeof value === "string" ? cut(value, SHOWN_MAX_CHARS) : value);
}

/** Never between the halves of a character: databases refuse a lone half. */
function cut(text: string, max_chars: number): string {
  return text.length <= max_chars ? text : `${text.slice(0, max_chars - 1).toWellFormed()}…`;
}
