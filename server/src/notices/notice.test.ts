import assert from "node:assert/strict";
import { test } from "node:test";
import { NOTICE_TYPES, Notice } from "#contract/notices.ts";
import { parseLinkMeWebhookEnvelope } from "../../../sdk/node/src/index.ts";
import {
  composeBody,
  composeLog,
  composeMail,
  createNotice,
  type NewNotice,
  RETRY_DELAYS_MS,
  type SendRow,
  settle,
  showNotice,
} from "./notice.ts";

const NOW = Date.UTC(2026, 0, 31, 9, 30);
const PAUSED: NewNotice = {
  type: "webhook.paused",
  message: "Webhook dst_1 of app app_1 is paused.",
  data: { host: "hooks.example.com", note: "Subject: x\r\nBcc: evil@example.com" },
  app_id: "app_1",
  destination_id: "dst_1",
};
const SEND: SendRow = {
  ...{ notice_id: "n1", channel: "webhook", state: "pending", attempts: 1, due_at: NOW, sent_at: null, error: null },
};

test("the operator's webhook gets the wire form of every event, with the facts in its data", () => {
  const body = composeBody(createNotice(PAUSED, "n1", NOW));
  assert.deepEqual(parseLinkMeWebhookEnvelope(JSON.parse(body)), {
    id: "n1",
    event: "webhook.paused",
    ts: "2026-01-31T09:30:00.000Z",
    app_id: "app_1",
    data: { severity: "warning", message: PAUSED.message, destination_id: "dst_1", ...PAUSED.data },
  });
  const without_app = composeBody(createNotice({ type: "disk.low", message: "m", data: {} }, "n2", NOW));
  assert.equal("app_id" in parseLinkMeWebhookEnvelope(JSON.parse(without_app)), false);
});

test("a mail says what happened in its subject and its text, and nothing in it becomes a header", () => {
  const one = composeMail([createNotice(PAUSED, "n1", NOW)]);
  assert.equal(one.subject, "[LinkMe] Webhook paused: dst_1");
  for (const part of [PAUSED.message, "app_id: app_1", "host: hooks.example.com", "2026-01-31T09:30:00.000Z"]) {
    assert.ok(one.text.includes(part), part);
  }
  const odd = createNotice({ type: "disk.low", message: "m", data: { node: "a\r\nBcc: evil@example.com" } }, "n2", NOW);
  assert.equal(composeMail([odd]).subject, "[LinkMe] Little disk space left: a Bcc: evil@example.com");
});

test("what is told together comes in one mail, oldest first", () => {
  const { subject, text } = composeMail([
    createNotice(PAUSED, "n1", NOW),
    createNotice({ type: "disk.low", message: "Free space.", data: {} }, "n2", NOW + 1),
  ]);
  assert.equal(subject, "[LinkMe] 2 notices");
  assert.ok(text.indexOf(PAUSED.message) < text.indexOf("Free space."));
});

test("every type has a title, a severity, a log line and a form that the API may show", () => {
  for (const type of NOTICE_TYPES) {
    const notice = createNotice({ type, message: "m", data: { a: 1 } }, "n1", NOW);
    assert.doesNotMatch(composeMail([notice]).subject, /undefined/);
    assert.equal(composeLog(notice)["type"], type);
    Notice.parse(showNotice(notice, [SEND, { ...SEND, channel: "mail", state: "sent", due_at: null, sent_at: NOW }]));
  }
});

test("an attempt that fails is made again with growing gaps, a bounded number of times", () => {
  let send = SEND;
  const gaps: number[] = [];
  let at = NOW;
  for (;;) {
    const after = settle(send, "503", at);
    if (after.due_at === null) {
      assert.deepEqual([after.state, after.error, after.attempts], ["failed", "503", RETRY_DELAYS_MS.length + 1]);
      break;
    }
    assert.equal(after.state, "pending");
    gaps.push(after.due_at - at);
    at = after.due_at;
    send = { ...after, attempts: after.attempts + 1 };
  }
  assert.deepEqual(gaps, RETRY_DELAYS_MS);
  assert.ok(gaps.every((gap, index) => gap > (gaps[index - 1] ?? 0)));
  assert.deepEqual(settle({ ...SEND, error: "503" }, null, NOW + 5), {
    ...SEND,
    ...{ state: "sent", due_at: null, sent_at: NOW + 5, error: null },
  });
});
