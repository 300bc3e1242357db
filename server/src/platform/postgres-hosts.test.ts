import assert from "node:assert/strict";
import { test } from "node:test";
import { splitHosts } from "./postgres-hosts.ts";

test("a list of hosts becomes one address for each, with the same user, database and parameters", () => {
  const cases: [string, string[]][] = [
    ["postgres://me:pw@one/linkme", ["postgres://me:pw@one/linkme"]],
    [
      "postgres://me:p%2Cw@one:5432,two:5433/linkme?sslmode=require",
      ["postgres://me:p%2Cw@one:5432/linkme?sslmode=require", "postgres://me:p%2Cw@two:5433/linkme?sslmode=require"],
    ],
    ["postgres://me:a,b@one,two/x", ["postgres://me:a,b@one/x", "postgres://me:a,b@two/x"]],
    ["postgresql://one, [::1]:5,three", ["postgresql://one", "postgresql://[::1]:5", "postgresql://three"]],
    ["postgres:///linkme?host=/var/run/postgresql", ["postgres:///linkme?host=/var/run/postgresql"]],
    ["postgres://one/a?application_name=b,c", ["postgres://one/a?application_name=b,c"]],
  ];
  for (const [url, expected] of cases) assert.deepEqual(splitHosts(url), expected);
});
