import assert from "node:assert/strict";
import { test } from "node:test";
import type { Exchange } from "./definition.ts";
import { judgeHttp } from "./judging.ts";

const RETRIABLE = { retry_on: "retriable" } as const;
const ANY_FAILURE = { retry_on: "any_failure" } as const;

function answer(status: number, headers: Record<string, string> = {}): Exchange {
  return {
    kind: "response",
    status,
    headers,
    snippet: "",
    started_at: Date.UTC(2026, 0, 31, 9, 30),
    duration_ms: 1_000,
  };
}

function failure(code: string, message: string): Exchange {
  return { kind: "failure", code, message, started_at: 0, duration_ms: 5 };
}

function retriableWhen(exchange: Exchange, rules: Parameters<typeof judgeHttp>[1]): boolean {
  const outcome = judgeHttp(exchange, rules);
  assert.notEqual(outcome.kind, "accepted");
  return outcome.kind !== "accepted" && outcome.retriable;
}

for (const status of [200, 201, 202, 204, 206, 299]) {
  test(`${status} is accepted`, () => assert.deepEqual(judgeHttp(answer(status), RETRIABLE), { kind: "accepted" }));
}

for (const status of [408, 425, 429, 500, 501, 502, 503, 504, 511, 599]) {
  test(`${status} is refused and retriable`, () => assert.ok(retriableWhen(answer(status), RETRIABLE)));
}

for (const status of [300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422, 451, 600]) {
  test(`${status} ends the delivery, unless any failure is to be retried`, () => {
    assert.equal(retriableWhen(answer(status), RETRIABLE), false);
    assert.equal(retriableWhen(answer(status), ANY_FAILURE), true);
  });
}

for (const rules of [RETRIABLE, ANY_FAILURE]) {
  test(`410 disables the destination and is final, with retry_on ${rules.retry_on}`, () => {
    const outcome = judgeHttp(answer(410, { "retry-after": "5" }), rules);
    assert.ok(outcome.kind === "refused");
    assert.equal(outcome.retriable, false);
    assert.match(outcome.disable ?? "", /410/);
    assert.equal(outcome.retry_after_ms, undefined);
  });
}

for (const code of ["refused_address", "dns", "connect", "tls", "timeout", "reset", "protocol", "aborted"]) {
  test(`the failure ${code} is unreachable, retriable, and says what the network said`, () => {
    assert.deepEqual(judgeHttp(failure(code, "hooks.example.com did not answer"), RETRIABLE), {
      kind: "unreachable",
      retriable: true,
      message: "hooks.example.com did not answer",
    });
  });
}

const LOCATIONS: [string | undefined, RegExp][] = [
  ["https://new.example.com/hook?token=abc", /redirect to new\.example\.com; redirects are never followed/],
  ["http://[::1]:8080/x", /redirect to \[::1\]:8080; /],
  ["//evil.example/login?token=abc", /redirect to evil\.example; /],
  ["/login?next=abc", /redirect to another path of the same host; /],
  ["not a url", /a redirect; /],
  ["mailto:someone@example.com", /a redirect; /],
  [undefined, /a redirect; /],
];
for (const [location, expected] of LOCATIONS) {
  test(`a redirect to ${location ?? "nowhere"} is explained without its path`, () => {
    const outcome = judgeHttp(answer(302, location === undefined ? {} : { location }), RETRIABLE);
    assert.ok(outcome.kind === "refused");
    assert.match(outcome.message, expected);
    assert.doesNotMatch(outcome.message, /token|abc|someone/);
  });
}

for (const status of [429, 503]) {
  test(`Retry-After on ${status} is honoured, counted from the end of the answer`, () => {
    const seconds = judgeHttp(answer(status, { "retry-after": "90" }), RETRIABLE);
    const date = judgeHttp(answer(status, { "retry-after": "Sat, 31 Jan 2026 09:31:31 GMT" }), RETRIABLE);
    assert.ok(seconds.kind === "refused" && date.kind === "refused");
    assert.deepEqual([seconds.retry_after_ms, date.retry_after_ms], [90_000, 90_000]);
  });
}

for (const [status, header] of [
  [500, "90"],
  [302, "90"],
  [429, "soon"],
  [503, "0"],
  [503, "Sun, 06 Nov 1994 08:49:37 GMT"],
] as const) {
  test(`Retry-After: ${header} on ${status} raises no delay`, () => {
    const outcome = judgeHttp(answer(status, { "retry-after": header }), ANY_FAILURE);
    assert.ok(outcome.kind === "refused" && !("retry_after_ms" in outcome));
  });
}
