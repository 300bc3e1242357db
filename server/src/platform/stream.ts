// What a stream is made of: messages from a source that reads the journal, and the cursor that a client sends back. The
// sources are events/tail.ts and deliveries/tail.ts; api/streams.ts sends what they give.
import { AppError, invalid } from "../errors.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { ReaderPlace } from "./journal-reader.ts";

export interface Message {
  /** The cursor behind this message. */
  id: string;
  /** One line of JSON. */
  data: string;
}

export interface Source {
  /** Reads on, a page at the most. `is_done`: that was all there is at the moment. */
  next(): Promise<{ messages: readonly Message[]; is_done: boolean }>;
  /** Behind everything that `next` has looked at. */
  cursor(): string;
  /** What the client has to know before it goes on: that something between may be missing. */
  notice: string | null;
}

/** Where a stream stands. */
export interface Cursor extends ReaderPlace {
  /** The highest position so far: where to go on when the journal does not reach back any more; empty when there is none. */
  position: string;
  /** Positions up to this one come first, and the journal behind its place after them; empty in the journal. */
  until: string;
}

export function writeCursor({ tx, part, index, position, until }: Cursor): string {
  return encodeCursor([tx, part, index, position, until]);
}

/** @throws AppError invalid_request with the path `last-event-id` */
export function readCursor(text: string): Cursor {
  try {
    const [tx, part, index, position, until] = decodeCursor(text, ["number", "string", "number", "string", "string"]);
    return {
      ...{ tx: Number(tx), part: String(part), index: Number(index) },
      ...{ position: String(position), until: String(until) },
    };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw invalid("last-event-id", "the id of a message of this stream, unchanged");
  }
}
