// Tells what is asked for again from what is asked for once. Used by caches that are full: what nobody asks for again would take
// the place of what is wanted, live just long enough to be moved among the old objects, and leave the collector to clear it away.

/** Slots for each entry of the cache: what a slot has noted is forgotten with the next key that falls on it. */
const SLOTS_PER_ENTRY = 4;

/**
 * Answers whether the key was seen lately, and notes it. Right nearly always: of two keys with the same hash the second is taken for
 * seen, and one that others have pushed out for new.
 */
export function createDoorkeeper(entries: number): (key: string) => boolean {
  const bits = Math.ceil(Math.log2(Math.max(2, entries * SLOTS_PER_ENTRY)));
  const slots = new Uint32Array(2 ** bits);
  return (key) => {
    const hash = hashOf(key);
    const slot = hash >>> (32 - bits);
    if (slots[slot] === hash) return true;
    slots[slot] = hash;
    return false;
  };
}

/** FNV-1a, and a last mixing so that the upper bits depend on every character. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index += 1) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
