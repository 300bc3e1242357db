// What is said of an address that this process does not answer: which methods it answers there, or which role another
// process needs for it. Pure. Called by app.ts.
import { ROUTES, type RouteName } from "#contract/routes.ts";

// Object.keys forgets the names of the keys. A method is compared with whatever a client sends.
const KNOWN = (Object.keys(ROUTES) as RouteName[]).map((name) => {
  const { method, path, scope } = ROUTES[name];
  const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}/?$`);
  return { name, method: method as string, pattern, role: scope === "sdk" ? "edge" : "api" };
});

/** How visitors open links. */
const READS = new Set(["GET", "HEAD"]);

/** What a process is, as far as its addresses go. */
export interface Answering {
  /** The routes that it has. */
  routes: ReadonlySet<string>;
  /** At least one. */
  roles: readonly string[];
}

/** @param path without the query */
export function whyNotFound(method: string, path: string, { routes, roles }: Answering): string {
  const own = `This process has the ${roles.length === 1 ? "role" : "roles"} ${roles.join(" and ")} only`;
  const known = KNOWN.filter(({ pattern }) => pattern.test(path));
  const elsewhere = known.filter(({ name }) => !routes.has(name));
  const here = known.filter(({ name, method: other }) => routes.has(name) && other !== method);
  const asked = elsewhere.find((route) => route.method === method) ?? (here.length === 0 ? elsewhere[0] : undefined);
  if (asked !== undefined) {
    return `${own}; this address is answered by processes with the role ${asked.role}.`;
  }
  const is_link = READS.has(method) && !path.startsWith("/api/");
  if (known.length === 0 && is_link && !roles.includes("edge")) {
    return `${own}; links are answered by processes with the role edge.`;
  }
  const hint =
    here.length > 0
      ? `It answers ${here.map((route) => route.method).join(", ")}.`
      : "See /docs for the addresses of the API.";
  return `This address does not answer ${method}. ${hint}`;
}
