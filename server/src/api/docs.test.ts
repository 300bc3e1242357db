import assert from "node:assert/strict";
import { test } from "node:test";
import { ROUTES } from "#contract/routes.ts";
import { openApi } from "../../test/support/api.ts";
import { serverVersion } from "./docs.ts";
import { composeOpenApi } from "./openapi.ts";

const METHODS = ["get", "post", "patch", "delete"];
const api = await openApi();
const document = JSON.parse(JSON.stringify(await composeOpenApi(serverVersion())));

test("the description is OpenAPI 3.1 with every route of the table, and the same each time", async () => {
  assert.match(document.openapi, /^3\.1\./);
  const described = Object.entries<object>(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const table = Object.values(ROUTES).map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(described.toSorted(), table.toSorted());
  assert.deepEqual(await composeOpenApi(serverVersion()), document);
});

test("every reference leads somewhere, and every schema is used", () => {
  const text = JSON.stringify(document);
  const references = new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target));
  const schemas = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
  assert.deepEqual([...references].toSorted(), schemas.toSorted());
});

test("every operation has its own name, a summary, a tag, its right and its refusals", () => {
  const operations = Object.values<object>(document.paths).flatMap((item) =>
    Object.entries(item).map(([method, operation]) => ({ method, operation })),
  );
  const names = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(names).size, names.length);
  for (const { method, operation } of operations) {
    assert.ok(METHODS.includes(method));
    assert.ok(operation.summary && operation.tags.length === 1 && operation.description, operation.operationId);
    assert.ok(Array.isArray(operation.security));
    assert.equal(operation.responses["4XX"].content["application/json"].schema.$ref, "#/components/schemas/Error");
    const route = ROUTES[operation.operationId as keyof typeof ROUTES];
    assert.ok(operation.responses[route.status], `${operation.operationId} answers ${route.status}`);
  }
});

test("the documentation page and all that it loads come from this server, and the policy forbids the rest", async () => {
  const page = await api.call("GET", "/docs", undefined, { token: null });
  assert.equal(page.status, 200);
  const loaded = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => String(address));
  assert.ok(loaded.length >= 5);
  for (const address of loaded) {
    assert.match(address, /^\/docs\/static\//);
    const file = await api.call("GET", address, undefined, { token: null });
    assert.equal(file.status, 200, address);
    const text = typeof file.body === "string" ? file.body : "";
    assert.doesNotMatch(text, /(?:url\(|@import )["']?(?:https?:)?\/\//, address);
    assert.doesNotMatch(text, /sourceMappingURL=https?:/, address);
  }
  const initializer = await api.call("GET", "/docs/static/swagger-initializer.js", undefined, { token: null });
  assert.match(initializer.body, /"validatorUrl":\s*"none"/);
  const policy = String(page.headers["content-security-policy"]);
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /https?:|\*/);
  assert.equal(page.headers["x-content-type-options"], "nosniff");
});

test("the documentation page serves the description", async () => {
  const { status, body } = await api.call("GET", "/docs/json", undefined, { token: null });
  assert.equal(status, 200);
  assert.deepEqual(body.paths, document.paths);
  const { status: missing, body: error } = await api.call("GET", "/docs/openapi.json", undefined, { token: null });
  assert.deepEqual([missing, error.error], [404, "not_found"]);
  assert.match(error.message, /\/docs\/json/);
  assert.match(error.request_id, /^req_/);
});
