import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reading } from "../notices/conditions.ts";
import { createDrainWatch, STUCK_MS } from "./drain-watch.ts";

const LOOK_MS = 60_000;

function open() {
  const clock = { at: 0 };
  const seqs: number[] = [];
  const state = { is_broken: false };
  const spool = {
    count: () => seqs.length,
    async read(after: number, limit: number) {
      if (state.is_broken) throw new Error("the disk cannot be read");
      return seqs
        .filter((seq) => seq > after)
        .slice(0, limit)
        .map((seq) => ({ seq, body: "" }));
    },
  };
  // The clock goes on while a look is under way.
  const watch = createDrainWatch({ spool, node: "a:/data", now: () => clock.at++ });
  const look = async (): Promise<Reading> => {
    clock.at += LOOK_MS;
    return watch.look();
  };
  return { seqs, state, look, noteLost: watch.noteLost };
}

test("a spool whose oldest click stays for minutes is not drained", async () => {
  const { seqs, look } = open();
  assert.equal((await look()).state, "gone");
  seqs.push(7, 8);
  const states: string[] = [];
  for (let n = 0; n * LOOK_MS <= STUCK_MS; n++) states.push((await look()).state);
  assert.deepEqual(
    states.slice(1, -1),
    states.slice(1, -1).map(() => "between"),
  );
  const last = await look();
  assert.ok(last.state === "holds");
  assert.equal(last.begin.type, "drain.failing");
  assert.match(last.begin.message, /^2 clicks wait in the spool at a:\/data and cannot be stored/);
  assert.deepEqual(last.begin.data["clicks"], 2);
  seqs.length = 0;
  const after = await look();
  assert.ok(after.state === "gone" && after.end(1_000).type === "drain.recovered");
});

test("one that moves is drained, however full it is", async () => {
  const { seqs, look } = open();
  for (let n = 1; n < 30; n++) {
    seqs.splice(0, seqs.length, n, n + 1_000);
    assert.equal((await look()).state, "gone");
  }
});

test("one that cannot be read is not drained either", async () => {
  const { seqs, state, look } = open();
  seqs.push(7);
  await look();
  state.is_broken = true;
  for (let n = 0; n * LOOK_MS < STUCK_MS; n++) await look();
  assert.equal((await look()).state, "holds");
});

test("one that takes no clicks loses them, and says how many", async () => {
  const { look, noteLost } = open();
  noteLost(3);
  noteLost(4);
  const reading = await look();
  assert.ok(reading.state === "holds");
  assert.match(reading.begin.message, /7 of them were redirected without a token/);
  assert.equal((await look()).state, "gone");
});
