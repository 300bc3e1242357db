// Deliveries in the one database of each engine, for tests of the statements over them.
import assert from "node:assert/strict";
import type { DeliveryRow } from "../../src/deliveries/delivery.ts";
import { createDeliveryStore, insertDeliveries } from "../../src/deliveries/store.ts";
import type { Database } from "../../src/platform/database.ts";
import type { Engine } from "./engines.ts";

export const NOW = 1_700_000_000_000;

let databases: Map<Engine, Promise<Database>> | undefined;
let count = 0;

/** A delivery of a destination of its own, in the one database of each engine. */
export async function openWith(engine: Engine, changes: Partial<DeliveryRow>) {
  databases ??= new Map();
  const opening = databases.get(engine) ?? engine.open();
  databases.set(engine, opening);
  const db = await opening;
  const key = { destination_id: `dst_${++count}`, position: "p1" };
  const row: DeliveryRow = {
    ...{ ...key, app_id: "shop", event: "link.click", state: "pending", reason: null, attempt: 0, failures: 0 },
    ...{ leased: 0, due_at: NOW, trigger: "auto", resume_state: null, resume_at: null, created_at: NOW },
    ...{ settled_at: null, ...changes },
  };
  await db.batch([insertDeliveries([row])]);
  const store = createDeliveryStore(db);
  const find = async () => {
    const found = await store.find(key);
    assert.ok(found !== undefined);
    return found;
  };
  return { db, store, key, find };
}

export const position = (n: number) => `p${String(n).padStart(6, "0")}`;

export const pick = ({ state, attempt, failures, leased, due_at, trigger }: DeliveryRow) =>
  [state, attempt, failures, leased, due_at, trigger] as const;
