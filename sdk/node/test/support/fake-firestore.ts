// As much of Firestore as the dedupe store uses, in memory: transactions read a snapshot and are run again when a document that
// they read was written meanwhile, as the server's are; dates come back as Firestore's own type of times.
import assert from "node:assert/strict";
import type { FirestoreDocument, FirestoreLike, FirestoreTransaction } from "../../src/receiver/dedupe-firestore.ts";

type Data = Record<string, unknown>;

interface Stored {
  data: Data | undefined;
  version: number;
}

/** What Firestore retries of itself. */
const ATTEMPTS_MAX = 5;
const ID_MAX_BYTES = 1_500;

export interface FakeFirestore extends FirestoreLike {
  /** How often a transaction had to be run again. */
  retries(): number;
}

export function openFakeFirestore(): FakeFirestore {
  const stored = new Map<string, Stored>();
  let retried = 0;

  const read = (path: string): Stored => stored.get(path) ?? { data: undefined, version: 0 };
  const write = (path: string, data: Data | undefined) => stored.set(path, { data, version: read(path).version + 1 });
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  function keep(data: Data): Data {
    const entries = Object.entries(data).map(([name, value]) => {
      assert.ok(value !== undefined, `${name}: Firestore refuses undefined`);
      return [name, value instanceof Date ? { toMillis: () => value.getTime() } : value];
    });
    return Object.fromEntries(entries);
  }

  function documentOf(collection: string, id: string): FirestoreDocument & { path: string } {
    assert.ok(id !== "" && !id.includes("/") && !/^\.\.?$|^__.*__$/.test(id), `Firestore refuses the id ${id}`);
    assert.ok(Buffer.byteLength(id) <= ID_MAX_BYTES, "Firestore refuses an id of more than 1,500 bytes");
    const path = `${collection}/${id}`;
    return {
      id,
      path,
      async set(data) {
        await turn();
        write(path, keep(data));
      },
    };
  }

  /** Documents come from `documentOf` alone. */
  const pathOf = (document: FirestoreDocument) => (document as FirestoreDocument & { path: string }).path;

  return {
    retries: () => retried,
    collection: (path) => ({ doc: (id) => documentOf(path, id) }),
    async runTransaction(update) {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        const seen = new Map<string, number>();
        const writes: [path: string, data: Data | undefined][] = [];
        const transaction: FirestoreTransaction = {
          async get(document) {
            assert.equal(writes.length, 0, "Firestore requires all reads before all writes");
            await turn();
            const { data, version } = read(pathOf(document));
            seen.set(pathOf(document), version);
            return { data: () => data };
          },
          set: (document, data) => writes.push([pathOf(document), keep(data)]),
          delete: (document) => writes.push([pathOf(document), undefined]),
        };
        const result = await update(transaction);
        await turn();
        if ([...seen].every(([path, version]) => read(path).version === version)) {
          for (const [path, data] of writes) write(path, data);
          return result;
        }
        retried += 1;
      }
      throw new Error("ABORTED: too much contention on these documents");
    },
  };
}
