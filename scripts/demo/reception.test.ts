import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { createReception, isRefused } from "./reception.ts";

const SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgcmVjZXB0aW9uJ3MgdGVzdA==";

function sign(body: string): string {
  return `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`;
}

test("The first try of every third event is refused, and no other", () => {
  const refused = [1, 2, 3, 4, 5, 6, 7].filter((nth) => isRefused(nth, 1));
  assert.deepEqual(refused, [3, 6]);
  assert.deepEqual(
    [1, 2, 3, 6].filter((nth) => isRefused(nth, 2)),
    [],
  );
});

test("Different events are counted, not requests", () => {
  const receive = createReception(SECRET);
  const statuses = ["a", "a", "b", "a", "c", "d", "c"].map((id) => {
    const body = JSON.stringify({ id, event: "link.click" });
    return receive({ "webhook-id": id, "x-linkme-signature": sign(body) }, Buffer.from(body), 0).status;
  });
  assert.deepEqual(statuses, [200, 200, 200, 200, 503, 200, 200]);
});

const BODY = JSON.stringify({ id: "a", event: "link.click" });
const REFUSALS: [string, string, string | undefined, number][] = [
  ["without a signature", BODY, undefined, 401],
  ["with the signature of other bytes", BODY, sign(`${BODY} `), 401],
  ["with a signature in capital letters", BODY, sign(BODY).toUpperCase(), 401],
  ["that is well signed and no JSON", "{", sign("{"), 400],
  ["that is well signed and no envelope", "[]", sign("[]"), 400],
  ["that is well signed and has no id", '{"event":"link.click"}', sign('{"event":"link.click"}'), 400],
];

for (const [what, body, signature, status] of REFUSALS) {
  test(`A request ${what} is answered ${status} and not read`, () => {
    const receive = createReception(SECRET);
    const receipt = receive({ "webhook-id": "a", "x-linkme-signature": signature }, Buffer.from(body), 7);
    assert.deepEqual(
      [receipt.status, receipt.envelope, receipt.signature_is_valid, receipt.received_at],
      [status, null, status !== 401, 7],
    );
    assert.equal(Buffer.from(receipt.body, "base64").toString(), body);
  });
}
