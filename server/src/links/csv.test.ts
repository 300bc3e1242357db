// Links as CSV: what is written is read as the same links, and no cell is a formula.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CSV_COLUMNS, CSV_ROWS_MAX, WRITABLE_COLUMNS } from "#contract/link-csv.ts";
import { LinkOfMany } from "#contract/link-lists.ts";
import { BLANK } from "../../test/support/links.ts";
import { createRandom } from "../../test/support/random.ts";
import { AppError } from "../errors.ts";
import { headerLine, linkLine } from "./csv.ts";
import { readLinksCsv } from "./csv-reading.ts";
import { composeLink } from "./input.ts";
import type { LinkRow } from "./link.ts";

const IDENTITY = { id: BLANK.id, app_id: BLANK.app_id, domain_id: null, now: 0 };

/** As it is stored, without what it takes from a preset. */
const { preset_utm: _, preset_updated_at: __, ...STORED } = BLANK;

async function readLinks(text: string): Promise<LinkRow[]> {
  return (await readLinksCsv(text)).map(({ link }) => {
    const parsed = LinkOfMany.parse(link);
    return { ...composeLink(parsed, IDENTITY, 1), slug: parsed.slug ?? "" };
  });
}

test("what is written is read as the same link, whatever stands in it", async (t) => {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const signs = ["'", "=", "+", "-", "@", '"', ",", ";", "\r", "\n", "\t", " ", "a", "ß", "🔗", "\\", "{"];
  const text = () => Array.from({ length: 1 + random.below(6) }, () => signs[random.below(signs.length)]).join("");
  const rows = Array.from({ length: 300 }, (_, n): LinkRow => {
    const texts = { deep_link_path: text(), og_title: text(), og_description: text() };
    const utm = JSON.stringify({ utm_source: text(), tags: text() });
    const tags = random.below(2) === 0 ? null : '["b c","größe"]';
    const custom_data = random.below(2) === 0 ? null : JSON.stringify({ [text()]: text() });
    const flags = { enabled: random.below(2), internal: random.below(2), force_redirect_web: random.below(2) };
    const ends = { expires_at: 1_800_000_000_123, click_limit: 5, expired_url: "https://shop.example/a,b?c='\"" };
    return {
      ...STORED,
      utm_preset_id: "utp_1",
      ...texts,
      ...flags,
      ...ends,
      utm,
      tags,
      custom_data,
      slug: `-_${n}`,
      web_fallback_url: null,
    };
  });
  const file = headerLine() + rows.map((row) => linkLine(row, null, "http://links.test")).join("");
  assert.deepEqual(await readLinks(file), rows);
  assert.deepEqual(await readLinks(`\ufeff${file}`), rows);
});

test("no cell begins like a formula, and an apostrophe of one's own stays", () => {
  for (const [title, cell] of [
    ["=1+1", "'=1+1"],
    ["+1", "'+1"],
    ["-1", "'-1"],
    ["@sum", "'@sum"],
    ["\tx", "'\tx"],
    ["\n=x", `"'\n=x"`],
    ["'=x", "''=x"],
    ["'x", "'x"],
    ["a=b", "a=b"],
    ['=a,"b"', `"'=a,""b"""`],
  ] as const) {
    const line = linkLine({ ...BLANK, og_title: title }, null, "http://links.test");
    assert.ok(line.includes(`,${cell},`), line);
  }
  assert.equal(headerLine().trim().split(",").length, CSV_COLUMNS.length);
});

test("rows are told by the line on which they begin, and one of another length by itself", async () => {
  const file =
    'slug,tags,enabled,click_limit,og_title\r\na,"x, y",TRUE,7,\r\n\r\n"b\nc",,,,"two\r\nlines"\nd,,\ne,,2,x,\n';
  const rows = await readLinksCsv(file);
  assert.deepEqual(await readLinksCsv(`\ufeff${file}`), rows);
  assert.deepEqual(
    rows.map(({ line, link }) => [line, link instanceof AppError ? link.message : link]),
    [
      [2, { slug: "a", tags: ["x", "y"], enabled: 1, click_limit: 7 }],
      [4, { slug: "b\nc", og_title: "two\r\nlines" }],
      [7, "The row has 3 cells, and line 1 names 5 columns."],
      [8, { slug: "e", enabled: "2", click_limit: "x" }],
    ],
  );
});

test("a file that is not understood is refused with the place", async () => {
  for (const [file, path, message] of [
    ["", "line 1", /the names of columns, among slug,/],
    ["\n\n", "line 1", /the names of columns/],
    ["slug,slugg\n", "slugg", /unknown column: accepted are slug,/],
    ["slug,slug\n", "slug", /only once/],
    ["slug;tags\na;b\n", "line 1", /separated by commas/],
    ['slug,tags\na,b\nc,"d\ne,f\n', "line 3", /ends the cell/],
    ['slug,tags\na,b"c\n', "line 2", /written twice/],
    ['slug,tags\na,"b"c\n', "line 2", /behind the cell/],
  ] as const) {
    const refused = await readLinksCsv(file).then(
      () => assert.fail(file),
      (error: AppError) => error,
    );
    assert.equal(refused.code, "invalid_request", file);
    assert.equal(refused.details?.[0]?.path, path, file);
    assert.match(refused.message, message);
  }
  const many = `slug\n${Array.from({ length: CSV_ROWS_MAX + 1 }, (_, n) => `s${n}`).join("\n")}`;
  await assert.rejects(readLinksCsv(many), /up to 10000 rows/);
  assert.equal((await readLinksCsv(many.slice(0, many.lastIndexOf("\n")))).length, CSV_ROWS_MAX);
  assert.ok(WRITABLE_COLUMNS.length > 20);
});
