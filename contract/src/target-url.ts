// What the text of a URL has to be for events to go there: all that can be said of it without knowing its addresses. Pure.
// Used by the schemas, so that it is told together with what else is wrong, and by the egress gate.
import { z } from "zod";
import { URL_MAX_CHARS } from "./fields.ts";

export const WHAT_IS_ACCEPTED = "Use a public https URL, such as https://example.com/webhooks";

/** Null for a text that may be a target, else sentences for whoever typed it. */
export function targetUrlProblem(text: string): string | null {
  const problem = problemOf(text);
  return problem === null ? null : `${problem}. ${WHAT_IS_ACCEPTED}.`;
}

export const TargetUrl = z
  .string()
  .min(1, { abort: true })
  .max(URL_MAX_CHARS, { abort: true })
  .refine((text) => targetUrlProblem(text) === null, { error: ({ input }) => targetUrlProblem(String(input)) ?? "" });

function problemOf(text: string): string | null {
  if (text.length > URL_MAX_CHARS) return `The URL is longer than ${URL_MAX_CHARS} characters`;
  // The URL parser drops tabs, line ends and outer spaces without a word; a paste error should not be that silent.
  if (/[\s\p{Cc}]/u.test(text)) return "The URL contains spaces or control characters";
  // The URL parser takes it for a slash, so that the host is another one than people read.
  if (text.includes("\\")) return "The URL contains a backslash";
  const url = URL.parse(text);
  if (url === null) return "The URL cannot be read";
  if (url.protocol !== "https:" && url.protocol !== "http:") return `${url.protocol}// URLs are not accepted`;
  if (url.username !== "" || url.password !== "") {
    return "A user name or password in the URL is not accepted; put credentials into a request header";
  }
  if (text.includes("#")) return "The part of the URL after # is never sent; remove it";
  if (url.hostname.replace(/\.$/, "") === "") return "The URL has no host";
  return url.port === "0" ? "Port 0 cannot be connected to" : null;
}
