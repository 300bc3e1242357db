import assert from "node:assert/strict";
import { test } from "node:test";
import { EventInput, IngestBatch } from "#contract/events.ts";
import { networkOf } from "../server/src/links/fingerprint.ts";
import { readyLine } from "./processes.ts";
import {
  addressOf,
  batchBody,
  browserRequests,
  claimRequest,
  EVENT_ID_BYTES,
  eventBody,
  ingestRequest,
  manyLinksRequests,
  popularRank,
  slugOf,
  writeDigits,
} from "./workload.ts";

test("The event is 600 bytes that ingest accepts", () => {
  assert.equal(Buffer.byteLength(eventBody()), 600);
  EventInput.parse(JSON.parse(eventBody()));
  assert.equal(IngestBatch.parse(JSON.parse(batchBody(500))).events.length, 500);
});

test("Each request carries its number in a key as long as an event id", () => {
  const { bytes, digits_at } = ingestRequest("/api/apps/app_1/events", "127.0.0.1:80", "sk_1");
  for (const number of [0, 7, 1_234_567, 999_999_999_999]) {
    writeDigits(bytes, digits_at, number);
    const [, body = ""] = Buffer.from(bytes).toString().split("\r\n\r\n");
    const { key } = JSON.parse(body).data;
    assert.equal(key.length, EVENT_ID_BYTES);
    assert.equal(Number(key.slice(-12)), number);
    assert.equal(Buffer.byteLength(body), 600);
  }
});

test("A link is opened by an iPhone, an Android phone and a desktop", () => {
  const texts = browserRequests("/spring", "go.example.com").map(({ bytes }) => Buffer.from(bytes).toString());
  assert.deepEqual(
    texts.map((text) => /iPhone|Android|X11/.exec(text)?.[0]),
    ["iPhone", "Android", "X11"],
  );
  for (const text of texts) assert.match(text, /^GET \/spring HTTP\/1\.1\r\nhost: go\.example\.com\r\n/);
});

test("Each visit of many opens another link", () => {
  const [first] = manyLinksRequests("go.example.com");
  assert.ok(first);
  writeDigits(first.bytes, first.digits_at, 4_711);
  assert.match(Buffer.from(first.bytes).toString(), new RegExp(`^GET /${slugOf(4_711)} HTTP/1\\.1\r\nhost: go`));
});

test("Each claim comes from the address that its token is for, and says how long it is", () => {
  const { bytes, digits_at } = claimRequest("go.example.com", "app_1");
  for (const number of [0, 4_711, 987_654_321_012]) {
    writeDigits(bytes, digits_at, number);
    const [head = "", body = ""] = Buffer.from(bytes).toString().split("\r\n\r\n");
    const address = /\r\nx-forwarded-for: (\S+)\r\n/.exec(head)?.[1] ?? "";
    assert.equal(address, addressOf(number));
    assert.notEqual(networkOf(address), null);
    assert.equal(Number(/content-length: (\d+)/.exec(head)?.[1]), Buffer.byteLength(body));
  }
  assert.notEqual(networkOf(addressOf(1)), networkOf(addressOf(2)));
});

test("Of many links the n-th is wanted about a n-th as often as the first", () => {
  const count = 1_000;
  const draws = 100_000;
  const seen = new Array<number>(count).fill(0);
  for (let n = 0; n < draws; n++) seen[popularRank(count, n / draws)]! += 1;
  const first = (draws * Math.log(2)) / Math.log(count + 1);
  for (const number of [0, 1, 9, 99, count - 1]) {
    const expected = first * Math.log2((number + 2) / (number + 1));
    assert.ok(Math.abs(seen[number]! - expected) <= 1, `${number}: ${seen[number]}, not ${expected}`);
  }
  assert.equal(popularRank(1, 0.999), 0);
});

test("Only the server's own ready line tells its address", () => {
  const cases: [string, string | null][] = [
    ['{"level":30,"event":"server.ready","url":"http://127.0.0.1:4711"}', "http://127.0.0.1:4711"],
    ['{"event":"server.starting","url":"http://127.0.0.1:1"}', null],
    ['{"event":"note","text":"\\"server.ready\\"","url":"x"}', null],
    ['{"event":"server.ready"}', null],
    ['{"event":"server.ready","url":7}', null],
    ['not json "server.ready"', null],
    ["", null],
  ];
  for (const [line, url] of cases) assert.equal(readyLine(line), url, line);
});
