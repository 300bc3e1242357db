// What the dispatcher says while its database is away. What it sends, and when, is for the simulation and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { DatabaseError } from "../platform/database.ts";
import { createDispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { ALONE } from "./presence.ts";

test("a database that is away for minutes is one line a minute, though it is asked every second", async () => {
  const clock = createManualClock();
  const lines: [event: string, failures: unknown][] = [];
  let asked = 0;
  const away = async () => {
    asked++;
    throw new DatabaseError("unavailable", "away");
  };
  const options = {
    store: { findDue: away },
    committer: { channel: () => away },
    destinations: { onChange() {} },
    clock,
    presence: ALONE,
    random: () => 0.5,
    log: (event: string, { failures }: Record<string, unknown>) => void lines.push([event, failures]),
    exclusive: false,
  };
  // Little else is asked of them, for nothing is found to be sent; the look for strays fails by another event.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  await dispatcher.start();
  for (let second = 0; second < 125; second++) {
    clock.pass(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await dispatcher.stop(0);
  assert.ok(asked > 100, `${asked} polls`);
  const polls = lines.filter(([event]) => event === "deliveries.not_polled");
  assert.deepEqual(
    polls.map(([, failures]) => failures),
    [1, 60, 60],
  );
});
