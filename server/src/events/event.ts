// An event becomes a row here: the envelope is serialised once, and those bytes are stored and sent. Pure.
// Called by whoever has something to tell: ingest, the recorder, claims.
import { ENVELOPE_MAX_BYTES, type Envelope, type EventType, type StoredEvent } from "#contract/events.ts";
import { USER_ID_MAX_CHARS } from "#contract/users.ts";
import { refuse } from "../errors.ts";
import type { Ids } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";

/** Whom an event is about, as far as that is known without reading it. */
export interface About {
  cid?: string | null;
  user_id?: string | null;
  /** A keyed hash of the device's id. */
  device?: string | null;
}

/** A row of the table `events`. */
export interface EventRow extends About {
  app_id: string;
  /** Orders an app's events by acceptance; equal to `id` unless the caller gave the id. */
  position: string;
  id: string;
  event: EventType;
  link_id: string | null;
  /** Set on test events: the only destination that they are meant for. */
  target_id: string | null;
  created_at: number;
  body: string;
  /** When what it said was erased; absent on rows that are about to be stored. */
  erased_at?: number | null;
}

export interface NewEvent {
  app_id: string;
  event: EventType;
  data: Record<string, unknown>;
  link_id?: string | undefined;
  /** A UUID given by the caller; absent: the server makes one. */
  id?: string | undefined;
  /** When it happened, in ms since 1970; absent: now. */
  ts?: number | undefined;
  target_id?: string | undefined;
  /** Left out where nobody looks for it: what a click makes is found by the time in its token. */
  about?: About | undefined;
}

/**
 * Makes the row of an event.
 * @throws AppError too_large when the envelope is over 256 KiB
 */
export function composeEvent(
  event: NewEvent,
  ids: Pick<Ids, "uuid">,
  now: number,
  toText: (at_ms: number) => string = timeText,
): EventRow {
  const position = ids.uuid();
  const id = event.id ?? position;
  const ts = toText(event.ts ?? now);
  // Nothing but app_id and data can hold what JSON escapes; written so, the envelope costs a third less.
  const tail = `"app_id":${JSON.stringify(event.app_id)},"data":${JSON.stringify(event.data)}}`;
  const body = `{"id":"${id}","event":"${event.event}","ts":"${ts}",${tail}`;
  // A character is at most three bytes, so most bodies need no count.
  if (body.length * 3 > ENVELOPE_MAX_BYTES && Buffer.byteLength(body) > ENVELOPE_MAX_BYTES) throw tooLarge();
  const row: EventRow = {
    app_id: event.app_id,
    position,
    id,
    event: event.event,
    link_id: event.link_id ?? null,
    target_id: event.target_id ?? null,
    created_at: now,
    body,
  };
  return event.about === undefined ? row : { ...row, ...event.about };
}

/** Whom an event of a backend says that it is about: told by members of its data that this server's own events have, too. */
export function aboutOf({ cid, user_id }: Record<string, unknown>): About | undefined {
  const about: About = {};
  if (typeof cid === "string" && isName(cid)) about.cid = cid;
  if ((typeof user_id === "string" && isName(user_id)) || typeof user_id === "number") about.user_id = String(user_id);
  return about.cid === undefined && about.user_id === undefined ? undefined : about;
}

function isName(text: string): boolean {
  return text !== "" && text.length <= USER_ID_MAX_CHARS;
}

/** What stays of an erased event's envelope: who and when, not what. Lists and streams show it as it is; nobody is sent it. */
export function tombstoneOf({ body }: Pick<EventRow, "body">, erased_at: number): string {
  // Written by composeEvent alone.
  const { id, event, ts, app_id } = JSON.parse(body) as Envelope;
  const tombstone: StoredEvent = { id, event, ts, app_id, data: {}, erased_at: timeText(erased_at) };
  return JSON.stringify(tombstone);
}

function tooLarge() {
  const message = `at most ${ENVELOPE_MAX_BYTES / 1024} KiB for the whole envelope`;
  return refuse("too_large", `data: ${message}`, [{ path: "data", message }]);
}
