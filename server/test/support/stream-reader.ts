// A client of the live streams, as one would write it: reads messages, remembers the last id, connects again with it.
// Called by tests that look at a server from the outside.
import { request } from "undici";

export interface StreamMessage {
  id: string;
  event: string | null;
  data: string;
}

export interface StreamReader {
  /** Everything that was received, in order. */
  readonly messages: StreamMessage[];
  /** The last id, of a message or alone. */
  lastId(): string | null;
  /**
   * Connects, and reads until the stream ends or so many messages more have come.
   * @returns the status of the answer, 0 when there was none
   */
  read(url: string, limit?: number): Promise<number>;
  /** Ends what is being read. */
  close(): void;
}

export function createStreamReader(path: string, token: string): StreamReader {
  const messages: StreamMessage[] = [];
  let last_id: string | null = null;
  let abort = new AbortController();

  async function read(url: string, limit = Number.POSITIVE_INFINITY): Promise<number> {
    abort = new AbortController();
    let status = 0;
    try {
      const headers: Record<string, string> = { authorization: `Bearer ${token}` };
      if (last_id !== null) headers["last-event-id"] = last_id;
      const answer = await request(url + path, { headers, signal: abort.signal, bodyTimeout: 0 });
      status = answer.statusCode;
      answer.body.setEncoding("utf8");
      await readBlocks(answer.body, messages.length + limit);
    } catch {
      // The server is gone, or the reader was closed: whoever reads looks at what has come.
    }
    return status;
  }

  async function readBlocks(body: AsyncIterable<string>, end: number): Promise<void> {
    let text = "";
    for await (const piece of body) {
      text += piece;
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        take(block);
        // What has arrived behind it is thrown away, as by a client that dies.
        if (messages.length >= end) return;
      }
    }
  }

  function take(block: string): void {
    const fields = new Map(
      block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    last_id = fields.get("id") ?? last_id;
    const data = fields.get("data");
    if (data !== undefined) messages.push({ id: last_id ?? "", event: fields.get("event") ?? null, data });
  }

  return { messages, lastId: () => last_id, read, close: () => abort.abort() };
}
