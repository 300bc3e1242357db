// Hand-offs to queues: what they are called with, within what each of them takes, and that a refusal is no 200.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HandOff } from "../../src/receiver/index.ts";
import { bullHandOff, cloudTasksHandOff, sqsHandOff } from "../../src/receiver/queues.ts";
import { CLICK, openReceiver } from "../support/receiver.ts";

const QUEUE = "projects/p/locations/europe-west1/queues/linkme";
const EVENT = { ...CLICK, data: { ...CLICK.data, dest_url: "https://shop.example/größe/👟" } };

/** The three of them, each with how it is called and whether it refuses. */
const queues: [name: string, open: (call: (...args: unknown[]) => Promise<unknown>) => HandOff, expected: unknown[]][] =
  [
    ["BullMQ", (add) => bullHandOff({ add }), ["link.click", EVENT, { jobId: `shop_${CLICK.id}_job` }]],
    [
      "SQS",
      (sendMessage) => sqsHandOff({ sendMessage }, "https://sqs.example/1/linkme"),
      [{ QueueUrl: "https://sqs.example/1/linkme", MessageBody: JSON.stringify(EVENT) }],
    ],
    [
      "Cloud Tasks",
      (createTask) =>
        cloudTasksHandOff({ client: { createTask }, queue: QUEUE, url: "https://w.example/", service_account: "a@b" }),
      [
        {
          parent: QUEUE,
          task: {
            httpRequest: {
              httpMethod: "POST",
              url: "https://w.example/",
              headers: { "content-type": "application/json" },
              body: Buffer.from(JSON.stringify(EVENT)).toString("base64"),
              oidcToken: { serviceAccountEmail: "a@b" },
            },
          },
        },
      ],
    ],
  ];

for (const [name, open, expected] of queues) {
  test(`${name} is given the event once, and a worker finishes it`, async () => {
    const calls: unknown[][] = [];
    const { send, receiver } = openReceiver({ handOff: open(async (...args) => calls.push(args)) });
    assert.deepEqual([(await send(EVENT)).outcome.kind, (await send(EVENT)).outcome.kind], ["handed_off", "duplicate"]);
    assert.deepEqual(calls, [expected]);
    receiver.on("link.click", () => {});
    assert.equal((await receiver.process(EVENT)).kind, "processed");
  });

  test(`${name} that refuses is answered 503, and asked again with the next delivery`, async () => {
    let is_away = true;
    const call = async () => {
      if (is_away) throw new Error("unavailable");
    };
    const { send, told } = openReceiver({ handOff: open(call) });
    assert.deepEqual([(await send(EVENT)).status, told.length], [503, 1]);
    is_away = false;
    assert.equal((await send(EVENT)).outcome.kind, "handed_off");
  });
}

test("a job's id has no colon, whatever the ids of app and event are", async () => {
  const ids: string[] = [];
  const handOff = bullHandOff({ add: async (_name, _data, { jobId }) => ids.push(jobId) });
  for (const id of ["a:b", "7", "ü/👟"]) await handOff.enqueue({ id, event: "e" });
  assert.equal(new Set(ids).size, 3);
  for (const id of ids) assert.ok(!id.includes(":") && !/^\d+$/.test(id), id);
});
