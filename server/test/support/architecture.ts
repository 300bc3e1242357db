// The rules of the architecture as pure functions from source files to violations. server/test/architecture.test.ts runs
// them over the project and over samples that break each of them. The reasons are in ARCHITECTURE.md; the law
// in one line: contract < destination-types < platform < notices < accounts < destinations < deliveries < events < analytics <
// links < claims < retention < persons < api < main, and inside a module pure files < store.ts < the rest.
import { posix } from "node:path";
import { type Import, lineAt, type SourceFile } from "./source.ts";

export interface Violation {
  path: string;
  line: number;
  message: string;
}

export interface Rule {
  name: string;
  check(files: SourceFile[]): Violation[];
}

export const LINES_MAX = 400;
const ORDER = [
  "contract",
  "destination-types",
  "errors",
  "platform",
  "notices",
  "accounts",
  "destinations",
  "deliveries",
  "events",
  "analytics",
  "links",
  "claims",
  "retention",
  "persons",
  "setup",
  "api",
  "main",
];
const ALIASES = [
  ["#contract/", "contract/src/"],
  ["#destination-types/", "destination-types/src/"],
  ["#server/", "server/src/"],
] as const;
const EGRESS = "server/src/platform/egress.ts";
/** Mails go to the server that the operator has set, as statements go to the database. */
const SMTP = "server/src/platform/smtp.ts";
const CONFIG = "server/src/config.ts";
/** Programs and worker threads: what they do, they do when they are loaded. */
const PROGRAM = /^server\/src\/(?:main|cli|.*-worker)\.ts$/;

/** The module that a file belongs to, undefined outside the product's own sources. */
export function moduleOf(path: string): string | undefined {
  const [top, src, first = ""] = path.split("/");
  if (src !== "src") return undefined;
  if (top === "contract" || top === "destination-types") return top;
  if (top !== "server") return undefined;
  if (path === "server/src/errors.ts") return "errors";
  // Files beside main.ts (config, cli) belong to it.
  return first.endsWith(".ts") ? "main" : first;
}

/** The file of the project that an import names, undefined for a package or a part of Node. */
function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  const alias = ALIASES.find(([prefix]) => specifier.startsWith(prefix));
  return alias ? alias[1] + specifier.slice(alias[0].length) : undefined;
}

const importOrder = eachImport("modules import only from modules to their left", (file, { specifier }) => {
  const from = moduleOf(file.path);
  const target = resolveImport(file.path, specifier);
  if (!from || !target) return undefined;
  const to = moduleOf(target);
  if (!to) return `imports ${target}, which is not part of the product's sources`;
  if (!ORDER.includes(from)) return `is in a module "${from}" that the order does not know: ${ORDER.join(" < ")}`;
  if (ORDER.indexOf(to) > ORDER.indexOf(from)) return `${from} imports ${target}, but ${to} is to its right`;
  return undefined;
});

const pureContract = eachImport("contract and destination-types are pure", (file, { specifier, is_type }) => {
  const module = moduleOf(file.path);
  if (is_type || (module !== "contract" && module !== "destination-types")) return undefined;
  const isOurs = resolveImport(file.path, specifier) !== undefined;
  const allowed = module === "contract" ? ["zod"] : ["zod", "node:crypto", "node:zlib", "node:buffer"];
  return isOurs || allowed.includes(specifier) ? undefined : `imports ${specifier}; only ${allowed.join(", ")} may be`;
});

/** What a file does to the world outside, seen from its imports. */
const EFFECTS =
  /^(?:undici|fastify|pg|nodemailer|@fastify\/.*|node:(?:fs|fs\/promises|http|https|net|timers|worker_threads|sqlite))$/;
const EFFECT_FILES = /^server\/src\/platform\/(?:egress|smtp|bus|postgres|sqlite|database)\.ts$/;

const storeBelowShell: Rule = {
  name: "inside a module: pure files < store.ts < the rest",
  check(files) {
    const byPath = new Map(files.map((file) => [file.path, file]));
    return files.filter(isProduct).flatMap((file) => {
      if (!isStore(file.path)) return [];
      return valueImports(file).flatMap(({ line, target }) => {
        const imported = byPath.get(target);
        if (!imported || moduleOf(target) !== moduleOf(file.path) || isStore(target)) return [];
        const reason = whyShell(imported, byPath, new Set());
        return reason
          ? [{ path: file.path, line, message: `imports ${target}, which is no pure file: ${reason}` }]
          : [];
      });
    });
  },
};

/** Why a file is shell: it, or a file of its module below it, reaches the store or the world outside. */
function whyShell(file: SourceFile, byPath: Map<string, SourceFile>, seen: Set<string>): string | undefined {
  seen.add(file.path);
  const outside = file.imports.find(({ specifier, is_type }) => !is_type && EFFECTS.test(specifier));
  if (outside) return `${file.path} imports ${outside.specifier}`;
  for (const { target } of valueImports(file)) {
    if (EFFECT_FILES.test(target)) return `${file.path} imports ${target}`;
    if (moduleOf(target) !== moduleOf(file.path)) continue;
    if (isStore(target)) return `${file.path} imports ${target}`;
    const next = byPath.get(target);
    const reason = next && !seen.has(target) ? whyShell(next, byPath, seen) : undefined;
    if (reason) return reason;
  }
  return undefined;
}

const SQL_TAG = /\bsql\s*(?:<[^`()]*>)?`/g;
const SQL_TEXT =
  /^\s*(?:select\s[\s\S]*\sfrom\s|insert\s+into\s|update\s+[\w"]+\s+set\s|delete\s+from\s|(?:create|alter|drop)\s+(?:table|index)\s)/i;

const sqlInStores: Rule = {
  name: "only store.ts, platform/ and migrations/ hold SQL",
  check(files) {
    return files.filter(isProduct).flatMap((file) => {
      if (isStore(file.path) || moduleOf(file.path) === "platform") return [];
      const tags = matches(file, SQL_TAG).map((line) => ({ path: file.path, line, message: "uses the sql tag" }));
      const texts = file.strings
        .filter(({ text }) => SQL_TEXT.test(text))
        .map(({ line, text }) => ({ path: file.path, line, message: `holds SQL: ${text.trim().slice(0, 40)}` }));
      return [...tags, ...texts];
    });
  },
};

const CLIENT_NAMES: Record<string, string[]> = {
  "node:http": ["request", "get", "Agent", "ClientRequest", "globalAgent"],
  "node:https": ["request", "get", "Agent", "globalAgent"],
  "node:http2": ["connect"],
  "node:net": ["connect", "createConnection", "Socket"],
  "node:tls": ["connect", "TLSSocket"],
  "node:dgram": ["createSocket", "Socket"],
};
const CLIENT_GLOBALS = /(?<![.\w])(?:fetch\s*\(|new\s+(?:WebSocket|EventSource)\b)/g;

const oneEgress: Rule = {
  name: "only platform/egress.ts, and smtp.ts by nodemailer, open outbound connections",
  check(files) {
    return files
      .filter((file) => isProduct(file) && file.path !== EGRESS)
      .flatMap((file) => {
        const imported = file.imports.flatMap(({ specifier, is_type, names, line }) => {
          const forbidden = CLIENT_NAMES[specifier]?.filter((name) => names.includes(name)) ?? [];
          if (CLIENT_NAMES[specifier] && (names.includes("*") || names.includes("default"))) forbidden.push("all");
          if (specifier === "undici" && !is_type) forbidden.push("a client");
          if (specifier === "pg" && !is_type && moduleOf(file.path) !== "platform") forbidden.push("a client");
          if (/^nodemailer\b/.test(specifier) && !is_type && file.path !== SMTP) forbidden.push("a client");
          const message = `imports ${forbidden.join(", ")} from ${specifier}`;
          return forbidden.length > 0 ? [{ path: file.path, line, message }] : [];
        });
        const called = matches(file, CLIENT_GLOBALS).map((line) => ({
          path: file.path,
          line,
          message: "opens a connection",
        }));
        return [...imported, ...called];
      });
  },
};

/** Whoever starts the product hands the environment to config.ts whole, and does not look into it. */
const oneConfig = eachMatch(
  "only config.ts reads the environment",
  /(?<!\breadConfig\(\s*)\bprocess\s*\.\s*env\b/g,
  "reads process.env",
  (file) => isProduct(file) && file.path !== CONFIG,
);

/** The formatter puts every statement of the top level at the start of a line. */
const TOP_LEVEL_EFFECT =
  /^(?:await\b|for\b|while\b|if\b|try\b|(?:const|let)\b[^\n]*=\s*await\b|(?!function\b)[\w.]+\()/gm;

const quietImports = eachMatch(
  "only main.ts, cli.ts and workers have effects at import",
  TOP_LEVEL_EFFECT,
  "does something when it is imported",
  (file) => isProduct(file) && !PROGRAM.test(file.path),
);

const noAny = eachMatch("no any", /(?::|\bas|<|\||&|,)\s*any\b(?!\s*[(:=?.])/g, "says any; unknown is meant", (file) =>
  /\.tsx?$/.test(file.path),
);

const SHORTENED =
  /\b(?:test|it|describe|suite|t|context)\s*\.\s*(?:skip|only|todo)\b|\b(?:test|it|describe|suite)\([^\n]*\{[^}\n]*\b(?:skip|only|todo)\b\s*[:,}]/g;

const wholeSuite = eachMatch("no test is skipped, singled out or put off", SHORTENED, "leaves tests out", (file) =>
  isTest(file.path),
);

const smallFiles: Rule = {
  name: `no file over ${LINES_MAX} lines`,
  check(files) {
    return files.flatMap(({ path, text }) => {
      const count = text.trimEnd().split("\n").length;
      return count > LINES_MAX ? [{ path, line: LINES_MAX + 1, message: `has ${count} lines; split it` }] : [];
    });
  },
};

const MACHINE_PATH = /(?<![\w.:/-])\/(?:home|Users|root|work|workspace)\/\w|\b[A-Z]:\\Users\\/g;

const noMachinePaths: Rule = {
  name: "no path of somebody's machine",
  check(files) {
    return files.flatMap(({ path, text }) =>
      [...text.matchAll(MACHINE_PATH)].map(({ 0: found, index }) => {
        return { path, line: lineAt(text, index), message: `names ${found}...` };
      }),
    );
  },
};

export const RULES: Rule[] = [
  importOrder,
  pureContract,
  storeBelowShell,
  sqlInStores,
  oneEgress,
  oneConfig,
  quietImports,
  noAny,
  wholeSuite,
  smallFiles,
  noMachinePaths,
];

function eachImport(name: string, check: (file: SourceFile, one: Import) => string | undefined): Rule {
  return {
    name,
    check: (files) =>
      files.filter(isProduct).flatMap((file) =>
        file.imports.flatMap((one) => {
          const message = check(file, one);
          return message ? [{ path: file.path, line: one.line, message }] : [];
        }),
      ),
  };
}

function eachMatch(name: string, pattern: RegExp, message: string, applies: (file: SourceFile) => boolean): Rule {
  return {
    name,
    check: (files) =>
      files
        .filter(applies)
        .flatMap((file) => matches(file, pattern).map((line) => ({ path: file.path, line, message }))),
  };
}

function matches(file: SourceFile, pattern: RegExp): number[] {
  return [...file.code.matchAll(pattern)].map(({ index }) => lineAt(file.code, index));
}

function valueImports(file: SourceFile): { line: number; target: string }[] {
  return file.imports.flatMap(({ specifier, line, is_type }) => {
    const target = resolveImport(file.path, specifier);
    return target && !is_type ? [{ line, target }] : [];
  });
}

function isProduct({ path }: SourceFile): boolean {
  return moduleOf(path) !== undefined && !isTest(path);
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts");
}

/** A large module may split its store: claims-store.ts is one too. */
function isStore(path: string): boolean {
  return /(?:^|\/)(?:[\w-]+-)?store\.ts$/.test(path);
}
