import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { LinkPatch } from "#contract/links.ts";
import { refuseIssues } from "./issues.ts";

const Count = z.strictObject({ n: z.number().int().min(1).max(9) });
const Text = z.strictObject({ t: z.string().min(2).max(3) });
const Items = z.strictObject({ a: z.array(z.boolean()).min(1).max(1) });

const cases: [schema: z.ZodType, value: unknown, message: string][] = [
  [Count, {}, "n: required: a number"],
  [Count, { n: null }, "n: a number, not null"],
  [Count, { n: "1" }, "n: a number"],
  [Count, { n: 1.5 }, "n: a whole number"],
  [Count, { n: 0 }, "n: at least 1"],
  [Count, { n: 10 }, "n: at most 9"],
  [Count, { n: 1, m: 1 }, "m: unknown field"],
  [Count, [], "body: an object"],
  [Text, { t: "a" }, "t: at least 2 characters"],
  [Text, { t: "abcd" }, "t: at most 3 characters"],
  [Items, { a: [] }, "a: at least 1 item"],
  [Items, { a: [true, false] }, "a: at most 1 item"],
  [Items, { a: [1] }, "a.0: true or false"],
  [z.strictObject({ k: z.enum(["x", "y"]) }), { k: "z" }, "k: one of x, y"],
  [LinkPatch, { enabled: true }, "enabled: 0 or 1"],
  [LinkPatch, { utm: 5 }, "utm: JSON text of an object"],
];
for (const [schema, value, message] of cases) {
  test(`${JSON.stringify(value)} is answered with "${message}"`, () => {
    const { error } = schema.safeParse(value);
    assert.equal(refuseIssues(error?.issues ?? [], "body").message, message);
  });
}
