import assert from "node:assert/strict";
import { test } from "node:test";
import { append, createLinkedList, each, has, type Listed, remove, takeFirst } from "./linked-list.ts";

interface Member extends Listed<Member> {
  name: string;
}

const member = (name: string): Member => ({ name, previous: null, next: null });

function listOf(names: string) {
  const list = createLinkedList<Member>();
  const members = [...names].map(member);
  for (const one of members) append(list, one);
  return { list, members, take: (name: string) => members.find((one) => one.name === name) ?? assert.fail() };
}

const namesOf = (list: ReturnType<typeof listOf>["list"]) => [...each(list)].map(({ name }) => name).join("");

test("members are read in the order in which they were added", () => {
  const { list } = listOf("abc");
  assert.deepEqual([namesOf(list), list.size, list.first?.name, list.last?.name], ["abc", 3, "a", "c"]);
});

for (const [taken, left] of [
  ["a", "bc"],
  ["b", "ac"],
  ["c", "ab"],
] as const) {
  test(`without ${taken} the others stay in order, and it keeps nothing of them`, () => {
    const { list, take } = listOf("abc");
    assert.equal(has(list, take(taken)), true);
    assert.equal(remove(list, take(taken)), true);
    assert.equal(has(list, take(taken)), false);
    assert.deepEqual([namesOf(list), list.size], [left, 2]);
    assert.deepEqual(take(taken), member(taken));
    assert.equal(remove(list, take(taken)), false, "it is not there any more");
    append(list, take(taken));
    assert.equal(namesOf(list), left + taken);
  });
}

test("the last member leaves an empty list behind", () => {
  const { list, members } = listOf("ab");
  assert.deepEqual([takeFirst(list)?.name, takeFirst(list)?.name, takeFirst(list)], ["a", "b", null]);
  assert.deepEqual([list.first, list.last, list.size, namesOf(list)], [null, null, 0, ""]);
  assert.equal(remove(list, members[0] ?? assert.fail()), false);
});

test("members may be taken out while the list is read", () => {
  const { list } = listOf("abcd");
  for (const one of each(list)) if (one.name !== "c") remove(list, one);
  assert.equal(namesOf(list), "c");
});
