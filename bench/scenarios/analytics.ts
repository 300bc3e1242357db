// Scenario `analytics`: a database with what ten million clicks of one app in 90 days add up to, and the questions that the API
// answers of it, of the whole app and of its most popular link. Longer than the others, so it runs only when it is named.
import { CLICK_DIMENSIONS, HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { DAY_MS, dayOf, HOUR_MS, WHOLE_APP } from "../../server/src/analytics/visit.ts";
import type { Database } from "../../server/src/platform/database.ts";
import { openDatabase } from "../../server/src/platform/database-open.ts";
import { sql } from "../../server/src/platform/sql.ts";
import { callApi, createApp, createDomain } from "../api.ts";
import { allClicks, type Counted, clicksOfLink, fillCounts } from "../counts.ts";
import { fillLinks, linkIdOf } from "../fill.ts";
import type { Engine, Options } from "../options.ts";
import { type Server, startServer } from "../processes.ts";
import { formatTimes, goalOf, TIMES, type Timing, timeQuestion } from "../questions.ts";
import { formatCount, formatGoals, formatTable, type Goal } from "../report.ts";

const DAYS = 90;
const LINKS = 1_000;
/** The most values that a question may ask for. */
const VALUES = 100;
/** Who answers only: what folds would look for tallies meanwhile. */
const ROLE = "api";

/** `rows`: how many the answer is made of. */
type Question = { name: string; path: () => string; rows: number };
type Rows = { hours: number; days: number; parts: number };

export type AnalyticsTimes = {
  engine: Engine["kind"];
  clicks: number;
  fill_seconds: number;
  /** of the whole database */
  rows: Rows;
  timings: (Timing & { rows: number })[];
  goals: Goal[];
  problems: string[];
};

export async function runAnalytics(options: Options, say: (text: string) => void): Promise<AnalyticsTimes> {
  const { clicks } = options;
  say(`analytics: ${formatCount(clicks)} clicks`);
  const server = await startServer(options.engine, ROLE);
  try {
    const app_id = await createApp(server);
    const domain_id = await createDomain(server, app_id);
    const db = await openDatabase(server.database_url);
    try {
      const counted: Counted = { app_id, clicks, links: LINKS, days: DAYS, end: dayOf(Date.now()) };
      const startedAt = performance.now();
      await fillLinks(db, { app_id, domain_id }, LINKS);
      await fillCounts(db, counted, say);
      // As PostgreSQL's autovacuum would some minutes later.
      await db.query(db.engine === "postgres" ? sql`vacuum analyze` : sql`analyze`);
      const fill_seconds = (performance.now() - startedAt) / 1_000;
      say(`analytics: filled in ${Math.round(fill_seconds)} s`);
      const rows = await countRows(db);
      const timings: AnalyticsTimes["timings"] = [];
      for (const question of await questionsOf(db, counted)) {
        const { name, path, rows } = question;
        timings.push({ ...(await timeQuestion(server, name, path)), rows });
      }
      const problems = await findProblems(server, counted);
      const goals = timings.map(goalOf);
      return { engine: options.engine.kind, clicks: allClicks(counted), fill_seconds, rows, timings, goals, problems };
    } finally {
      await db.close();
    }
  } finally {
    await server.stop();
  }
}

async function countRows(db: Database): Promise<Rows> {
  const [rows] = await db.query<Rows>(sql`select (select count(*) from click_hours) as hours,
    (select count(*) from click_days) as days, (select count(*) from click_parts) as parts`);
  if (rows === undefined) throw new Error("The rows were not counted.");
  return rows;
}

/** Every grouping and property that the API offers, of the app and of its most popular link. */
async function questionsOf(db: Database, counted: Counted): Promise<Question[]> {
  const questions: Question[] = [];
  for (const [whose, link_id] of [["app", WHOLE_APP] as const, ["link", linkIdOf(0)] as const]) {
    const of_it = sql`app_id = ${counted.app_id} and link_id = ${link_id}`;
    const [total] = await db.query<
      Omit<Rows, "parts">
    >(sql`select (select count(*) from click_hours where ${of_it}) as hours,
      (select count(*) from click_days where ${of_it}) as days`);
    const { hours = 0, days = 0 } = total ?? {};
    const parts = await db.query<{ dimension: string; rows: number }>(
      sql`select dimension, count(*) as rows from click_parts where ${of_it} group by dimension`,
    );
    const known = new Map(parts.map(({ dimension, rows }) => [dimension, rows]));
    const byDay = () => pathOf(counted, link_id);
    questions.push({ name: `${whose}, ${DAYS} days`, path: byDay, rows: days });
    for (const dimension of CLICK_DIMENSIONS) {
      const path = () => `${byDay()}&dimension=${dimension}&limit=${VALUES}`;
      questions.push({ name: `${whose}, ${DAYS} days, ${dimension}`, path, rows: days + (known.get(dimension) ?? 0) });
    }
    const byHour = () => hoursPathOf(counted, link_id);
    questions.push({ name: `${whose}, ${HOURS_KEPT_DAYS} days by the hour`, path: byHour, rows: hours });
  }
  return questions;
}

export function pathOf({ app_id, days, end }: Omit<Counted, "clicks" | "links">, link_id: string): string {
  const range = `since=${new Date(end - days * DAY_MS).toISOString()}&until=${new Date(end).toISOString()}`;
  return `/api/apps/${app_id}/analytics?${range}${link_id === WHOLE_APP ? "" : `&link_id=${link_id}`}`;
}

/** As far back as hours are kept, up to now. */
function hoursPathOf({ app_id }: Counted, link_id: string): string {
  const since = new Date(Date.now() - HOURS_KEPT_DAYS * DAY_MS + HOUR_MS).toISOString();
  return `/api/apps/${app_id}/analytics?by=hour&since=${since}${link_id === WHOLE_APP ? "" : `&link_id=${link_id}`}`;
}

/** Figures of a database that does not hold the clicks would say nothing. */
async function findProblems(server: Server, counted: Counted): Promise<string[]> {
  const problems: string[] = [];
  const asked = [
    ["app", WHOLE_APP, allClicks(counted)],
    ["link", linkIdOf(0), clicksOfLink(counted, 0)],
  ] as const;
  for (const [whose, link_id, expected] of asked) {
    const { totals } = await callApi(server, { method: "GET", path: pathOf(counted, link_id) });
    const clicks = typeof totals === "object" && totals !== null && "clicks" in totals ? totals.clicks : undefined;
    if (clicks !== expected) problems.push(`the ${whose} has ${String(clicks)} clicks instead of ${expected}`);
  }
  return problems;
}

/** The figures as plain text. */
export function formatAnalytics(times: AnalyticsTimes): string {
  const { clicks, rows, timings, fill_seconds, goals, problems } = times;
  const lines = timings.map((timing) => [timing.name, formatCount(timing.rows), ...formatTimes(timing)]);
  const [hours, days, parts] = [rows.hours, rows.days, rows.parts].map(formatCount);
  return [
    `analytics: ${formatCount(clicks)} clicks, counted in ${hours} rows of hours, ${days} of days and ${parts} of properties, written in ${Math.round(fill_seconds)} s`,
    "",
    formatTable([["one call at a time, ms", "rows", ...TIMES], ...lines]),
    "",
    formatGoals(goals),
    ...problems.map((text) => `PROBLEM  ${text}`),
  ].join("\n");
}
