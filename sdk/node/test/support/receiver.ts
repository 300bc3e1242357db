// Requests for receivers under test, signed at the time of the test's own clock.
import {
  createReceiver,
  type ErrorContext,
  type Receiver,
  type ReceiverOptions,
  signTestPayload,
} from "../../src/receiver/index.ts";

export const SECRET = "whsec_w0LVM2ReVJ/UcoK9x4wGhw1K7DV4VRvA1iy1l8K070g=";
export const NOW = Date.parse("2026-02-01T12:00:00.000Z");

export const CLICK = {
  id: "019c1363-4b5c-71f1-84b7-8073442bd4c8",
  event: "link.click",
  ts: "2026-01-31T09:30:00.412Z",
  app_id: "shop",
  data: { link_id: "lnk_1", platform: "ios", dest_url: "https://shop.example/" },
};

export interface Told {
  error: unknown;
  context: ErrorContext;
}

export interface TestReceiver {
  receiver: Receiver;
  /** What `onError` was told, in order. */
  told: Told[];
  clock: { now: number };
  /** Sends an event, signed now. */
  send(event?: object | string): Promise<Awaited<ReturnType<Receiver["receive"]>>>;
}

export function openReceiver(options: Partial<ReceiverOptions> = {}): TestReceiver {
  const clock = { now: NOW };
  const told: Told[] = [];
  const receiver = createReceiver({ secrets: SECRET, now: () => clock.now, ...options });
  receiver.onError((error, context) => told.push({ error, context }));
  async function send(event: object | string = CLICK) {
    const { body, headers } = await signTestPayload(event, { secret: SECRET, at: clock.now });
    return receiver.receive({ method: "POST", headers, body });
  }
  return { receiver, told, clock, send };
}
