// How clicks and installs are counted at their links. Clicks at once where few links share a transaction, so that who looks sees
// them, all else in the table link_tallies, which is folded in the rhythm of analytics/folding.ts. Called by recorder.ts and
// claims/storing.ts; put together by compose.ts.
import type { Database } from "../platform/database.ts";
import { eachRow, expectRows, paddedList, rows, type Statement, sql } from "../platform/sql.ts";
import type { Click, ClickRow } from "./click.ts";

/** So many links are changed where their clicks are stored: with more, most are on a page of their own. */
export const LINKS_AT_ONCE_MAX = 8;
/** Links of one row. */
const ROW_LINKS_MAX = 50;
/** Rows of one step, and links after which it takes no more: PostgreSQL would read a whole table for more, while its statistics are old. */
const STEP_ROWS = 50;
const STEP_LINKS = 50;

/** What is added to a link. `last_click_at` is null without a click. */
interface LinkTally {
  readonly link_id: string;
  readonly clicks: number;
  readonly installs: number;
  readonly last_click_at: number | null;
}

type CountedClick = Pick<Click, "is_limited"> & { readonly row: Pick<ClickRow, "link_id" | "created_at"> };

/** To be run in the transaction that stores the clicks. A link with a click limit is counted at once, for its count ends it. */
export function countClicks(clicks: readonly CountedClick[], newId: () => string): Statement[] {
  const of_limited = new Set(clicks.filter(({ is_limited }) => is_limited).map(({ row }) => row.link_id));
  const tallies = sumUp(
    clicks.map(({ row }) => ({ link_id: row.link_id, clicks: 1, installs: 0, last_click_at: row.created_at })),
  );
  if (tallies.length <= LINKS_AT_ONCE_MAX) return addToLinks(tallies);
  const limited = tallies.filter(({ link_id }) => of_limited.has(link_id));
  const later = tallies.filter(({ link_id }) => !of_limited.has(link_id));
  return [...addToLinks(limited), ...insertTallies(later, newId)];
}

/** To be run in the transaction that claims: one install for each time that a link is named. */
export function countInstalls(link_ids: readonly string[], newId: () => string): Statement[] {
  const installs = link_ids.map((link_id) => ({ link_id, clicks: 0, installs: 1, last_click_at: null }));
  return insertTallies(sumUp(installs), newId);
}

/** In the order of link ids. */
function sumUp(tallies: readonly LinkTally[]): LinkTally[] {
  const sums = new Map<string, LinkTally>();
  for (const tally of tallies) {
    const sum = sums.get(tally.link_id);
    sums.set(tally.link_id, sum === undefined ? tally : addUp(sum, tally));
  }
  return [...sums.values()].sort((left, right) => (left.link_id < right.link_id ? -1 : 1));
}

function addUp(one: LinkTally, other: LinkTally): LinkTally {
  const times = [one.last_click_at, other.last_click_at].filter((at) => at !== null);
  return {
    link_id: one.link_id,
    clicks: one.clicks + other.clicks,
    installs: one.installs + other.installs,
    last_click_at: times.length === 0 ? null : Math.max(...times),
  };
}

/**
 * PostgreSQL changes the rows of an update in the order of its plan, which for few links is where they happen to lie: locked
 * by id first, two processes never wait in a circle. SQLite has one writer, for which the first statement is a look at each.
 */
function addToLinks(tallies: readonly LinkTally[]): Statement[] {
  if (tallies.length === 0) return [];
  const ids = tallies.map(({ link_id }) => link_id);
  const values = tallies.map((one) => [one.link_id, one.clicks, one.installs, one.last_click_at]);
  return [
    sql`select id from links where id in (${paddedList(ids)}) order by id /* locked */`,
    sql`update links set click_count = click_count + column2, install_count = install_count + column3,
      last_click_at = case when last_click_at is null or last_click_at < column4 then coalesce(column4, last_click_at)
        else last_click_at end
      ${eachRow(values, ["text", "bigint", "bigint", "bigint"])} where links.id = column1`,
  ];
}

function insertTallies(tallies: readonly LinkTally[], newId: () => string): Statement[] {
  if (tallies.length === 0) return [];
  const count = Math.ceil(tallies.length / ROW_LINKS_MAX);
  const waiting = Array.from({ length: count }, (_, n) => {
    const part = tallies.slice(n * ROW_LINKS_MAX, (n + 1) * ROW_LINKS_MAX);
    return [newId(), JSON.stringify(part.map((one) => [one.link_id, one.clicks, one.installs, one.last_click_at]))];
  });
  return [sql`insert into link_tallies (id, tallies) values ${rows(waiting)}`];
}

/** One install, of a link that a statement names. To stand in a select. */
export function installOf(link_id: Statement): Statement {
  return sql`'[["' || ${link_id} || '",0,1,null]]'`;
}

function readTallies(text: string): LinkTally[] {
  // Written above.
  const stored = JSON.parse(text) as [string, number, number, number | null][];
  return stored.map(([link_id, clicks, installs, last_click_at]) => ({ link_id, clicks, installs, last_click_at }));
}

/** A step of folding: adds the oldest tallies to their links. A link that is gone is given nothing. */
export function createLinkCounting({ query, batch }: Pick<Database, "query" | "batch">) {
  /**
   * Answers whether there were any.
   * @throws DatabaseError "unmet" when somebody else has just folded them
   */
  async function foldSome(): Promise<boolean> {
    const found = await query<{ id: string; tallies: string }>(
      sql`select id, tallies from link_tallies order by id limit ${STEP_ROWS}`,
    );
    if (found.length === 0) return false;
    const ids: string[] = [];
    const taken: LinkTally[] = [];
    for (const { id, tallies } of found) {
      if (taken.length >= STEP_LINKS) break;
      ids.push(id);
      taken.push(...readTallies(tallies));
    }
    await batch([
      // Held by whoever folds.
      sql`select id from click_tallies where id = '' /* locked */`,
      expectRows(ids.length, deleteTallies(ids)),
      ...addToLinks(sumUp(taken)),
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
