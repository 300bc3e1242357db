// Seals secrets at rest with AES-256-GCM. Called by stores before a secret is written and after it is read; a plain
// secret never reaches a table or a log. Text form: `v1.<key id>.<base64url of nonce, ciphertext, tag>`; the key id is
// the start of a hash of the key, so that a wrong key is told apart from a damaged value.
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, createHash, createHmac, randomFillSync } from "node:crypto";

const VERSION = "v1";
export const SEAL_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_CHARS = 8;

declare const sealed: unique symbol;
/** A secret as it is stored: worthless without the key. */
export type Sealed = string & { readonly [sealed]: true };

export interface Sealer {
  seal(plain: string): Sealed;
  /** Throws a SealError when the value was sealed with another key, or is damaged. */
  open(sealed: Sealed): string;
  /** 32 bytes for one other purpose: they tell nothing of the key, nor of what is derived for another one. */
  derive(purpose: string): Buffer;
}

/** What the messages of a SealError begin with. */
export const SEALED_WITH_ANOTHER = "A secret was sealed with another key";
export const SEALED_DAMAGED = "A sealed secret is damaged and cannot be read";

/** A secret that cannot be read. The message says what to do and holds nothing secret. */
export class SealError extends Error {
  /** Nothing is wrong with the secret itself: another key opens it. */
  readonly is_other_key: boolean;
  constructor(message: string, is_other_key = false) {
    super(message);
    this.name = "SealError";
    this.is_other_key = is_other_key;
  }
}

/** @param key 32 random bytes; @param random fills the nonce, never the same twice for one key */
export function createSealer(key: Uint8Array, random: (bytes: Uint8Array) => void = randomFillSync): Sealer {
  assert.equal(key.length, SEAL_KEY_BYTES, "the seal key has 32 bytes");
  const key_id = createHash("sha256").update("linkme seal key id").update(key).digest("hex").slice(0, KEY_ID_CHARS);

  function seal(plain: string): Sealed {
    const nonce = new Uint8Array(NONCE_BYTES);
    random(nonce);
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    const bytes = Buffer.concat([nonce, cipher.update(plain, "utf8"), cipher.final(), cipher.getAuthTag()]);
    // The one place where a Sealed is made.
    return `${VERSION}.${key_id}.${bytes.toString("base64url")}` as Sealed;
  }

  function open(value: Sealed): string {
    const [version, id, encoded, ...rest] = value.split(".");
    if (version !== VERSION || id === undefined || encoded === undefined || rest.length > 0) throw damaged();
    if (id !== key_id) throw otherKey(id, key_id);
    const bytes = Buffer.from(encoded, "base64url");
    if (bytes.length < NONCE_BYTES + TAG_BYTES) throw damaged();
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
      return Buffer.concat([plain, decipher.final()]).toString("utf8");
    } catch {
      // The tag does not fit although the key does.
      throw damaged();
    }
  }

  const derive = (purpose: string) => createHmac("sha256", key).update(purpose).digest();

  return { seal, open, derive };
}

function otherKey(id: string, key_id: string): SealError {
  return new SealError(
    `${SEALED_WITH_ANOTHER} (${id}, this server has ${key_id}): set LINKME_SEAL_KEY to the key that this database was used with before`,
    true,
  );
}

function damaged(): SealError {
  return new SealError(`${SEALED_DAMAGED}: restore it from a backup, or set a new one`);
}
