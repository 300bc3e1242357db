// Looks up who is tied to which click before an event tells of it, and composes what is to be stored with the event. Created
// once by compose-edge.ts; called by claims.ts and app-events.ts. Nothing is read for an app without its users' consent.
import type { App } from "#contract/apps.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import {
  type IdentityRow,
  NOBODY,
  ownerOf,
  type Person,
  personOf,
  stitch,
  type TiedClick,
  type Told,
} from "./identity.ts";
import { keepClick, markClick, selectIdentities, selectTiedClick } from "./identity-store.ts";
import type { Item, Store } from "./storing.ts";

/** What a caller says of itself. */
export interface Saying {
  readonly user_id: string | null;
  readonly device: { readonly id: string | null };
}

export interface Learned {
  readonly person: Person;
  readonly told: Told;
  readonly identities: readonly IdentityRow[];
  /** That the click which was named is still there, and whose it is, as far as it does not know that yet. */
  readonly clicks: NonNullable<Item["clicks"]>;
}

const NOTHING: Learned = { person: NOBODY, told: {}, identities: [], clicks: [] };

export interface IdentitiesOptions {
  db: Database;
  store: Store;
  hashDevice(app_id: string, device_id: string): string;
  now(): number;
}

export type Identities = ReturnType<typeof createIdentities>;

export function createIdentities({ db, store, hashDevice, now }: IdentitiesOptions) {
  /** @param named the click, or the token of one, that the caller names */
  async function learn(app: App, saying: Saying, named: TiedClick | string | null): Promise<Learned> {
    if (!app.analytics_consent) return NOTHING;
    const click = typeof named === "string" ? await selectTiedClick(db, app.id, named) : named;
    const person = personOf(app, saying, hashDevice);
    const owner = ownerOf(person, click);
    const is_known = owner.user_id !== null || owner.device !== null;
    const found = is_known ? await selectIdentities(db, app.id, owner) : [];
    const [device = null, user = null] = (["device", "user"] as const).map((kind) =>
      found.find((one) => one.kind === kind),
    );
    const { told, rows, marks_click } = stitch(app.id, owner, { device, user, click }, now());
    return { person: owner, told, identities: rows, clicks: click === null ? [] : changesOf(click.cid) };

    function changesOf(cid: string): Learned["clicks"] {
      if (marks_click) return [{ cid, statement: markClick(app.id, cid, person) }];
      return rows.length === 0 ? [] : [{ cid, statement: keepClick(app.id, cid) }];
    }
  }

  /** Where there is no event: what the caller says is tied all the same, and what is asked for does not wait for that to succeed. */
  async function note(app: App, saying: Saying, named: TiedClick | null): Promise<void> {
    try {
      const { identities, clicks } = await learn(app, saying, named);
      if (identities.length + clicks.length === 0) return;
      await store({ app_id: app.id, events: [], identities, clicks });
    } catch (error) {
      // Somebody was faster, the app is gone, or the database does not answer: the next call says the same again.
      if (!isDatabaseError(error, "unmet") && !isDatabaseError(error, "unavailable")) throw error;
    }
  }

  return { learn, note };
}
