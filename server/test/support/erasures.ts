// Erasures of persons that are asked for over HTTP and carried on by the test itself, without a rest. Used by the tests of persons.
import assert from "node:assert/strict";
import { Erasure } from "#contract/persons.ts";
import { createPersonsStore } from "../../src/claims/persons-store.ts";
import { createAboutStore } from "../../src/events/about-store.ts";
import { createErasing } from "../../src/events/erasing.ts";
import { createErasingStore } from "../../src/events/erasing-store.ts";
import { createEventStore } from "../../src/events/store.ts";
import { createRunner } from "../../src/persons/runner.ts";
import { createErasureStore } from "../../src/persons/store.ts";
import type { Database } from "../../src/platform/database.ts";
import type { TestApi } from "./api.ts";

const TABLES = ["events", "deliveries", "attempts", "clicks", "app_events", "identities", "erasures", "erasure_keys"];

export async function storedText({ db }: TestApi, tables = TABLES): Promise<string> {
  const all = tables.map((one) => db.query({ kind: "statement", parts: [`select * from ${one}`], values: [] }));
  return JSON.stringify(await Promise.all(all));
}

/** Asks for it and carries it on, without a rest. */
export async function finished(api: TestApi, app_id: string, body: object, db = api.db): Promise<Erasure> {
  const asked = await api.call("POST", `/api/apps/${app_id}/erasures`, body);
  assert.equal(asked.status, 202, JSON.stringify(asked.body));
  let erasure = Erasure.strict().parse(asked.body);
  assert.equal(erasure.state, "running");
  assert.equal(await runnerOn(db).runRound(), true);
  erasure = Erasure.strict().parse((await api.call("GET", `/api/erasures/${erasure.id}`)).body);
  assert.equal(erasure.state, "done");
  return erasure;
}

export const countsOf = ({ events, clicks, app_events, identities }: Erasure) => ({
  events,
  clicks,
  app_events,
  identities,
});

export function runnerOn(db: Database, names_max = 1_000) {
  const erasing = createErasing({
    ...{ store: createErasingStore(db), events: createEventStore(db), now: Date.now, log: () => {} },
    dispatcher: { wake: () => {}, forget: () => {} },
  });
  return createRunner({
    ...{ store: createPersonsStore(db), about: createAboutStore(db), erasures: createErasureStore(db), erasing },
    ...{ holder: "one", names_max, elapsed: () => 0, log: () => {} },
    clock: {
      now: Date.now,
      after(_delay_ms, callback) {
        queueMicrotask(callback);
        return () => {};
      },
    },
  });
}
