// Log lines: one JSON object a line on stdout. `event` is a stable dotted name, the fields are ids and numbers; secrets,
// keys and bodies are never passed in. Long texts are cut, so that one line stays one line of a few kilobytes.
import { isDatabaseError } from "./database.ts";

export type LogLevel = "info" | "warn" | "error";

const TEXT_MAX_CHARS = 4_000;

/** @example log("server.ready", { url: "http://127.0.0.1:8080" }) */
export function log(event: string, fields: Record<string, unknown> = {}, level: LogLevel = "info"): void {
  process.stdout.write(composeLine(event, fields, level, new Date()));
}

/** The line itself, with its line break. Errors become their message, code, causes and stack; an outage has none. */
export function composeLine(event: string, fields: Record<string, unknown>, level: LogLevel, at: Date): string {
  const shown: Record<string, unknown> = { ts: at.toISOString(), level, event };
  for (const [name, value] of Object.entries(fields)) shown[name] = value instanceof Error ? describe(value) : value;
  return `${JSON.stringify(shown, shorten)}\n`;
}

/** Where in the code an outage was noticed tells nothing, and there are many lines of it. */
function describe(error: Error, has_stack = !isDatabaseError(error, "unavailable")): Record<string, unknown> {
  const { message, stack, cause } = error;
  const code = "code" in error ? error.code : undefined;
  const below = cause instanceof Error ? describe(cause, has_stack) : undefined;
  return { message, code, cause: below, stack: has_stack ? stack : undefined };
}

function shorten(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "string" || value.length <= TEXT_MAX_CHARS) return value;
  return `${value.slice(0, TEXT_MAX_CHARS)}… (${value.length} characters)`;
}
