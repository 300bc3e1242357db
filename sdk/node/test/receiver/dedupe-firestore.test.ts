// The dedupe store in Firestore, against a fake with its transactions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { firestoreDedupe } from "../../src/receiver/dedupe-firestore.ts";
import { testDedupeStore } from "../support/dedupe-suite.ts";
import { openFakeFirestore } from "../support/fake-firestore.ts";
import { CLICK, NOW, openReceiver } from "../support/receiver.ts";

testDedupeStore("Firestore", () => {
  const firestore = openFakeFirestore();
  const clock = { now: NOW };
  return {
    open: () => firestoreDedupe({ firestore, now: () => clock.now }),
    pass(span_ms) {
      clock.now += span_ms;
    },
  };
});

test("two that begin at the same moment are told apart by the transaction", async () => {
  const firestore = openFakeFirestore();
  const [one, other] = [firestoreDedupe({ firestore }), firestoreDedupe({ firestore })];
  const answers = await Promise.all([one.begin("k", 1_000), other.begin("k", 1_000)]);
  assert.deepEqual([answers.sort(), firestore.retries()], [["fresh", "in_progress"], 1]);
});

test("a document says when it is over as a time, for the TTL policy of its collection", async () => {
  const firestore = openFakeFirestore();
  const store = firestoreDedupe({ firestore, collection: "seen", now: () => NOW });
  await store.done("k", 60_000);
  const found = await firestore.runTransaction(async (transaction) =>
    (await transaction.get(firestore.collection("seen").doc("k"))).data(),
  );
  // Firestore's own type of times.
  const expires_at = found?.["expires_at"] as { toMillis(): number };
  assert.deepEqual([expires_at.toMillis(), found?.["is_done"]], [NOW + 60_000, true]);
});

test("a receiver handles an event once over two processes", async () => {
  const firestore = openFakeFirestore();
  let calls = 0;
  for (const expected of ["processed", "duplicate"]) {
    const { receiver, send } = openReceiver({ dedupe: firestoreDedupe({ firestore, now: () => NOW }) });
    receiver.on("link.click", () => {
      calls += 1;
    });
    assert.equal((await send(CLICK)).outcome.kind, expected);
  }
  assert.equal(calls, 1);
});
