// The hosts of a PostgreSQL address. `pg` connects to one host; a list of them, as libpq takes it, is one address for each.
// Called by postgres-pool.ts and config.ts. Pure.

/** More than that is a mistake in the list. */
export const HOSTS_MAX = 10;

const PARTS = /^(?<head>postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)(?<hosts>[^@/?#]*)(?<tail>.*)$/s;

/**
 * One address for each host, in the given order.
 * @example splitHosts("postgres://me@one:5432,two/linkme") // ["postgres://me@one:5432/linkme", "postgres://me@two/linkme"]
 */
export function splitHosts(url: string): string[] {
  const { head, hosts, tail } = PARTS.exec(url)?.groups ?? {};
  if (head === undefined || hosts === undefined || tail === undefined) return [url];
  return hosts.split(",").map((host) => `${head}${host.trim()}${tail}`);
}
