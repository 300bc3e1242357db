// Reads a TypeScript source as the architecture test needs it: its imports, its code without comments and texts, and its
// texts without code. A small scanner and not a parser: the formatter has already laid the source out in one known way.

export interface Import {
  specifier: string;
  line: number;
  /** Types only: nothing of the other file runs because of it. */
  is_type: boolean;
  /** The names of the other file that are used as values; `*` and `default` among them. */
  names: string[];
}

export interface SourceFile {
  /** From the project's root, with forward slashes. */
  path: string;
  text: string;
  /** The text with every comment and the inside of every string, template and pattern blanked, the same length. */
  code: string;
  imports: Import[];
  strings: { line: number; text: string }[];
}

export function readSource(path: string, text: string): SourceFile {
  const { code, strings } = blank(text);
  return {
    path,
    text,
    code,
    imports: findImports(text, code),
    strings: strings.map(({ start, end }) => ({ line: lineAt(text, start), text: text.slice(start, end) })),
  };
}

/** The line number, from 1, of a place in a text. */
export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

interface Span {
  start: number;
  end: number;
}

const STATIC_IMPORT = /^(?:import|export(?=\s+(?:type\s+)?[*{]))\s+(type\s+)?([\w$*\s,{}]*?)\s*(?:\bfrom\s*)?"/gm;
const DYNAMIC_IMPORT = /\bimport\s*\(\s*"/g;

function findImports(text: string, code: string): Import[] {
  const quoted = (from: number) => text.slice(from, text.indexOf('"', from));
  const found: Import[] = [];
  for (const match of code.matchAll(STATIC_IMPORT)) {
    const names = valueNames(match[2] ?? "");
    // `import "./x.ts"` names nothing and runs everything.
    const is_type = match[1] !== undefined || (names.length === 0 && (match[2] ?? "") !== "");
    const specifier = quoted(match.index + match[0].length);
    found.push({ specifier, line: lineAt(text, match.index), is_type, names: is_type ? [] : names });
  }
  for (const match of code.matchAll(DYNAMIC_IMPORT)) {
    const specifier = quoted(match.index + match[0].length);
    found.push({ specifier, line: lineAt(text, match.index), is_type: false, names: ["*"] });
  }
  return found;
}

/** From "a, { type B, c as d }" the names default and c; from "* as x" the name *. */
function valueNames(clause: string): string[] {
  const [outside = "", inside = ""] = clause.split(/[{}]/);
  const listed = inside.split(",").map((entry) => entry.trim());
  const names = listed.filter((entry) => entry && !entry.startsWith("type ")).map((entry) => entry.split(" ")[0] ?? "");
  if (outside.includes("*")) names.push("*");
  else if (outside.replaceAll(",", "").trim()) names.push("default");
  return names;
}

/** What may stand before a slash that begins a pattern; after anything else it is a division. */
const BEFORE_PATTERN = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else))\s*$/;
const BEFORE_PATTERN_CHARS = 80;
const PATTERN = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;

function blank(text: string): { code: string; strings: Span[] } {
  const strings: Span[] = [];
  let code = "";
  let at = 0;
  const keep = (count: number) => {
    code += text.slice(at, at + count);
    at += count;
  };
  const hide = (end: number) => {
    code += text.slice(at, end).replace(/[^\n]/g, " ");
    at = end;
  };
  const string = (quote: string) => {
    keep(1);
    const start = at;
    let end = at;
    while (end < text.length && text[end] !== quote && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
    strings.push({ start, end });
    hide(end);
    keep(1);
  };
  const template = () => {
    keep(1);
    const start = at;
    while (at < text.length && text[at] !== "`") {
      if (text.startsWith("${", at)) {
        keep(2);
        scan("}");
        keep(1);
      } else {
        hide(at + (text[at] === "\\" ? 2 : 1));
      }
    }
    strings.push({ start, end: at });
    keep(1);
  };
  const slash = () => {
    if (text.startsWith("//", at)) return hide(endOf(text, "\n", at));
    if (text.startsWith("/*", at)) return hide(endOf(text, "*/", at) + 2);
    PATTERN.lastIndex = at;
    const isPattern = BEFORE_PATTERN.test(code.slice(-BEFORE_PATTERN_CHARS)) && PATTERN.test(text);
    if (isPattern) hide(PATTERN.lastIndex);
    else keep(1);
  };
  function scan(until: string): void {
    let depth = 0;
    while (at < text.length) {
      const char = text[at] ?? "";
      if (char === until && depth === 0) return;
      if (char === "{") depth++;
      if (char === "}") depth--;
      if (char === '"' || char === "'") string(char);
      else if (char === "`") template();
      else if (char === "/") slash();
      else keep(1);
    }
  }
  scan("");
  return { code, strings };
}

function endOf(text: string, what: string, from: number): number {
  const found = text.indexOf(what, from);
  return found < 0 ? text.length : found;
}
