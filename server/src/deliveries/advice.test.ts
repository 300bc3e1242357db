import assert from "node:assert/strict";
import { test } from "node:test";
import { FAILURE_CODES, OUTCOMES } from "#contract/deliveries.ts";
import { nextStepOf, type Tried } from "./advice.ts";

test("whatever went wrong there is one sentence that says what to do", () => {
  for (const cause of FAILURE_CODES) {
    assert.match(nextStepOf({ outcome: "unreachable", status_code: null, cause, error: null }) ?? "", /^[A-Z].*\.$/);
  }
  for (let status_code = 300; status_code < 600; status_code++) {
    assert.match(nextStepOf({ outcome: "refused", status_code, cause: null, error: null }) ?? "", /^[A-Z].*\.$/);
  }
});

test("what this server cannot read is for its operator to mend, not for the owner of the webhook", () => {
  const step = nextStepOf({ outcome: "misconfigured", status_code: null, cause: null, error: null }) ?? "";
  assert.match(step, /error .*operator .*by itself\.$/);
  assert.doesNotMatch(step, /settings of this webhook/);
});

test("what went well, or was never sent, needs nothing done", () => {
  const cases: Tried[] = [
    { outcome: "accepted", status_code: 200, cause: null, error: null },
    { outcome: "skipped", status_code: null, cause: null, error: null },
    { outcome: "interrupted", status_code: null, cause: null, error: null },
  ];
  for (const tried of cases) assert.equal(nextStepOf(tried), null);
  const known = cases.map(({ outcome }) => outcome);
  assert.ok(known.every((outcome) => (OUTCOMES as readonly string[]).includes(outcome)));
});

test("answers of the same class are told apart where something else is to be done", () => {
  const step = (status_code: number) => nextStepOf({ outcome: "refused", status_code, cause: null, error: null });
  const statuses = [302, 401, 404, 405, 410, 413, 415, 429, 500, 418];
  assert.equal(new Set(statuses.map(step)).size, statuses.length);
  assert.match(step(307) ?? "", /never followed/);
});

test("a port that may speak TLS is asked for with https first, where the request was in plain http", () => {
  const step = (error: string) =>
    nextStepOf({ outcome: "unreachable", status_code: null, cause: "reset", error }) ?? "";
  const closed = "shop.example:443 closed the connection before it answered";
  assert.match(step(`${closed}; the request was in plain http`), /speaks TLS, the URL has to begin with https\. .*log/);
  assert.match(step(closed), /^Look into the receiver's log/);
});

test("a port that speaks no TLS needs no certificate", () => {
  const step = (error: string) => nextStepOf({ outcome: "unreachable", status_code: null, cause: "tls", error }) ?? "";
  assert.match(step("The certificate of shop.example:443 has expired"), /valid certificate/);
  const plain = step("shop.example:8080 does not speak TLS: something else listens there, such as plain http");
  assert.match(plain, /^Turn TLS on .* a URL with http/);
  assert.doesNotMatch(plain, /certificate/);
});

test("an answer that asks for a pause says until when, and what is to be done about one that asks often", () => {
  const step = (status_code: number, response_headers: object) =>
    nextStepOf({
      ...{ outcome: "refused", status_code, cause: null, error: null, started_at: 1_000, duration_ms: 500 },
      response_headers: JSON.stringify(response_headers),
    });
  const asked = "Let the receiver come back: it asked for a pause until 1970-01-01T00:02:01.500Z (Retry-After)";
  assert.equal(step(503, { "retry-after": "120" }), `${asked}, and its log may say why.`);
  assert.ok(
    step(429, { "retry-after": "120" })?.startsWith(`${asked}. If it asks often: Loosen the receiver's limits`),
  );
  for (const headers of [{}, { "retry-after": "0" }, { "retry-after": "soon" }]) {
    assert.match(step(503, headers) ?? "", /^Look into the receiver's log: it failed/);
  }
  assert.match(step(500, { "retry-after": "120" }) ?? "", /^Look into the receiver's log/, "it is not followed");
});
