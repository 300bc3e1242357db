// Who is tied to which click: a device or a user of an app, and the first click that led there. Pure; called by claims.ts and
// app-events.ts, for apps that have their users' consent alone. What is told in an event is what is stored with it: the rows
// made here are refused when somebody else has tied the same device or user to another click meanwhile (identity-store.ts).
import { createHmac } from "node:crypto";
import type { App } from "#contract/apps.ts";
import type { GoogleIds } from "#contract/events.ts";

/** A row that says nothing new is written once in this time, so that it does not expire. */
const SEEN_EVERY_MS = 24 * 3_600_000;
/** 128 bits in base64url. */
const HASH_CHARS = 22;
const PURPOSE = "linkme device";

/** Whoever calls, as far as they say. */
export interface Person {
  readonly user_id: string | null;
  /** A keyed hash of the device's id. */
  readonly device: string | null;
}

export const NOBODY: Person = { user_id: null, device: null };

export interface IdentityRow {
  readonly app_id: string;
  readonly kind: "device" | "user";
  readonly key: string;
  readonly first_cid: string | null;
  /** Of a device: who was seen on it last. */
  readonly user_id: string | null;
  /** 1: several users were seen on the device. */
  readonly is_shared: number;
  /** GoogleIds as JSON text, of the first click that had them; null on a device that several users share. */
  readonly ga: string | null;
  readonly seen_at: number;
}

/** The part of a click that ties. */
export interface TiedClick {
  readonly cid: string;
  readonly user_id: string | null;
  readonly device: string | null;
  readonly ga: string | null;
}

export interface Known {
  readonly device: IdentityRow | null;
  readonly user: IdentityRow | null;
  readonly click: TiedClick | null;
}

/** What an event may tell beside what its caller said. */
export interface Told {
  first_cid?: string;
  user_id?: string;
  ga?: GoogleIds;
}

export interface Stitch {
  readonly told: Told;
  /** What is to be stored, as far as it is new. */
  readonly rows: readonly IdentityRow[];
  /** Whether the click does not know yet whose it is. */
  readonly marks_click: boolean;
}

/** Keyed, so that nobody finds a device by trying its id without the server's key, and by app, so that apps cannot be joined. */
export function createDeviceHash(secret: Buffer): (app_id: string, device_id: string) => string {
  const key = createHmac("sha256", secret).update(PURPOSE).digest();
  return (app_id, device_id) =>
    createHmac("sha256", key).update(`${app_id} ${device_id.toLowerCase()}`).digest("base64url").slice(0, HASH_CHARS);
}

/** Nobody without the app's consent setting. */
export function personOf(
  app: Pick<App, "id" | "analytics_consent">,
  { user_id, device }: { user_id: string | null; device: { id: string | null } },
  hashDevice: (app_id: string, device_id: string) => string,
): Person {
  if (!app.analytics_consent) return NOBODY;
  return { user_id, device: device.id === null ? null : hashDevice(app.id, device.id) };
}

/** Whose event it is: a caller that says nothing of itself is whoever the click that it names belongs to. */
export function ownerOf(person: Person, click: TiedClick | null): Person {
  if (click === null || person.user_id !== null || person.device !== null) return person;
  return { user_id: click.user_id, device: click.device };
}

/** @param app_id with the consent setting on */
export function stitch(app_id: string, person: Person, { device, user, click }: Known, now: number): Stitch {
  const first_cid = device?.first_cid ?? user?.first_cid ?? click?.cid ?? null;
  const user_id = person.user_id ?? (device?.is_shared === 1 ? null : (device?.user_id ?? null));
  const is_other = person.user_id !== null && device?.user_id != null && device.user_id !== person.user_id;
  const is_shared = device?.is_shared === 1 || is_other ? 1 : 0;
  // Google's client of one of those who share a device is not the other's.
  const ga = (is_shared === 1 ? null : device?.ga) ?? user?.ga ?? click?.ga ?? null;
  const rows: IdentityRow[] = [];
  if (person.device !== null && (first_cid !== null || user_id !== null)) {
    const last = person.user_id ?? device?.user_id ?? null;
    const of_device = { user_id: last, is_shared, ga: is_shared === 1 ? null : ga, seen_at: now };
    rows.push({ app_id, kind: "device", key: person.device, first_cid, ...of_device });
  }
  if (person.user_id !== null && first_cid !== null) {
    const own = { first_cid: user?.first_cid ?? first_cid, ga: user?.ga ?? ga };
    rows.push({ app_id, kind: "user", key: person.user_id, ...own, user_id: null, is_shared: 0, seen_at: now });
  }
  return {
    told: tell(first_cid, user_id, ga),
    rows: rows.filter((row) => isNew(row, row.kind === "device" ? device : user)),
    marks_click: click !== null && addsTo(person, click),
  };
}

function tell(first_cid: string | null, user_id: string | null, ga: string | null): Told {
  const told: Told = {};
  if (first_cid !== null) told.first_cid = first_cid;
  if (user_id !== null) told.user_id = user_id;
  if (ga !== null) told.ga = googleIdsOf(ga);
  return told;
}

/** Written by click.ts from a value of this type. */
export function googleIdsOf(ga: string): GoogleIds {
  return JSON.parse(ga) as GoogleIds;
}

function isNew(row: IdentityRow, known: IdentityRow | null): boolean {
  if (known === null || Math.abs(row.seen_at - known.seen_at) >= SEEN_EVERY_MS) return true;
  return (["first_cid", "user_id", "is_shared", "ga"] as const).some((column) => row[column] !== known[column]);
}

function addsTo(person: Person, click: TiedClick): boolean {
  const adds_user = person.user_id !== null && click.user_id === null;
  return adds_user || (person.device !== null && click.device === null);
}
