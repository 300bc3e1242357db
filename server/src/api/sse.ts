// Server-sent events to one client, at the client's own pace: what waits for it is bounded, and a client that takes too long
// for that is dropped. Used by streams.ts.
import type { ServerResponse } from "node:http";
import type { Clock } from "../platform/clock.ts";

/** Bytes that wait for a client; then nothing more is written until it has taken them. */
export const WAITING_MAX_BYTES = 512 * 1024;
/** How long a client may take for that. */
export const SLOW_MAX_MS = 10_000;

/** The part of an answer that is used. */
export type StreamResponse = Pick<
  ServerResponse,
  "write" | "writableLength" | "destroyed" | "destroy" | "end" | "on" | "off"
>;

export interface Sender {
  isOpen(): boolean;
  /** Resolves when more may be sent, or nothing more will be. */
  send(text: string): Promise<void>;
  sentAt(): number;
  /** Ends the answer, or the connection when its client has not taken everything. */
  end(): void;
}

export function createSender(
  response: StreamResponse,
  clock: Clock,
  told: { ended(): void; dropped(waiting_bytes: number): void },
): Sender {
  let is_open = !response.destroyed;
  let sent_at = clock.now();
  let goOn = () => {};
  response.on("close", close);
  // A connection that breaks is told by "close" too.
  response.on("error", () => {});

  function close(): void {
    if (!is_open) return;
    is_open = false;
    goOn();
    told.ended();
  }

  async function send(text: string): Promise<void> {
    if (!is_open) return;
    response.write(text);
    sent_at = clock.now();
    if (response.writableLength > WAITING_MAX_BYTES) await taken();
  }

  function taken(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(SLOW_MAX_MS, () => {
        told.dropped(response.writableLength);
        response.destroy();
        close();
      });
      goOn = () => {
        cancel();
        response.off("drain", goOn);
        goOn = () => {};
        resolve();
      };
      response.on("drain", goOn);
    });
  }

  function end(): void {
    const is_taken = response.writableLength === 0;
    close();
    if (response.destroyed) return;
    if (is_taken) response.end();
    else response.destroy();
  }

  return { isOpen: () => is_open, send, sentAt: () => sent_at, end };
}

/** @param data one line */
export function messageOf(id: string, data: string, event?: string): string {
  return event === undefined ? `id: ${id}\ndata: ${data}\n\n` : `event: ${event}\nid: ${id}\ndata: ${data}\n\n`;
}
