// How clicks are counted at their links: at once where few links share a transaction, so that who looks sees them, and otherwise
// in the table link_tallies, which is folded in the rhythm of analytics/folding.ts. Called by recorder.ts; put together by compose.ts.
import type { Database } from "../platform/database.ts";
import { eachRow, expectRows, paddedList, rows, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import type { Click, ClickRow } from "./click.ts";

/** So many links are changed where their clicks are stored: with more, most are on a page of their own. */
export const LINKS_AT_ONCE_MAX = 8;
/** Of one step: PostgreSQL would read the whole table for more, while its statistics are old. */
const STEP_TALLIES = 50;

/** [link_id, clicks, last_click_at] */
type LinkTally = readonly [string, number, number];

type CountedClick = Pick<Click, "is_limited"> & { readonly row: Pick<ClickRow, "link_id" | "created_at"> };

/** To be run in the transaction that stores the clicks. A link with a click limit is counted at once, for its count ends it. */
export function countClicks(clicks: readonly CountedClick[], newId: () => string): Statement[] {
  const of_limited = new Set(clicks.filter(({ is_limited }) => is_limited).map(({ row }) => row.link_id));
  const tallies = sumUp(clicks.map(({ row }) => [row.link_id, 1, row.created_at]));
  if (tallies.length <= LINKS_AT_ONCE_MAX) return addToLinks(tallies);
  const limited = tallies.filter(([link_id]) => of_limited.has(link_id));
  const later = tallies.filter(([link_id]) => !of_limited.has(link_id));
  const waiting = later.map((tally): SqlValue[] => [newId(), ...tally]);
  return [...addToLinks(limited), ...(waiting.length === 0 ? [] : [insertTallies(waiting)])];
}

/** In the order of link ids. */
function sumUp(tallies: readonly LinkTally[]): LinkTally[] {
  const sums = new Map<string, LinkTally>();
  for (const [link_id, clicks, last_click_at] of tallies) {
    const [, sum, last] = sums.get(link_id) ?? ["", 0, last_click_at];
    sums.set(link_id, [link_id, sum + clicks, Math.max(last, last_click_at)]);
  }
  return [...sums.values()].sort(([left], [right]) => (left < right ? -1 : 1));
}

/**
 * PostgreSQL changes the rows of an update in the order of its plan, which for few links is where they happen to lie: locked
 * by id first, two processes never wait in a circle. SQLite has one writer, for which the first statement is a look at each.
 */
function addToLinks(tallies: readonly LinkTally[]): Statement[] {
  if (tallies.length === 0) return [];
  const ids = tallies.map(([link_id]) => link_id);
  return [
    sql`select id from links where id in (${paddedList(ids)}) order by id /* locked */`,
    sql`update links set click_count = click_count + column2,
      last_click_at = case when last_click_at > column3 then last_click_at else column3 end
      ${eachRow(tallies, ["text", "bigint", "bigint"])} where links.id = column1`,
  ];
}

function insertTallies(waiting: readonly SqlValue[][]): Statement {
  return sql`insert into link_tallies (id, link_id, clicks, last_click_at) values ${rows(waiting)}`;
}

/** A step of folding: adds the oldest tallies to their links. A link that is gone is given nothing. */
export function createLinkCounting({ query, batch }: Pick<Database, "query" | "batch">) {
  /**
   * Answers whether there were any.
   * @throws DatabaseError "unmet" when somebody else has just folded them
   */
  async function foldSome(): Promise<boolean> {
    const found = await query<{ id: string; link_id: string; clicks: number; last_click_at: number }>(
      sql`select id, link_id, clicks, last_click_at from link_tallies order by id limit ${STEP_TALLIES}`,
    );
    if (found.length === 0) return false;
    const sums = sumUp(found.map(({ link_id, clicks, last_click_at }) => [link_id, clicks, last_click_at]));
    const ids = found.map(({ id }) => id);
    await batch([
      // Held by whoever folds.
      sql`select id from click_tallies where id = '' /* locked */`,
      expectRows(ids.length, deleteTallies(ids)),
      ...addToLinks(sums),
    ]);
    return true;
  }

  return { foldSome };
}

/** The bounds keep PostgreSQL from reading a table of which its statistics know one row. @param ids in their order */
function deleteTallies(ids: readonly string[]): Statement {
  return sql`delete from link_tallies where id >= ${ids[0] ?? ""} and id <= ${ids.at(-1) ?? ""}
    and id in (${paddedList(ids)}) returning id`;
}
