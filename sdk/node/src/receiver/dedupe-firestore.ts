// `@li-nk.me/node-sdk/receiver/dedupe-firestore`: remembers in a collection of Firestore. What is looked at and then written is so
// within a transaction, which Firestore runs again when somebody else was faster.
import type { DedupeStore } from "./dedupe.ts";
import { createLeaseOwner } from "./lease-owner.ts";

/** As much of a `DocumentReference` as is used; transactions take it as it came. */
export interface FirestoreDocument {
  readonly id: string;
  set(data: Record<string, unknown>): Promise<unknown>;
}

export interface FirestoreSnapshot {
  data(): Record<string, unknown> | undefined;
}

export interface FirestoreTransaction {
  get(document: FirestoreDocument): Promise<FirestoreSnapshot>;
  set(document: FirestoreDocument, data: Record<string, unknown>): unknown;
  delete(document: FirestoreDocument): unknown;
}

/** As much of `Firestore` as is used: `getFirestore()` of firebase-admin, or `new Firestore()` of @google-cloud/firestore. */
export interface FirestoreLike {
  collection(path: string): { doc(id: string): FirestoreDocument };
  runTransaction<Result>(update: (transaction: FirestoreTransaction) => Promise<Result>): Promise<Result>;
}

export interface FirestoreDedupeOptions {
  firestore: FirestoreLike;
  /** Default `linkme_dedupe`. */
  collection?: string;
  /** Milliseconds since 1970; default `Date.now`. */
  now?: () => number;
}

/**
 * A dedupe store in Firestore. Documents whose time is over count as absent; so that they are deleted, set a TTL policy on the
 * field `expires_at` of the collection:
 * `gcloud firestore fields ttls update expires_at --collection-group=linkme_dedupe --enable-ttl`
 *
 * @example createReceiver({ secrets, dedupe: firestoreDedupe({ firestore: getFirestore() }) })
 */
export function firestoreDedupe(options: FirestoreDedupeOptions): DedupeStore {
  const { firestore, collection = "linkme_dedupe", now = Date.now } = options;
  const owner = createLeaseOwner();
  // Keys hold no slash, which would be a path, and no dots alone or underscores around, which Firestore keeps for itself.
  const documentOf = (key: string) => firestore.collection(collection).doc(key);

  function entry(is_done: boolean, span_ms: number): Record<string, unknown> {
    const expires_at_ms = now() + span_ms;
    // The date is for the TTL policy, which reads nothing else; the number is compared without Firestore's own type of times.
    return { owner: owner(), is_done, expires_at_ms, expires_at: new Date(expires_at_ms) };
  }

  return {
    begin(key, lease_ms) {
      const document = documentOf(key);
      return firestore.runTransaction(async (transaction) => {
        const found = (await transaction.get(document)).data();
        if (found !== undefined && Number(found["expires_at_ms"]) > now()) {
          return found["is_done"] === true ? "done" : "in_progress";
        }
        transaction.set(document, entry(false, lease_ms));
        return "fresh";
      });
    },
    async done(key, ttl_ms) {
      await documentOf(key).set(entry(true, ttl_ms));
    },
    async release(key) {
      const document = documentOf(key);
      await firestore.runTransaction(async (transaction) => {
        const found = (await transaction.get(document)).data();
        if (found?.["owner"] === owner() && found["is_done"] !== true) transaction.delete(document);
      });
    },
  };
}
