// The last part of `npm run check`, after the formatter and the compiler: that generated files are current, that the lock
// file ties nobody to one registry, that the links in the documents lead somewhere, and that the licence is there.
// The checks take the project's root, so that their tests can give them another one.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generate } from "./generate.ts";

const DOCUMENTS = ["*.md", "{docs,deploy,sdk,spec,portal}/**/*.md"];

if (import.meta.main) {
  const root = dirname(import.meta.dirname);
  const problems = [
    ...findStaleFiles(root, await generate()),
    ...findLockProblems(root),
    ...findBrokenLinks(root),
    ...findLicenceProblems(root),
  ];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
  else console.log("Generated files, lock file, links and licence are in order.");
}

/** Generated files that differ from what the sources say now. */
export function findStaleFiles(root: string, generated: Record<string, string>): string[] {
  return Object.entries(generated).flatMap(([path, text]) => {
    const file = join(root, path);
    if (!existsSync(file)) return [`${path} is missing: run \`npm run generate\` and commit it.`];
    return readFileSync(file, "utf8") === text ? [] : [`${path} is out of date: run \`npm run generate\`.`];
  });
}

/**
 * An address in the lock file would send every install to the registry of whoever wrote it, and a package without an
 * entry makes `npm ci` refuse: npm leaves platform packages out when it writes the file from an installed folder.
 */
export function findLockProblems(root: string): string[] {
  // npm's own format, version 3.
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { resolved?: string; link?: boolean; optionalDependencies?: Record<string, string> }>;
  };
  return Object.entries(lock.packages).flatMap(([path, { resolved, link, optionalDependencies = {} }]) => {
    const missing = Object.keys(optionalDependencies).filter((name) => !isLocked(lock.packages, path, name));
    const problems = missing.map((name) => `package-lock.json: ${name}, which ${path} may need, has no entry.`);
    // A link to a folder of this project names that folder here.
    if (resolved && !link) problems.push(`package-lock.json: ${path} names ${resolved}; remove the "resolved" line.`);
    return problems;
  });
}

/** Whether a package has an entry where the package at `from` would find it: in its own folder or in one above. */
function isLocked(packages: Record<string, unknown>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    if (packages[folder ? `${folder}/node_modules/${name}` : `node_modules/${name}`]) return true;
    if (folder === "") return false;
  }
}

/** Relative links in the documents to files that are not there. */
export function findBrokenLinks(root: string): string[] {
  const documents = globSync(DOCUMENTS, { cwd: root, exclude: (path) => path.includes("node_modules") }).sort();
  return documents.flatMap((path) =>
    listLinks(readFileSync(join(root, path), "utf8")).flatMap((link) => {
      const target = decodeURI(link.split(/[?#]/)[0] ?? "");
      const file = target.startsWith("/") ? join(root, target) : join(root, dirname(path), target);
      return existsSync(file) ? [] : [`${path}: the link to ${link} leads nowhere.`];
    }),
  );
}

/** The relative links of a Markdown text, without those in code. */
export function listLinks(markdown: string): string[] {
  const prose = markdown.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");
  const inline = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const defined = [...prose.matchAll(/^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm)];
  const html = [...prose.matchAll(/\b(?:src|href)="([^"]+)"/g)];
  const links = [...inline, ...defined, ...html].map((match) => match[1] ?? "");
  return links.filter((link) => !/^(?:[a-z][a-z0-9+.-]*:|#|\/\/)/i.test(link));
}

export function findLicenceProblems(root: string): string[] {
  const path = join(root, "LICENSE");
  const isThere = existsSync(path) && readFileSync(path, "utf8").includes("Apache License");
  return isThere ? [] : ["LICENSE is missing or is not the Apache License."];
}
