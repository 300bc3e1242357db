// Lays the journeys of the events out as a table of at most 100 columns. Pure; called by main.ts.
import type { Row } from "./verdict.ts";

export type Style = "green" | "yellow" | "red" | "dim" | "bold";
/** Colours a text, or returns it as it is. */
export type Paint = (style: Style, text: string) => string;

const GAP = "  ";
const ID_SHOWN_CHARS = 8;
const MS_PER_SECOND = 1_000;

interface Column {
  title: string;
  align: "left" | "right";
  text(row: Row): string;
  style(row: Row): Style | null;
}

const verdictStyle = (row: Row): Style => (row.is_kept ? "green" : "red");

const COLUMNS: readonly Column[] = [
  { title: "event", align: "left", text: ({ event }) => event, style: () => null },
  { title: "id", align: "left", text: ({ id }) => shortId(id), style: () => "dim" },
  { title: "platform", align: "left", text: ({ platform }) => platform, style: () => null },
  {
    title: "attempts",
    align: "left",
    text: attempts,
    style: ({ statuses }) => (statuses.length > 1 ? "yellow" : null),
  },
  { title: "delivered", align: "right", text: ({ delivered_ms }) => duration(delivered_ms), style: () => null },
  { title: "verdict", align: "left", text: ({ is_kept }) => (is_kept ? "as promised" : "broken"), style: verdictStyle },
];

/** @returns lines without line breaks: the titles, a rule, the rows */
export function composeTable(rows: readonly Row[], paint: Paint): string[] {
  const widths = COLUMNS.map(({ title, text }) => Math.max(title.length, ...rows.map((row) => text(row).length)));
  const titles = COLUMNS.map((column, index) => paint("bold", pad(column, column.title, widths[index] ?? 0)));
  const rule = widths.map((width) => "─".repeat(width)).join(GAP);
  const lines = rows.map((row) =>
    COLUMNS.map((column, index) => {
      const style = column.style(row);
      const cell = pad(column, column.text(row), widths[index] ?? 0);
      return style === null ? cell : paint(style, cell);
    }).join(GAP),
  );
  return [titles.join(GAP), paint("dim", rule), ...lines].map((line) => line.trimEnd());
}

/** The last characters: the first ones of a UUID of version 7 are the time, the same for all events of a demo. */
export function shortId(id: string | null): string {
  return id === null ? "–" : `…${id.slice(-ID_SHOWN_CHARS)}`;
}

export function duration(ms: number | null): string {
  if (ms === null) return "never";
  return Math.round(ms) < MS_PER_SECOND ? `${Math.round(ms)} ms` : `${(ms / MS_PER_SECOND).toFixed(2)} s`;
}

function attempts({ statuses }: Row): string {
  return statuses.length === 0 ? "none" : statuses.join(" → ");
}

function pad({ align }: Column, text: string, width: number): string {
  return align === "left" ? text.padEnd(width) : text.padStart(width);
}
