// Bytes and texts without anything of Node's. Called by the other files of the receiver.

/** Bytes in a buffer of their own, which is what the Web's cryptography takes. */
export type OwnBytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

/** By its tag and not by `instanceof`: bytes of another realm (a test runner's, a sandbox's) are bytes too. */
export function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === "[object Uint8Array]";
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}

export function bytesOf(text: string): OwnBytes {
  return new Uint8Array(encoder.encode(text));
}

/** All parts, one after another. */
export function joinBytes(parts: readonly Uint8Array[]): OwnBytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Of an even number of hex digits. */
export function bytesOfHex(hex: string): OwnBytes {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The bytes behind base64 as senders decode a secret: both alphabets, what belongs to neither is passed over, and nothing
 * counts after the first `=`.
 */
export function bytesOfBase64(text: string): OwnBytes {
  const [digits = ""] = text.split("=");
  const plain = digits
    .replaceAll("-", "+")
    .replaceAll("_", "/")
    .replace(/[^A-Za-z0-9+/]/g, "");
  // A single digit at the end stands for less than a byte.
  const whole = plain.length % 4 === 1 ? plain.slice(0, -1) : plain;
  return Uint8Array.from(atob(whole), (char) => char.charCodeAt(0));
}

export function base64Of(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
