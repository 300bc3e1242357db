import assert from "node:assert/strict";
import { test } from "node:test";
import { createSharedWork } from "./shared-work.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

function openLooks() {
  const begun: { argument: number; end(): void; fail(): void }[] = [];
  const share = createSharedWork((argument: number) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    begun.push({ argument, end: () => resolve(`of ${argument}`), fail: () => reject(new Error("away")) });
    return promise;
  });
  return { begun, share };
}

test("who asks while a look is under way shares the next one, which knows the newest question", async () => {
  const { begun, share } = openLooks();
  const first = share("a", 1);
  const later = [share("a", 2), share("a", 3)];
  void share("b", 9);
  assert.deepEqual(
    begun.map(({ argument }) => argument),
    [1, 9],
  );
  begun[0]?.end();
  assert.equal(await first, "of 1");
  await yieldToEventLoop();
  const latest = share("a", 4);
  begun[2]?.end();
  assert.deepEqual(await Promise.all(later), ["of 3", "of 3"]);
  await yieldToEventLoop();
  begun[3]?.end();
  assert.equal(await latest, "of 4");
  void share("a", 5);
  assert.equal(begun.at(-1)?.argument, 5, "with none under way it begins at once");
});

test("a look that fails is the failure of those who shared it alone", async () => {
  const { begun, share } = openLooks();
  const first = share("a", 1);
  const second = share("a", 2);
  begun[0]?.fail();
  await assert.rejects(first, /away/);
  await yieldToEventLoop();
  begun[1]?.end();
  assert.equal(await second, "of 2");
});
