// A receiver that asks to be left alone, on both engines: what waits for it says so, and a correction of its webhook ends that.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openPipeline } from "../../test/support/pipeline.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { deliveryId } from "../deliveries/delivery.ts";

/** As many answers in a row as hold a webhook back (limit.ts). */
const ASKED = 3;

forEachEngine((engine) => {
  test("an event that waits because the receiver asks for less says so, and is sent at once when the URL is corrected", async () => {
    const { destinations, deliveries, dispatcher, events } = await openPipeline(engine);
    const paths: string[] = [];
    const receiver = await startReceiver(({ path }) => {
      paths.push(path);
      return path === "/old" ? { status: 429, headers: { "retry-after": "3600" } } : { status: 204 };
    });
    after(() => receiver.close());
    const settings = { url: `${receiver.url}/old`, events: ["link.click"], retry_schedule: [3_600] };
    const { id } = await destinations.createWebhook("shop", WebhookCreate.parse(settings));
    await dispatcher.start();
    const click = { event: "link.click" as const, data: {} };
    await events.ingest("shop", Array(ASKED).fill(click));
    await waitUntil(async () => (dispatcher.limitsOf(id)?.held_until ?? null) !== null, "the webhook to be held back");

    const { accepted } = await events.ingest("shop", [click]);
    const [event_id = ""] = accepted;
    const kept = /The webhook is sent nothing until \S+Z\. The receiver asked for less \(429 or Retry-After\)\.$/;
    await waitUntil(async () => {
      const [fate] = (await events.getEvent(event_id, "shop")).fates;
      return kept.test(fate?.reason ?? "");
    }, "its fate to name the limit");
    const delivery = await deliveries.getDelivery(deliveryId({ destination_id: id, position: event_id }), "shop");
    assert.match(delivery.reason ?? "", kept);
    const [listed] = (await deliveries.listDeliveries(id, "shop", {}, { limit: 1 })).items;
    assert.equal(listed?.reason, delivery.reason);

    await destinations.patchWebhook(id, null, { url: `${receiver.url}/new` });
    await waitUntil(async () => paths.includes("/new"), "the event to be sent to the new URL");
    assert.equal(paths.filter((path) => path === "/old").length, ASKED, "nothing more went to the old one");
    await waitUntil(async () => {
      const [fate] = (await events.getEvent(event_id, "shop")).fates;
      return fate?.state === "succeeded";
    }, "the event to have arrived");
  });
});
