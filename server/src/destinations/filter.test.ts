import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  FILTER_CONDITIONS_MAX,
  FILTER_DEPTH_MAX,
  FILTER_ELEMENTS_MAX,
  FILTER_MAX_BYTES,
  FILTER_VALUE_MAX_CHARS,
  FILTER_VALUES_MAX,
  type Filter,
  filterProblems,
} from "#contract/filters.ts";
import { compileFilter, subjectOf, subjectWith } from "./filter.ts";

const DATA = {
  ...{ link_id: "lnk_1", platform: "ios", utm: { utm_source: "newsletter", campaign: "x" }, n: 7, zero: 0, yes: true },
  ...{ nothing: null, list: ["a", 2], empty: [], user: { plan: "pro", tags: [{ a: 1 }] }, "odd.name": 1 },
};

function refusal(filter: Filter, data: Record<string, unknown> = DATA, link_id: string | null = "lnk_1") {
  return compileFilter(filter).refusal(subjectOf({ event: "link.click", link_id, body: JSON.stringify({ data }) }));
}

const cases: { filter: Filter; passes: boolean }[] = [
  { filter: { path: "event", equals: "link.click" }, passes: true },
  { filter: { path: "event", in: ["link.claim"] }, passes: false },
  { filter: { path: "event", prefix: "link." }, passes: true },
  { filter: { path: "link_id", equals: "lnk_1" }, passes: true },
  { filter: { path: "link_id", in: ["lnk_2", "lnk_3"] }, passes: false },
  { filter: { path: "platform", equals: "ios" }, passes: true },
  { filter: { path: "platform", in: ["android", "web"] }, passes: false },
  { filter: { path: "utm.source", equals: "newsletter" }, passes: true },
  { filter: { path: "utm.utm_source", equals: "newsletter" }, passes: true },
  { filter: { path: "utm.campaign", exists: true }, passes: false },
  { filter: { path: "data.utm.campaign", equals: "x" }, passes: true },
  { filter: { path: "data.n", equals: 7 }, passes: true },
  { filter: { path: "data.n", equals: "7" }, passes: false },
  { filter: { path: "data.zero", equals: false }, passes: false },
  { filter: { path: "data.yes", equals: true }, passes: true },
  { filter: { path: "data.yes", equals: "true" }, passes: false },
  { filter: { path: "data.nothing", exists: true }, passes: false },
  { filter: { path: "data.nothing", exists: false }, passes: true },
  { filter: { path: "data.absent", exists: false }, passes: true },
  { filter: { path: "data.absent", equals: "" }, passes: false },
  { filter: { path: "data.list", equals: "a" }, passes: true },
  { filter: { path: "data.list", in: [3, 2] }, passes: true },
  { filter: { path: "data.list", equals: "b" }, passes: false },
  { filter: { path: "data.list.0", exists: true }, passes: false },
  { filter: { path: "data.empty", exists: true }, passes: true },
  { filter: { path: "data.empty", prefix: "a" }, passes: false },
  { filter: { path: "data.user.plan", prefix: "pr" }, passes: true },
  { filter: { path: "data.user.plan", prefix: "PR" }, passes: false },
  { filter: { path: "data.user", exists: true }, passes: true },
  { filter: { path: "data.user", equals: "pro" }, passes: false },
  { filter: { path: "data.user.plan.x", exists: false }, passes: true },
  { filter: { path: "data.constructor", exists: true }, passes: false },
  { filter: { path: "data.__proto__.toString", exists: true }, passes: false },
  { filter: { path: "data.n", prefix: "7" }, passes: false },
  { filter: { not: { path: "platform", equals: "ios" } }, passes: false },
  { filter: { not: { path: "data.absent", equals: "x" } }, passes: true },
  { filter: { not: { not: { path: "platform", equals: "ios" } } }, passes: true },
  {
    filter: {
      all: [
        { path: "platform", equals: "ios" },
        { path: "data.n", equals: 8 },
      ],
    },
    passes: false,
  },
  {
    filter: {
      any: [
        { path: "platform", equals: "web" },
        { path: "data.n", equals: 7 },
      ],
    },
    passes: true,
  },
  {
    filter: {
      not: {
        any: [
          { path: "platform", equals: "web" },
          { path: "data.n", equals: 8 },
        ],
      },
    },
    passes: true,
  },
  {
    filter: {
      not: {
        all: [
          { path: "platform", equals: "ios" },
          { path: "data.n", equals: 8 },
        ],
      },
    },
    passes: true,
  },
  {
    filter: {
      not: {
        all: [
          { path: "platform", equals: "ios" },
          { path: "data.n", equals: 7 },
        ],
      },
    },
    passes: false,
  },
];
for (const { filter, passes } of cases) {
  test(`${JSON.stringify(filter)} ${passes ? "passes" : "refuses"} the event`, () => {
    assert.deepEqual(filterProblems(filter), []);
    assert.equal(refusal(filter) === null, passes, String(refusal(filter)));
    assert.equal(refusal({ not: filter }) === null, !passes, "and `not` the other way round");
  });
}

const words: { filter: Filter; reason: string }[] = [
  { filter: { path: "platform", equals: "web" }, reason: 'platform is "ios", and the filter wants "web"' },
  { filter: { not: { path: "platform", equals: "ios" } }, reason: 'platform is "ios", and the filter excludes "ios"' },
  { filter: { path: "data.n", in: [1, 2] }, reason: "data.n is 7, and the filter wants one of 1, 2" },
  {
    filter: { path: "data.n", in: [1, 2, 3, 4, 5, 6, 8] },
    reason: "data.n is 7, and the filter wants one of 1, 2, 3, 4, 5 and 2 more",
  },
  { filter: { path: "data.x", exists: true }, reason: "data.x is absent, and the filter wants it to be there" },
  { filter: { path: "data.n", exists: false }, reason: "data.n is 7, and the filter wants it to be absent" },
  { filter: { not: { path: "data.n", exists: true } }, reason: "data.n is 7, and the filter wants it to be absent" },
  { filter: { path: "data.nothing", equals: 1 }, reason: "data.nothing is null, and the filter wants 1" },
  {
    filter: { path: "data.list", prefix: "b" },
    reason: 'data.list is ["a",2], and the filter wants one that begins with "b"',
  },
  { filter: { path: "data.user", equals: "a" }, reason: 'data.user is an object, and the filter wants "a"' },
  {
    filter: {
      any: [
        { path: "data.n", equals: 1 },
        { path: "data.n", equals: 2 },
      ],
    },
    reason: "none of 2 alternatives holds (data.n is 7, and the filter wants 1; data.n is 7, and the filter wants 2)",
  },
];
for (const { filter, reason } of words) {
  test(`what is refused says: ${reason}`, () => assert.equal(refusal(filter), `Filtered: ${reason}.`));
}

test("a reason is short and whole text, whatever the values and the number of alternatives", () => {
  const many = {
    any: Array.from({ length: 40 }, (_, n) => ({ path: "data.text", equals: `${n}${"🔗".repeat(200)}` })),
  };
  for (let shift = 0; shift < 4; shift++) {
    const reason = refusal(many, { text: `${"a".repeat(shift)}${"🔗".repeat(5_000)}` }) ?? "";
    assert.ok(reason.length <= 520, `${reason.length} characters`);
    assert.ok(reason.isWellFormed());
    assert.match(reason, /^Filtered: none of 40 alternatives holds/);
  }
});

test("of a long list so many elements are looked at, and whatever they hold little of them is shown", () => {
  const wants_x = { path: "data.long", equals: "x" };
  const listWith = (at: number) => ({ long: [...Array.from({ length: at }, () => "a"), "x"] });
  assert.equal(refusal(wants_x, listWith(FILTER_ELEMENTS_MAX - 1)), null);
  assert.equal(
    refusal(wants_x, listWith(FILTER_ELEMENTS_MAX)),
    'Filtered: data.long is ["a","a","a","a","a",…], and the filter wants "x".',
  );
  assert.equal(
    refusal(wants_x, { long: [["b".repeat(10_000)], { c: 1 }] }),
    'Filtered: data.long is [[…],{…}], and the filter wants "x".',
  );
});

test("its conditions are counted, however they are grouped", () => {
  const leaf = { path: "data.a", equals: 1 };
  assert.equal(compileFilter(leaf).conditions, 1);
  assert.equal(compileFilter({ all: [leaf, { not: leaf }, { any: [leaf, { all: [leaf, leaf] }] }] }).conditions, 5);
});

test("a list of an event is looked through once for all conditions", () => {
  const read: PropertyKey[] = [];
  const list = new Proxy(["a", 2, "pre-3"], {
    get(target, key) {
      read.push(key);
      return Reflect.get(target, key);
    },
  });
  const subject = subjectWith({ event: "link.click", link_id: null }, () => ({ list }));
  const operators = [{ equals: 2 }, { equals: "a" }, { in: [5, 2] }, { prefix: "pre" }];
  const filters = operators.map((operator) => compileFilter({ path: "data.list", ...operator }));
  for (const filter of filters) assert.equal(filter.refusal(subject), null);
  assert.equal(read.filter((key) => key === "0").length, 1);
});

test("the body is read only for what stands in it, and once", () => {
  const by_type = compileFilter({
    all: [{ path: "event", equals: "link.click" }, { not: { path: "link_id", equals: "x" } }],
  });
  assert.equal(by_type.needs_data, false);
  assert.equal(by_type.refusal(subjectOf({ event: "link.click", link_id: null, body: "no JSON" })), null);
  assert.equal(
    compileFilter({
      any: [
        { path: "event", prefix: "a" },
        { path: "platform", exists: true },
      ],
    }).needs_data,
    true,
  );
  const subject = subjectOf({ event: "link.click", link_id: null, body: '{"data":{"a":1}}' });
  assert.equal(subject.data(), subject.data());
});

test("the paths of the guide lead to what LinkMe's own events hold", () => {
  const folder = join(import.meta.dirname, "../../../spec/events");
  const samples = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
  assert.ok(samples.length > 5);
  for (const { event, data } of samples) {
    const subject = subjectOf({ event, link_id: data.link_id ?? null, body: JSON.stringify({ data }) });
    const passes = (filter: Filter) => compileFilter(filter).refusal(subject) === null;
    assert.ok(passes({ path: "platform", equals: data.platform }), event);
    assert.equal(passes({ path: "link_id", exists: true }), data.link_id !== undefined);
    assert.equal(passes({ path: "utm.source", equals: "newsletter" }), data.utm !== undefined);
  }
});

const nested = (levels: number): Filter => (levels === 1 ? { path: "data.a", equals: 1 } : { not: nested(levels - 1) });
const refused: [value: unknown, path: string, message: RegExp][] = [
  [null, "", /an object with one of all, any, not/],
  ["x", "", /an object/],
  [[], "", /an object/],
  [{}, "", /one of equals, in, exists, prefix/],
  [{ path: "data.a" }, "", /^no operator: one of equals/],
  [{ path: "data.a", equals: 1, in: [1] }, "", /^two operators given: equals, in;/],
  [{ path: "data.a", equal: 1 }, "equal", /unknown field/],
  [{ all: [] }, "all", /non-empty array/],
  [{ all: {} }, "all", /non-empty array/],
  [{ all: [{ path: "data.a", equals: 1 }], any: [] }, "any", /nothing beside all/],
  [{ any: [{ path: "data.a", equals: 1 }, { not: { path: "a", equals: 1 } }] }, "any.1.not.path", /data\.<name>/],
  [{ path: "data", exists: true }, "path", /data\.<name>/],
  [{ path: "data.", exists: true }, "path", /none of them empty/],
  [{ path: "data.a..b", exists: true }, "path", /none of them empty/],
  [{ path: "utm", exists: true }, "path", /utm\.<name>/],
  [{ path: "utm.a.b", exists: true }, "path", /utm\.<name>/],
  [{ path: "data.a.b.c.d.e.f.g.h.i", exists: true }, "path", /up to 8 names/],
  [{ path: `data.${"a".repeat(200)}`, exists: true }, "path", /data\.<name>/],
  [{ path: 5, exists: true }, "path", /data\.<name>/],
  [{ path: "data.a", exists: 1 }, "exists", /true or false/],
  [{ path: "data.a", prefix: "" }, "prefix", /1 to 500/],
  [{ path: "data.a", equals: null }, "equals", /for what is absent or null, exists/],
  [{ path: "data.a", equals: { b: 1 } }, "equals", /a text/],
  [{ path: "data.a", equals: "a".repeat(FILTER_VALUE_MAX_CHARS + 1) }, "equals", /at most 500/],
  [{ path: "data.a", in: [] }, "in", /1 to 100/],
  [{ path: "data.a", in: Array(FILTER_VALUES_MAX + 1).fill(1) }, "in", /1 to 100/],
  [{ path: "data.a", in: [1, null] }, "in.1", /a text/],
  [{ path: "event", equals: "link.clicked" }, "equals", /one of link\.click/],
  [{ path: "platform", in: ["ios", "iPadOS"] }, "in.1", /one of ios, android, web/],
  [{ path: "link_id", equals: 5 }, "equals", /a text/],
  [{ path: "utm.source", equals: true }, "equals", /a text/],
  [
    nested(FILTER_DEPTH_MAX + 1),
    Array(FILTER_DEPTH_MAX - 1)
      .fill("not")
      .join("."),
    /at most 6 levels/,
  ],
  [
    { all: Array(FILTER_CONDITIONS_MAX + 1).fill({ path: "data.a", equals: 1 }) },
    "",
    /at most 50 conditions; this has 51/,
  ],
  [{ all: Array(20).fill({ path: "data.a", equals: "🔗".repeat(240) }) }, "", /at most 8192 bytes; this has \d+/],
];
for (const [value, path, message] of refused) {
  test(`${JSON.stringify(value).slice(0, 80)} is refused at "${path}"`, () => {
    const [problem, ...others] = filterProblems(value);
    assert.equal(problem?.path.join("."), path);
    assert.match(problem?.message ?? "", message);
    assert.deepEqual(others, []);
  });
}

test("what is just within the bounds is accepted", () => {
  assert.deepEqual(filterProblems(nested(FILTER_DEPTH_MAX)), []);
  assert.deepEqual(filterProblems({ all: Array(FILTER_CONDITIONS_MAX).fill({ path: "data.a", equals: 1 }) }), []);
  const value = "a".repeat(FILTER_VALUE_MAX_CHARS);
  const wide = { path: "data.a", in: Array(15).fill(value) };
  assert.ok(JSON.stringify(wide).length < FILTER_MAX_BYTES);
  assert.deepEqual(filterProblems(wide), []);
});
