import assert from "node:assert/strict";
import { test } from "node:test";
import { createHider } from "./hiding.ts";

const M = "••••••••";

for (const { title, secrets, text, cut, hidden } of [
  {
    title: "a value and its words",
    secrets: ["Bearer s3cr3t-value"],
    text: "Bearer s3cr3t-value s3cr3t-value",
    hidden: `${M} ${M}`,
  },
  {
    title: "a quoted value, as JSON writes it too",
    secrets: ['Token token="s3cr3t-value"'],
    text: 'Token token="s3cr3t-value" {"a":"Token token=\\"s3cr3t-value\\""}',
    hidden: `${M} {"a":"${M}"}`,
  },
  { title: "a key in a list", secrets: ["id=12,key=abcdefgh-1"], text: "got abcdefgh-1", hidden: `got ${M}` },
  { title: "of two the longer", secrets: ["abcdefgh", "abcdefgh-1234"], text: "abcdefgh-1234", hidden: M },
  {
    title: "a value in small letters, as the host of a URL is read",
    secrets: ["S3cr3t-Value(1)|x.y"],
    text: "to s3cr3t-value(1)|x.y.example, not s3cr3t-value(1)|xzy",
    hidden: `to ${M}.example, not s3cr3t-value(1)|xzy`,
  },
  { title: "no short words", secrets: ["Basic prod eu"], text: "prod in eu, Basic", hidden: "prod in eu, Basic" },
  { title: "no media types", secrets: ["application/json"], text: "application/json", hidden: "application/json" },
  {
    title: "the beginning of one where the text was cut",
    secrets: ["abcdefgh-1234"],
    text: "x abcdefgh-1",
    cut: true,
    hidden: `x ${M}`,
  },
  {
    title: "such a beginning in other letters, whatever stands before it",
    secrets: ["S3cr3t-Value-12345"],
    text: "İstanbul, s3CR3T-value-123",
    cut: true,
    hidden: `İstanbul, ${M}`,
  },
  {
    title: "no beginning where it was not cut",
    secrets: ["abcdefgh-1234"],
    text: "x abcdefgh-1",
    hidden: "x abcdefgh-1",
  },
  { title: "nothing without secrets", secrets: [], text: "as it is", cut: true, hidden: "as it is" },
]) {
  test(`hides ${title}`, () => assert.equal(createHider(secrets)(text, cut), hidden));
}
