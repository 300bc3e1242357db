// Bends valid calls at random places in random ways. Called by the tests that send what nobody expects.
import assert from "node:assert/strict";

/** Values that nobody expects. None of them is an address that a name server would be asked for. */
export const ODD: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, 2 ** 53, "", " ", "0", "\t\n", "a".repeat(5_000), "🔗".repeat(300), "\ufffd"],
  ...["%00", "../..", "' or 1=1 --", "{}", "[]", "null", "x:y", "https://", "https://[", "http://[::1]:99999/", "//x"],
  ...["9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "2026-01-31T09:30:00.123456789+14:00"],
  ...[[], [[]], [null], {}, { a: { b: {} } }, { toString: 1, valueOf: null, constructor: 1, length: -1 }],
];

export type Pick = <Item>(items: readonly Item[]) => Item;

/** A small generator of its own, so that a seed means the same everywhere (mulberry32). */
export function createPicker(seed: number): Pick {
  let state = seed;
  return (items) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    const item = items[((mixed ^ (mixed >>> 14)) >>> 0) % items.length];
    assert.ok(item !== undefined || items.length > 0);
    return item as (typeof items)[number];
  };
}

/** Replaces, removes, renames or adds one member somewhere. */
export function bend(value: object, pick: Pick): unknown {
  const names = Object.keys(value);
  if (names.length === 0) return pick(ODD);
  const name = pick(names);
  const members = value as Record<string, unknown>;
  const inner = members[name];
  if (typeof inner === "object" && inner !== null && pick([true, false])) {
    members[name] = bend(inner, pick);
    return value;
  }
  const way = pick(["replace", "replace", "replace", "remove", "rename", "whole"]);
  if (way === "whole") return pick(ODD);
  if (way === "replace") members[name] = pick(ODD);
  else delete members[name];
  if (way === "rename") members[`${name}x`] = inner;
  return value;
}

export function bendText(text: string, pick: Pick): string {
  const at = pick(Array.from({ length: text.length }, (_, index) => index));
  const odd = pick(["%", "%00", "%ff", "%F0%9F%94%97", "/", "?", "&", "=", "#", "'", "[]", "a".repeat(300), ""]);
  return text.slice(0, Math.max(1, at)) + odd + text.slice(Math.max(1, at) + pick([0, 1]));
}
