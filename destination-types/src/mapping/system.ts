// The operating system that an event tells of, as vendors write its name.
import { type SourceEvent, textOf } from "./source.ts";

const SYSTEMS: ReadonlyMap<string, string> = new Map([
  ["ios", "iOS"],
  ["android", "Android"],
]);

/** Undefined for `web`: a browser runs on any. */
export function systemOf(data: SourceEvent["data"]): string | undefined {
  return SYSTEMS.get(textOf(data, "platform")?.toLowerCase() ?? "");
}
