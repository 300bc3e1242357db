import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeHttp } from "#destination-types/judging.ts";
import type { Exchange, FailureCode } from "../platform/egress.ts";
import { errorOf, findingsOf, isAccepted, type Tried, type Trying } from "./findings.ts";

const TRYING: Trying = { url: "https://shop.example/", timeout_ms: 1_000, is_secret_given: true, wants_forged: true };

interface Shape {
  headers?: Record<string, string>;
  first_byte?: number;
  total?: number;
  truncated?: boolean;
}

function answered(status: number, { headers = {}, first_byte = 20, total = 25, truncated = false }: Shape = {}): Tried {
  const timings_ms = { dns: 1, connect: 2, tls: 3, first_byte, total };
  const times = { started_at: 0, duration_ms: total, timings_ms };
  return judged({ kind: "response", status, headers, snippet: "", truncated, ...times });
}

function failed(code: FailureCode, message: string): Tried {
  const timings_ms = { dns: null, connect: null, tls: null, first_byte: null, total: 10 };
  return judged({ kind: "failure", code, message, is_silence: false, started_at: 0, duration_ms: 10, timings_ms });
}

function judged(exchange: Exchange): Tried {
  return { exchange, outcome: judgeHttp(exchange, { retry_on: "retriable" }) };
}

interface Case {
  title: string;
  trying?: Partial<Trying>;
  signed: Tried;
  forged?: Tried | null;
  /** Level, and what is said: message or fix. */
  expected: [level: string, ...says: RegExp[]][];
}

const CASES: Case[] = [
  { title: "nothing, when the receiver does as it should", signed: answered(204), forged: answered(401), expected: [] },
  {
    title: "that forged events were not tried",
    trying: { wants_forged: false },
    signed: answered(200),
    expected: [["info", /not tried/, /forged: true/]],
  },
  {
    title: "a forged event that was accepted",
    signed: answered(200),
    forged: answered(200),
    expected: [["error", /accepted the same event with a wrong signature/, /raw body/]],
  },
  {
    title: "a receiver that fails over a forged event",
    signed: answered(200),
    forged: answered(500),
    expected: [["warning", /answered 500/, /401/]],
  },
  {
    title: "a receiver that hangs up on a forged event",
    signed: answered(200),
    forged: failed("reset", "shop.example:443 reset the connection before it answered"),
    expected: [["warning", /no answer: shop\.example:443 reset/, /401/]],
  },
  {
    title: "nothing about the refusal of a forged event where the genuine one was refused too",
    signed: answered(401),
    forged: answered(401),
    expected: [["error", /answered 401/, /exactly this secret/]],
  },
  {
    title: "what a receiver that verifies needs, when the secret was a temporary one",
    trying: { is_secret_given: false },
    signed: answered(401),
    forged: answered(401),
    expected: [["error", /answered 401/, /signing_secret of this answer/]],
  },
  {
    title: "a refused connection, and that nothing more was sent",
    signed: failed("connect", "Connection refused by 203.0.113.7:443"),
    expected: [
      ["error", /^Connection refused by 203\.0\.113\.7:443\.$/, /Start the receiver/],
      ["info", /was not sent/, /Mend that first/],
    ],
  },
  {
    title: "a certificate that is not trusted",
    trying: { wants_forged: false },
    signed: failed("tls", "shop.example:443 presents a self-signed certificate"),
    expected: [
      ["error", /self-signed/, /valid certificate/],
      ["info", /not tried/],
    ],
  },
  {
    title: "a port that speaks no TLS, for which a certificate is of no use",
    trying: { wants_forged: false },
    signed: failed("tls", "127.0.0.1:8080 does not speak TLS: something else listens there, such as plain http"),
    expected: [
      ["error", /such as plain http\.$/, /Turn TLS on .* a URL with http/],
      ["info", /not tried/],
    ],
  },
  {
    title: "a redirect, and only the host that it leads to",
    signed: answered(302, { headers: { location: "https://other.example/secret?token=1" } }),
    forged: answered(302),
    expected: [["error", /redirect to other\.example; redirects are never followed/, /where the redirect leads/]],
  },
  {
    title: "a 410 without speaking of a webhook that is disabled now",
    signed: answered(410),
    forged: answered(410),
    expected: [["error", /^The receiver answered 410: it wants no more events\.$/, /would|is disabled/]],
  },
  {
    title: "an answer that comes late",
    signed: answered(200, { first_byte: 501, total: 510 }),
    forged: answered(401),
    expected: [["warning", /took 501 ms of the 1000 ms/, /timeout_ms/]],
  },
  {
    title: "nothing about half of the timeout",
    signed: answered(200, { first_byte: 500, total: 510 }),
    forged: answered(401),
    expected: [],
  },
  {
    title: "a body that does not end",
    signed: answered(200, { total: 1_000, truncated: true }),
    forged: answered(401),
    expected: [["warning", /body did not end/, /End the response/]],
  },
  {
    title: "plain http, after what is worse",
    trying: { url: "HTTP://10.0.0.5/", wants_forged: false },
    signed: answered(503, { first_byte: 900 }),
    expected: [
      ["error", /answered 503/, /log/],
      ["warning", /took 900 ms/],
      ["info", /not tried/],
      ["info", /plain http/, /https/],
    ],
  },
];

for (const { title, trying, signed, forged = null, expected } of CASES) {
  test(`a check tells ${title}`, () => {
    const findings = findingsOf({ ...TRYING, ...trying }, signed, forged);
    assert.deepEqual(
      findings.map(({ level }) => level),
      expected.map(([level]) => level),
      JSON.stringify(findings),
    );
    for (const [index, [, ...says]] of expected.entries()) {
      const { message, fix } = findings[index] ?? assert.fail();
      for (const pattern of says) assert.match(`${message}\n${fix}`, new RegExp(pattern, "m"));
    }
  });
}

test("every status and every failure has a sentence about what was seen and one about what to do", () => {
  const codes: FailureCode[] = ["refused_address", "dns", "connect", "tls", "timeout", "reset", "protocol", "aborted"];
  const bad = [100, 304, 307, 400, 401, 402, 403, 404, 405, 408, 410, 413, 415, 418, 425, 429, 500, 502, 599];
  for (const signed of [...codes.map((code) => failed(code, "It failed")), ...bad.map((status) => answered(status))]) {
    assert.equal(isAccepted(signed), false);
    assert.ok(errorOf(signed));
    for (const is_secret_given of [true, false]) {
      const [first] = findingsOf({ ...TRYING, is_secret_given }, signed, null);
      assert.equal(first?.level, "error");
      assert.match(first?.message ?? "", /^[A-Z].*[^.]\.$/);
      assert.match(first?.fix ?? "", /^[A-Z].*[^.]\.$/);
    }
  }
  for (const status of [200, 201, 204, 299]) {
    assert.equal(isAccepted(answered(status)), true);
    assert.equal(errorOf(answered(status)), null);
  }
});
