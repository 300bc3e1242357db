// Answers that are streams of server-sent events: the events of an app, the deliveries of a webhook. Whatever happens, a client
// that comes again with the id of the last message it has goes on behind that: so a stream is ended without ado when its
// client is too slow, when the server stops, or when something goes wrong. A stream reads on only while its client does.
import type { FastifyReply, FastifyRequest } from "fastify";
import type { DeliveryTail } from "../deliveries/tail.ts";
import { AppError, unavailable } from "../errors.ts";
import type { EventTail } from "../events/tail.ts";
import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { Source } from "../platform/stream.ts";
import type { Handlers } from "./bind.ts";
import { createSender, messageOf, type Sender } from "./sse.ts";

const STREAMS_MAX = 200;
export const STREAMS_PER_APP_MAX = 20;
const RETRY_AFTER_SECONDS = 5;
/** Whether the caller still may is asked so often. */
export const CHECK_MS = 5_000;
export const HEARTBEAT_MS = 15_000;
/** How long clients wait before they connect again. */
const RECONNECT_MS = 1_000;
const LAST_ID_MAX_CHARS = 512;

export interface StreamsOptions {
  /** Calls back after each commit that may concern the topic; answers what ends that. */
  follow(topic: string, wake: () => void): () => void;
  clock: Clock;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
}

export interface StreamPlan {
  app_id: string;
  topic: string;
  open(): Promise<Source>;
  /** Throws when the caller may not read it any more, or it is gone. */
  check(): Promise<unknown>;
}

export interface Slot {
  readonly app_id: string;
  end(): void;
}

export type Streams = ReturnType<typeof createStreams>;

export function createStreams(options: StreamsOptions) {
  const slots = new Set<Slot>();
  let is_stopping = false;

  /** @throws AppError rate_limited, temporarily_unavailable, or what `open` throws; nothing once the stream has begun */
  async function serve({ request, reply }: Answered, plan: StreamPlan): Promise<void> {
    const slot: Slot = { app_id: plan.app_id, end: () => {} };
    take(slot);
    try {
      const source = await plan.open();
      reply.hijack();
      // None of Fastify's headers is undefined, which its type allows.
      const headers = { ...reply.getHeaders(), "content-type": "text/event-stream", "x-accel-buffering": "no" };
      reply.raw.writeHead(200, headers as Record<string, string>);
      if (is_stopping || request.raw.destroyed) reply.raw.end();
      else await runStream({ ...options, ...plan, source, response: reply.raw, slot });
    } finally {
      slots.delete(slot);
    }
  }

  function take(slot: Slot): void {
    if (is_stopping) throw unavailable("The server is stopping. Connect again.", RETRY_AFTER_SECONDS);
    if (slots.size >= STREAMS_MAX) {
      throw unavailable(`This process has ${STREAMS_MAX} streams open. Connect again later.`, RETRY_AFTER_SECONDS);
    }
    let of_app = 0;
    for (const { app_id } of slots) if (app_id === slot.app_id) of_app++;
    if (of_app >= STREAMS_PER_APP_MAX) throw tooManyOfApp();
    slots.add(slot);
  }

  /** Ends all streams at once, and refuses new ones. */
  function stop(): void {
    is_stopping = true;
    for (const slot of slots) slot.end();
  }

  return { serve, stop, count: () => slots.size };
}

interface Answered {
  request: FastifyRequest;
  reply: FastifyReply;
}

function tooManyOfApp(): AppError {
  const message = `The app has ${STREAMS_PER_APP_MAX} streams open in this process; close one, or connect again later.`;
  return new AppError("rate_limited", message, { retry_after_seconds: RETRY_AFTER_SECONDS });
}

export interface StreamRun extends StreamsOptions, Pick<StreamPlan, "topic" | "check"> {
  response: Parameters<typeof createSender>[0];
  source: Source;
  slot: { end(): void };
}

/** Resolves when the stream has ended; never rejects. */
export async function runStream(run: StreamRun): Promise<void> {
  const { clock, topic, log } = run;
  const rest = createRest();
  const sender = createSender(run.response, clock, {
    ended: rest.wake,
    dropped: (waiting_bytes) => log("stream.dropped", { topic, waiting_bytes }),
  });
  run.slot.end = sender.end;
  const unfollow = run.follow(topic, rest.wake);
  let is_due = false;
  let cancelCheck = () => {};
  const schedule = () => {
    cancelCheck = clock.after(CHECK_MS, () => {
      is_due = true;
      rest.wake();
      schedule();
    });
  };
  schedule();
  try {
    const takeCheck = () => {
      const was_due = is_due;
      is_due = false;
      return was_due;
    };
    await sendAll(run, sender, rest, takeCheck);
  } catch (error) {
    // Its client comes again, and is told by the answer when this is the client's own doing.
    const is_expected = error instanceof AppError || isDatabaseError(error, "unavailable");
    if (!is_expected) log("stream.failed", { topic, error }, "warn");
  }
  cancelCheck();
  unfollow();
  sender.end();
}

async function sendAll(
  { source, check, clock }: StreamRun,
  sender: Sender,
  rest: ReturnType<typeof createRest>,
  isCheckDue: () => boolean,
): Promise<void> {
  let cursor = source.cursor();
  await sender.send(`retry: ${RECONNECT_MS}\nid: ${cursor}\n\n`);
  if (source.notice !== null) await sender.send(messageOf(cursor, JSON.stringify({ message: source.notice }), "reset"));
  while (sender.isOpen()) {
    rest.begin();
    const is_check = isCheckDue();
    if (is_check) await check();
    const { messages, is_done } = await source.next();
    for (const { id, data } of messages) {
      if (!sender.isOpen()) return;
      cursor = id;
      await sender.send(messageOf(id, data));
    }
    if (is_check && clock.now() - sender.sentAt() >= HEARTBEAT_MS) {
      // An id without data moves the client's place, so that there is less to look through when it comes again.
      const moved = source.cursor();
      await sender.send(moved === cursor ? ": still here\n\n" : `: still here\nid: ${moved}\n\n`);
      cursor = moved;
    }
    if (is_done && sender.isOpen()) await rest.untilWoken();
  }
}

/** A wake that comes while its owner works is not forgotten. */
function createRest() {
  let is_woken = false;
  let resolve = () => {};
  return {
    begin() {
      is_woken = false;
    },
    wake() {
      is_woken = true;
      resolve();
    },
    untilWoken(): Promise<void> {
      if (is_woken) return Promise.resolve();
      return new Promise((done) => {
        resolve = done;
      });
    },
  };
}

type Names = "streamEvents" | "streamDeliveries";

export function streamHandlers(streams: Streams, events: EventTail, deliveries: DeliveryTail): Handlers<Names> {
  return {
    streamEvents(call) {
      const { params, query, request } = call;
      const { since, ...filter } = query;
      const start = { since, last_id: lastIdOf(request) };
      const open = () => events.open(params.app_id, filter, start);
      return streams.serve(call, { app_id: params.app_id, topic: params.app_id, open, check: call.enterAgain });
    },
    async streamDeliveries(call) {
      const { params, access, request } = call;
      const destination = await deliveries.find(params.id, access.app_scope);
      const check = async () => {
        await call.enterAgain();
        await deliveries.find(params.id, access.app_scope);
      };
      const open = () => deliveries.open(destination, lastIdOf(request));
      await streams.serve(call, { app_id: destination.app_id, topic: destination.id, open, check });
    },
  };
}

/** An empty one is what a client sends that has had none. */
function lastIdOf({ headers }: FastifyRequest): string | undefined {
  const last_id = headers["last-event-id"];
  return typeof last_id === "string" && last_id !== "" ? last_id.slice(0, LAST_ID_MAX_CHARS + 1) : undefined;
}
