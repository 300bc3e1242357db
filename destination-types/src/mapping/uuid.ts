// A UUID for whatever id an event has, for vendors that take nothing else. The same id has the same one each time.
// By hand, for the mappers run where no hash answers at once: SHA-1 by its definition (FIPS 180-4), held to Node's by the tests.

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
/** Of LinkMe's ids; chosen once at random, and never to change. */
const NAMESPACE = Uint8Array.from(
  [0x6f, 0x2a, 0xc1, 0x0e, 0x93, 0x54, 0x4d, 0x7b].concat([0xa8, 0x1d, 0x5e, 0x37, 0xb0, 0xc9, 0x42, 0x68]),
);

/** The id itself where it is a UUID, in small letters; else the UUID of version 5 (RFC 9562, 5.5) that is named by it. */
export function uuidOf(id: string): string {
  if (UUID.test(id)) return id.toLowerCase();
  const name = new TextEncoder().encode(id);
  const message = new Uint8Array(NAMESPACE.length + name.length);
  message.set(NAMESPACE);
  message.set(name, NAMESPACE.length);
  const bytes = sha1(message).subarray(0, 16);
  const hex = Array.from(bytes, (byte, index) => {
    const marked = index === 6 ? (byte & 0x0f) | 0x50 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return marked.toString(16).padStart(2, "0");
  }).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const BLOCK_BYTES = 64;
const ROUNDS = 80;
/** The constants of rounds 0 to 19, 20 to 39, and so on. */
const ADDED = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6] as const;

function sha1(message: Uint8Array): Uint8Array {
  // One bit that is set, zeros, and the length in bits as 8 bytes.
  const padded = new Uint8Array(Math.ceil((message.length + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  const state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  for (let at = 0; at < padded.length; at += BLOCK_BYTES) mixIn(state, view, at);
  const digest = new DataView(new ArrayBuffer(20));
  state.forEach((word, index) => {
    digest.setUint32(index * 4, word);
  });
  return new Uint8Array(digest.buffer);
}

function mixIn(state: Uint32Array, block: DataView, at: number): void {
  const words = new Uint32Array(ROUNDS);
  const word = (index: number) => words[index] ?? 0;
  for (let t = 0; t < ROUNDS; t++) {
    words[t] =
      t < 16 ? block.getUint32(at + t * 4) : rotate(word(t - 3) ^ word(t - 8) ^ word(t - 14) ^ word(t - 16), 1);
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let t = 0; t < ROUNDS; t++) {
    const part = Math.floor(t / 20);
    const mixed = part === 0 ? (b & c) | (~b & d) : part === 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    const next = (rotate(a, 5) + mixed + e + word(t) + (ADDED[part] ?? 0)) >>> 0;
    [a, b, c, d, e] = [next, a, rotate(b, 30), c, d];
  }
  [a, b, c, d, e].forEach((sum, index) => {
    state[index] = ((state[index] ?? 0) + sum) >>> 0;
  });
}

function rotate(word: number, bits: number): number {
  return ((word << bits) | (word >>> (32 - bits))) >>> 0;
}
