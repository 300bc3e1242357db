// Puts together what shows and erases what is stored of a person. Called by compose.ts; nothing runs before `start`.
import type { Accounts } from "./accounts/accounts.ts";
import { personHandlers } from "./api/persons.ts";
import { presentAppEvent } from "./claims/app-events.ts";
import { createDeviceHash } from "./claims/identity.ts";
import { createPersonsStore } from "./claims/persons-store.ts";
import { createAboutStore } from "./events/about-store.ts";
import type { Erasing } from "./events/erasing.ts";
import { createPersons } from "./persons/persons.ts";
import { createRunner } from "./persons/runner.ts";
import { createErasureStore } from "./persons/store.ts";
import type { Clock } from "./platform/clock.ts";
import type { Database } from "./platform/database.ts";
import type { Ids } from "./platform/ids.ts";
import { log } from "./platform/log.ts";

export interface PersonParts {
  db: Database;
  ids: Ids;
  clock: Clock;
  seal_key: Buffer;
  accounts: Pick<Accounts, "findApp">;
  erasing: Erasing;
}

export function composePersons({ db, ids, clock, seal_key, accounts, erasing }: PersonParts) {
  const erasures = createErasureStore(db);
  const found = { store: createPersonsStore(db), about: createAboutStore(db), erasures };
  const elapsed = () => performance.now();
  // An SQLite file has one dispatcher: what the one before has begun is this one's at once.
  const holder = db.engine === "sqlite" ? "the dispatcher" : ids.uuid();
  const runner = createRunner({ ...found, erasing, clock, elapsed, holder, log });
  const persons = createPersons({
    ...{ ...found, ids, now: clock.now, wake: runner.wake, presentAppEvent },
    ...{ findApp: accounts.findApp, hashDevice: createDeviceHash(seal_key) },
  });
  return { handlers: personHandlers(persons), start: runner.start, stop: runner.stop };
}
