// SQL that finds which stored events pass a filter. However many and however large they are, no more than a page of their bodies
// is in memory at a time for each `createPassing`, and between two pages the event loop does what else it has at hand.
// Called by missed-store.ts and replay-walk-store.ts.
import type { Database } from "../platform/database.ts";
import { createSerial } from "../platform/serial.ts";
import { list, sql } from "../platform/sql.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { type CompiledFilter, subjectOf } from "./filter.ts";

/** Bytes of bodies that one look reads for a filter, and one event at least. */
export const PASSING_BYTES_MAX = 4 * 1024 * 1024;
/** Of one page: one body may have 256 KiB. */
const PAGE_BYTES_MAX = 512 * 1024;
const PAGE_ROWS_MAX = 50;
/** Events whose sizes one query answers. */
const SIZES_AT_ONCE = 500;

export interface Candidate {
  position: string;
  event: string;
  link_id: string | null;
}

export interface PassingOptions<One> {
  /** Those that the filter decides on; the others pass. */
  isAsked?(one: One): boolean;
  /** The look ends with so many that pass. */
  passing_max?: number;
  bytes_max?: number;
}

export function createPassing({ query }: Pick<Database, "query">) {
  /** Looks that are under way at the same time read their pages one after another. */
  const serially = createSerial();

  /**
   * Those that pass, in the order given, and how many of the first were looked at: all, unless what the options bound is
   * used up. It is one at the least, so who goes on behind those comes to the end.
   */
  async function passingOf<One extends Candidate>(
    app_id: string,
    candidates: readonly One[],
    filter: CompiledFilter,
    options: PassingOptions<One> = {},
  ): Promise<{ passing: One[]; looked: number }> {
    const { isAsked = () => true, passing_max = Number.POSITIVE_INFINITY } = options;
    const passing: One[] = [];
    let bytes_left = options.bytes_max ?? Number.POSITIVE_INFINITY;
    let looked = 0;
    const sizes: number[] = [];
    // At first as many as are wanted, then twice as many each time, for a filter may refuse nearly all.
    let rows = Math.min(passing_max, PAGE_ROWS_MAX);
    while (looked < candidates.length && passing.length < passing_max) {
      if (sizes.length === looked) {
        const sized = candidates.slice(looked, looked + (rows < PAGE_ROWS_MAX ? rows : SIZES_AT_ONCE));
        const found = filter.needs_data ? await sizesOf(app_id, sized.filter(isAsked)) : new Map<string, number>();
        sizes.push(...sized.map(({ position }) => found.get(position) ?? 0));
      }
      const page_sizes = pageOf(sizes.slice(looked, looked + rows), bytes_left, looked === 0);
      if (page_sizes.length === 0) break;
      const page = candidates.slice(looked, looked + page_sizes.length);
      const read = filter.needs_data ? page.filter(isAsked) : [];
      looked += await serially(async () => {
        const bodies = await bodiesOf(app_id, read);
        let seen = 0;
        for (const one of page) {
          if (passing.length >= passing_max) break;
          seen += 1;
          const body = bodies.get(one.position) ?? "{}";
          if (!isAsked(one) || filter.refusal(subjectOf({ ...one, body })) === null) passing.push(one);
        }
        await yieldToEventLoop();
        return seen;
      });
      rows = Math.min(2 * rows, PAGE_ROWS_MAX);
      bytes_left -= page_sizes.reduce((sum, size) => sum + size, 0);
    }
    return { passing, looked };
  }

  /** Told without reading them. */
  async function sizesOf(app_id: string, events: readonly Candidate[]): Promise<Map<string, number>> {
    if (events.length === 0) return new Map();
    const found = await query<{ position: string; bytes: number }>(sql`select position, octet_length(body) as bytes
      from events where app_id = ${app_id} and position in (${list(events.map(positionOf))})`);
    return new Map(found.map(({ position, bytes }) => [position, bytes]));
  }

  async function bodiesOf(app_id: string, events: readonly Candidate[]): Promise<Map<string, string>> {
    if (events.length === 0) return new Map();
    const found = await query<{ position: string; body: string }>(sql`select position, body from events
      where app_id = ${app_id} and position in (${list(events.map(positionOf))})`);
    return new Map(found.map(({ position, body }) => [position, body]));
  }

  return { passingOf };
}

/** The sizes of those that the next page has; none when nothing more may be read. The first of all is always read. */
function pageOf(sizes: readonly number[], bytes_left: number, is_first: boolean): number[] {
  const page: number[] = [];
  let room = Math.min(PAGE_BYTES_MAX, bytes_left);
  for (const size of sizes) {
    const is_forced = page.length === 0 && (is_first || size <= bytes_left);
    if (size > room && !is_forced) break;
    page.push(size);
    room -= size;
  }
  return page;
}

function positionOf({ position }: Candidate): string {
  return position;
}
