// What is missed at the beginning and end of a stop: events are dated by other clocks, and before they are stored.
import assert from "node:assert/strict";
import { test } from "node:test";
import { input } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openStops } from "../../test/support/stops.ts";

const MINUTE_MS = 60_000;

forEachEngine((engine) => {
  test("what nothing was stored for while the change that turns it on was being stored is missed, too, unless it takes others since", async () => {
    const { clock, destinations, addEvents, patch, countOf, turnOffAndOn } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await turnOffAndOn(id, 2);
    await addEvents(3);
    assert.equal(await countOf(id), 5);
    clock.at += 10_000;
    await addEvents(4);
    assert.equal(await countOf(id), 5, "by then it was on everywhere");
    await addEvents(1, { event: "link.claim" });
    await turnOffAndOn(id);
    await addEvents(1, { event: "link.claim" });
    await patch(id, { events: ["link.claim", "link.click"] });
    await addEvents(1, { event: "link.claim" });
    assert.equal(await countOf(id), 2, "of the clicks; it took no claims when it was turned on");
  });

  test("what was missed in one of several stops within seconds counts once", async () => {
    const { clock, destinations, addEvents, patch, countOf } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += MINUTE_MS;
    const set = async (changes: object) => {
      await patch(id, changes);
      clock.at -= 900;
    };
    await set({ enabled: false });
    await addEvents(1);
    await set({ enabled: true });
    await set({ enabled: false });
    await set({ enabled: true, events: ["link.claim"] });
    await set({ events: ["link.click"] });
    await set({ enabled: false });
    await addEvents(1);
    await set({ enabled: true });
    assert.equal(await countOf(id), 2);
  });
});
