import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readDevice } from "./device.ts";
import { ambiguityOf, type Candidate, rankCandidates } from "./matching.ts";
import { isZoneOf } from "./time-zones.ts";

const clickAt = (created_at: number, told: Partial<Candidate> = {}): Candidate => ({
  ...{ cid: `cid-${created_at}`, platform: "ios", ua_hash: null, os_version: null, locale: null, created_at },
  ...told,
});

function best(candidates: readonly Candidate[], device: object = {}, platform: "ios" | "android" | "web" = "ios") {
  const fingerprints = [{ ip_hash: "ip", ua_hash: "same" }];
  const claimant = { platform, device: readDevice(device), user_agent: "Shop/1 CFNetwork", fingerprints };
  return rankCandidates(candidates, claimant).map(({ created_at }) => created_at);
}

describe("of the clicks of one network", () => {
  for (const [title, clicks, device, expected] of [
    ["the newest comes first", [clickAt(1), clickAt(3), clickAt(2)], {}, [3, 2, 1]],
    ["of the same age the later token does", [clickAt(1, { cid: "a" }), clickAt(1, { cid: "b" })], {}, [1, 1]],
    [
      "the same User-Agent goes before everything",
      [clickAt(1, { ua_hash: "same" }), clickAt(2, { ua_hash: "other", os_version: "17.4", locale: "en-nz" })],
      { osVersion: "17.4", locale: "en_NZ", timezone: "Pacific/Auckland" },
      [1, 2],
    ],
    [
      "the same system goes before language and time zone",
      [clickAt(1, { os_version: "17.4.1" }), clickAt(2, { locale: "en-nz" })],
      { osVersion: "17.4", locale: "en_NZ", timezone: "Pacific/Auckland" },
      [1, 2],
    ],
    [
      "the same language goes before the time zone",
      [clickAt(1, { locale: "de-de" }), clickAt(2, { locale: "en-nz" })],
      { locale: "de_DE", timezone: "Pacific/Auckland" },
      [1, 2],
    ],
    [
      "a region of the device's time zone goes before age",
      [clickAt(1, { locale: "mi-nz" }), clickAt(2, { locale: "fr-fr" })],
      { locale: "en_NZ", timezone: "Pacific/Auckland" },
      [1, 2],
    ],
    [
      "a time zone that is none says nothing",
      [clickAt(1, { locale: "mi-nz" }), clickAt(2, { locale: "fr-fr" })],
      { timezone: "NZDT" },
      [2, 1],
    ],
    [
      "a desktop's may be anybody's, another phone's nobody's",
      [clickAt(1, { platform: "web" }), clickAt(2, { platform: "android" })],
      {},
      [1],
    ],
  ] as const) {
    test(title, () => assert.deepEqual(best(clicks, device), expected));
  }
});

test("a language's region fits a time zone of it, by any of its names", () => {
  for (const [locale, timezone, expected] of [
    ["hi-in", "Asia/Kolkata", true],
    ["hi-in", "Asia/Calcutta", true],
    ["zh-hant-tw", "Asia/Taipei", true],
    ["en-us", "US/Pacific", true],
    ["en-gb", "Europe/Paris", false],
    ["en", "Europe/London", false],
    ["no-language-at-all", "Europe/London", false],
    ["en-gb", "", false],
  ] as const) {
    assert.equal(isZoneOf(locale, timezone), expected, `${locale} ${timezone}`);
  }
});

test("it is ambiguous when several links fit, however many clicks of one do", () => {
  const of = (...links: string[]) => links.map((link_id) => ({ link_id, params: `{"of":"${link_id}"}` }));
  assert.equal(ambiguityOf([]), null);
  assert.equal(ambiguityOf(of("a", "a", "a")), null);
  const root = ["a", "b", "a"].map((path) => ({ link_id: "/", params: `{"path":"${path}"}` }));
  assert.deepEqual(ambiguityOf(root), { candidates: 3, links: 2 }, "without a slug the parameters are the link");
  assert.deepEqual(ambiguityOf(of("a", "b", "a")), { candidates: 3, links: 2 });
});
