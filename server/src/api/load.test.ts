import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { AppError } from "../errors.ts";
import {
  ADDRESS_BODIES_MAX_BYTES,
  APP_BODIES_MAX_BYTES,
  BODIES_MAX_BYTES,
  BODY_MAX_BYTES,
  type Caller,
  createLoad,
  type Load,
  PUBLIC_BODIES_MAX_BYTES,
} from "./load.ts";

const MIB = 1024 * 1024;
const app = (id: string): Caller => ({ kind: "app", id });
const address = (id: string): Caller => ({ kind: "address", id });

/** A request whose body comes when the test says so. */
function watched(load: Load, caller: Caller, headers: Record<string, string> = { "transfer-encoding": "chunked" }) {
  const request = Object.assign(new EventEmitter(), { headers });
  const response = new EventEmitter();
  const refusals: unknown[] = [];
  // Who reads the body listens until it is refused.
  request.once("error", (error) => refusals.push(error));
  // What the load uses of both.
  load.watch(caller, request as unknown as IncomingMessage, response as unknown as ServerResponse);
  return {
    refusals,
    refuse: () => void request.removeAllListeners("error"),
    send: (bytes: number) => void request.emit("data", Buffer.alloc(bytes)),
    end: () => void response.emit("close"),
  };
}

/** Requests that hold so many bytes together, none more than one may have. */
function fill(load: Load, caller: Caller, bytes: number) {
  const requests = Array.from({ length: bytes / BODY_MAX_BYTES }, () => watched(load, caller));
  for (const { send } of requests) send(BODY_MAX_BYTES);
  return { refused: () => requests.filter(({ refusals }) => refusals.length > 0).length, requests };
}

test("bodies are taken up to the limit, and again when one is answered", () => {
  const load = createLoad();
  const { requests, refused } = fill(load, app("a"), APP_BODIES_MAX_BYTES);
  fill(load, app("b"), BODIES_MAX_BYTES - APP_BODIES_MAX_BYTES);
  assert.equal(refused(), 0);
  const late = watched(load, app("c"));
  late.send(1);
  const [refusal] = late.refusals;
  assert.ok(refusal instanceof AppError);
  assert.deepEqual([refusal.code, refusal.retry_after_seconds], ["temporarily_unavailable", 1]);
  late.send(MIB);
  assert.equal(late.refusals.length, 1, "it is refused once");
  requests[0]?.end();
  const next = watched(load, app("c"));
  next.send(MIB);
  assert.deepEqual(next.refusals, [], "what was refused weighs nothing");
});

test("one app can never hold all the room, and one address not that of all strangers", () => {
  const load = createLoad();
  assert.equal(fill(load, app("a"), APP_BODIES_MAX_BYTES + MIB).refused(), 1);
  const other = watched(load, app("b"));
  other.send(MIB);
  assert.deepEqual(other.refusals, []);
  assert.equal(fill(load, address("192.0.2.1"), ADDRESS_BODIES_MAX_BYTES + MIB).refused(), 1);
  const device = watched(load, address("192.0.2.2"));
  device.send(2_000);
  assert.deepEqual(device.refusals, []);
});

test("strangers take nothing of the room of callers with a token", () => {
  const load = createLoad();
  const count = PUBLIC_BODIES_MAX_BYTES / ADDRESS_BODIES_MAX_BYTES;
  for (let n = 0; n < count; n++) fill(load, address(`192.0.2.${n}`), ADDRESS_BODIES_MAX_BYTES);
  const stranger = watched(load, address("198.51.100.1"));
  stranger.send(1);
  assert.equal(stranger.refusals.length, 1);
  assert.equal(fill(load, app("a"), APP_BODIES_MAX_BYTES).refused(), 0);
});

test("one that is too large by itself is left to its reader, which refuses it for good", () => {
  const load = createLoad();
  const large = watched(load, address("192.0.2.1"));
  large.send(ADDRESS_BODIES_MAX_BYTES + 1);
  assert.deepEqual(large.refusals, []);
  large.refuse();
  large.send(1);
  const next = watched(load, address("192.0.2.1"));
  next.send(MIB);
  assert.deepEqual(next.refusals, [], "what is dropped weighs nothing");
});

test("a body that nobody reads is not refused, and weighs nothing", () => {
  const load = createLoad();
  const unread = watched(load, address("192.0.2.1"));
  unread.refuse();
  unread.send(PUBLIC_BODIES_MAX_BYTES);
  const next = watched(load, address("192.0.2.1"));
  next.send(MIB);
  assert.deepEqual([...unread.refusals, ...next.refusals], []);
});

test("a body weighs what has come of it, whatever it announces", () => {
  const load = createLoad();
  for (let n = 0; n < 1_000; n++) watched(load, app("slow"), { "content-length": "1048576" }).send(1);
  const other = watched(load, app("slow"), { "content-length": "1000" });
  other.send(1_000);
  assert.deepEqual(other.refusals, []);
});

test("a call without a body is not counted at all", () => {
  const request = Object.assign(new EventEmitter(), { headers: {} });
  const response = new EventEmitter();
  // What the load uses of both.
  createLoad().watch(app("a"), request as unknown as IncomingMessage, response as unknown as ServerResponse);
  assert.deepEqual(
    [request.listenerCount("data"), response.listenerCount("close"), response.listenerCount("finish")],
    [0, 0, 0],
  );
});
