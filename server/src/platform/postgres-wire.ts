// `Wire` over LISTEN and NOTIFY: one connection beside the pool that listens, and comes back by itself after every loss.
// It sends itself a word now and then, over the pool. Whoever does not hear it is not connected to what the pool is: the
// connection is dead without knowing it, leads to a server that is primary no more, or goes through a pooler in
// transaction mode, which takes LISTEN and passes nothing on. Used by postgres.ts.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Wire, WireListener } from "./database.ts";

const CHANNEL = "linkme_hints";
/** Between two words to oneself. */
const BEAT_MS = 15_000;
/** A word that takes longer is not coming. */
const ECHO_MAX_MS = 5_000;
const RECONNECT_FIRST_MS = 200;
const RECONNECT_MAX_MS = 5_000;
/** What lets nothing through is not likely to change soon. */
const DEAF_PAUSE_MS = 60_000;
const CLOSE_MAX_MS = 1_000;
const ECHO = "echo ";

/** A connection that listens. */
export interface Line {
  /** Calls back with each text of the channel. */
  onText(listener: (text: string) => void): void;
  /** Resolves when the connection is gone, by itself or closed. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

export interface WireOptions {
  /** Connects and listens. */
  open(channel: string): Promise<Line>;
  notify(channel: string, text: string): Promise<void>;
  /** Resolves after so long; rejects at once when it is told to stop. */
  pause?(delay_ms: number, signal: AbortSignal): Promise<void>;
}

const pauseFor = (delay_ms: number, signal: AbortSignal) => sleep(delay_ms, undefined, { signal, ref: false });

export function createWire({ open, notify, pause = pauseFor }: WireOptions): Wire {
  function listen(listener: WireListener): () => Promise<void> {
    const stopping = new AbortController();
    const { signal } = stopping;
    let is_cut = false;

    async function hold(): Promise<void> {
      for (let delay_ms = RECONNECT_FIRST_MS; !signal.aborted; ) {
        let next_ms = Math.min(delay_ms * 2, RECONNECT_MAX_MS);
        try {
          const line = await open(CHANNEL);
          try {
            const is_deaf = await holdLine(line);
            delay_ms = is_deaf ? DEAF_PAUSE_MS : RECONNECT_FIRST_MS;
            next_ms = delay_ms;
          } finally {
            await line.close();
          }
        } catch (error) {
          sayCut(error);
        }
        await isOver(new Promise(() => {}), delay_ms);
        delay_ms = Math.min(next_ms, RECONNECT_MAX_MS);
      }
    }

    /** Listens until the connection is lost; true when nothing can be heard over it. */
    async function holdLine(line: Line): Promise<boolean> {
      const echo = { text: "", heard: () => {} };
      line.onText((text) => {
        if (text === echo.text) echo.heard();
        else if (!text.startsWith(ECHO)) listener.heard(text);
      });
      let is_ended = false;
      let wake = () => {};
      void line.ended.then(() => {
        is_ended = true;
        wake();
      });
      /** Resolves when the line ends, or whoever asked resolves it; one at a time, for what hangs on `ended` stays for months. */
      const orEnd = () => {
        const either = Promise.withResolvers<void>();
        wake = either.resolve;
        if (is_ended) wake();
        return either;
      };
      listener.missed();
      while (!signal.aborted) {
        const { promise, resolve } = orEnd();
        Object.assign(echo, { text: ECHO + randomUUID(), heard: resolve });
        const is_asked = await notify(CHANNEL, echo.text).then(
          () => true,
          // The pool has no connection, of which others tell; the next beat asks again.
          () => false,
        );
        if (is_asked && !(await isOver(promise, ECHO_MAX_MS))) {
          sayCut(new Error("LISTEN is taken and nothing arrives: is a pooler in transaction mode in between?"));
          return true;
        }
        // Whether it ended before it was heard decides the next line.
        if (is_asked && !is_ended) sayMended();
        if (await isOver(orEnd().promise, BEAT_MS)) break;
      }
      return false;
    }

    /** True when that happens within the time, or when all is over. */
    async function isOver(event: Promise<unknown>, delay_ms: number): Promise<boolean> {
      const settled = new AbortController();
      const late = pause(delay_ms, AbortSignal.any([signal, settled.signal])).then(
        () => false,
        () => true,
      );
      const is_over = await Promise.race([event.then(() => true), late]);
      settled.abort();
      return is_over;
    }

    function sayCut(error: unknown): void {
      if (is_cut || signal.aborted) return;
      is_cut = true;
      listener.cut(error instanceof Error ? error : new Error(String(error)));
    }

    function sayMended(): void {
      if (!is_cut || signal.aborted) return;
      is_cut = false;
      listener.mended();
    }

    const holding = hold();
    return async () => {
      stopping.abort();
      await holding;
    };
  }

  return { send: (text) => notify(CHANNEL, text), listen };
}

/** Connects beside the pool and listens on a channel whose name is our own. */
export async function openLine(config: pg.ClientConfig, channel: string): Promise<Line> {
  const client = new pg.Client(config);
  const ended = Promise.withResolvers<void>();
  client.on("end", () => ended.resolve());
  // Its end is what counts.
  client.on("error", () => ended.resolve());
  try {
    await client.connect();
    await client.query(`listen ${channel}`);
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
  return {
    onText: (listener) => void client.on("notification", ({ payload }) => listener(payload ?? "")),
    ended: ended.promise,
    // A connection that broke has nothing left to close, and one into nowhere never says that it is closed.
    close: () => Promise.race([client.end().catch(() => {}), sleep(CLOSE_MAX_MS, undefined, { ref: false })]),
  };
}
