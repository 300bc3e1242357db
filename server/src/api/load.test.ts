import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { BODIES_MAX_BYTES, createLoad, PUBLIC_BODIES_MAX_BYTES } from "./load.ts";

const BODY_MAX_BYTES = 1024 * 1024;

/** What the load reads of a request and its answer. */
function exchange(headers: Record<string, string>) {
  const set = new Map<string, string>();
  const response = Object.assign(new EventEmitter(), {
    setHeader: (name: string, value: string) => set.set(name, value),
  });
  return {
    request: { headers } as unknown as IncomingMessage,
    response: response as unknown as ServerResponse,
    set,
    end: () => response.emit("close"),
  };
}

function fill(load: ReturnType<typeof createLoad>, scope: "sdk" | "app_write", count: number) {
  return Array.from({ length: count }, () => {
    const one = exchange({ "content-length": String(BODY_MAX_BYTES) });
    load.enter(scope, one.request, one.response);
    return one;
  });
}

test("bodies are taken up to the limit, and again when one is answered", () => {
  const load = createLoad(BODY_MAX_BYTES);
  const [first] = fill(load, "app_write", BODIES_MAX_BYTES / BODY_MAX_BYTES);
  const late = exchange({ "content-length": "1" });
  assert.throws(() => load.enter("app_write", late.request, late.response), {
    code: "temporarily_unavailable",
    retry_after_seconds: 1,
  });
  assert.equal(late.set.get("connection"), "close", "the body that nobody reads must not be taken for a request");
  first?.end();
  assert.doesNotThrow(() => load.enter("app_write", late.request, late.response));
});

test("a stranger's bodies take nothing of the room of callers with a token", () => {
  const load = createLoad(BODY_MAX_BYTES);
  fill(load, "sdk", PUBLIC_BODIES_MAX_BYTES / BODY_MAX_BYTES);
  const stranger = exchange({ "content-length": "1" });
  assert.throws(() => load.enter("sdk", stranger.request, stranger.response), { code: "temporarily_unavailable" });
  assert.doesNotThrow(() => fill(load, "app_write", BODIES_MAX_BYTES / BODY_MAX_BYTES));
});

test("a body of unknown length weighs as much as one may, and a call without one nothing", () => {
  const load = createLoad(BODY_MAX_BYTES);
  fill(load, "app_write", BODIES_MAX_BYTES / BODY_MAX_BYTES - 1);
  const chunked = exchange({ "transfer-encoding": "chunked" });
  load.enter("app_write", chunked.request, chunked.response);
  const next = exchange({ "transfer-encoding": "chunked" });
  assert.throws(() => load.enter("app_write", next.request, next.response), { code: "temporarily_unavailable" });
  const bare = exchange({});
  assert.doesNotThrow(() => load.enter("app_write", bare.request, bare.response));
});

test("a body that is too long by its own word weighs no more than is read of it", () => {
  const load = createLoad(BODY_MAX_BYTES);
  const huge = exchange({ "content-length": "99999999999" });
  assert.doesNotThrow(() => load.enter("app_write", huge.request, huge.response));
  assert.doesNotThrow(() => fill(load, "app_write", BODIES_MAX_BYTES / BODY_MAX_BYTES - 1));
});
