// An event as a request to anything, by templates. Used by the destination of type `http` and by the forwarder of the SDK for Node.
// A place may stand in the path and in the query of the URL, percent-encoded, and never before them: no event decides which host
// gets it, nor leads out of the path that it stands in.
import { type Audience, exclusionOf } from "./audience.ts";
import type { Skipped, SourceEvent } from "./source.ts";
import {
  type Escape,
  fill,
  type Part,
  parseTemplate,
  type Secrets,
  type Template,
  valueAt,
  whyNoJson,
} from "./template.ts";

export type HttpFormat = "json" | "form" | "text";

export interface HttpSettings extends Pick<Audience, "skip_bots" | "respect_consent"> {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly secrets: Secrets;
  readonly format: HttpFormat;
  readonly body: string;
}

/** Templates that are read once for all events. */
export interface HttpTemplates {
  readonly settings: HttpSettings;
  readonly path: Template;
  readonly query: Template;
  readonly headers: readonly (readonly [string, Template])[];
  readonly body: Template;
}

export interface MappedHttp {
  readonly kind: "mapped";
  readonly url: string;
  /** Flat pairs of name and value. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** No request can be made of this event. */
export interface Unfit {
  readonly kind: "unfit";
  readonly message: string;
}

export interface Problem {
  /** Which setting, like `headers.X-Key`. */
  readonly path: readonly string[];
  readonly message: string;
}

/** Scheme, host and port: no place may stand there. */
const ORIGIN = /^https?:\/\/[^/?#\\{}\s]+/i;
/** As long as an address of a webhook may be. */
const FILLED_URL_MAX_CHARS = 2_048;
const FILLED_HEADER_MAX_CHARS = 8_000;
const ESCAPES: Readonly<Record<HttpFormat, Escape>> = { json: "json", form: "url", text: "none" };
/** As the URL standard reads them. */
const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i;

/** @returns all that is wrong with the settings, for the one who writes them, or the templates */
export function readTemplates(settings: HttpSettings): HttpTemplates | { problems: Problem[] } {
  const problems: Problem[] = [];
  const names = new Set(Object.keys(settings.secrets));
  const read = (path: readonly string[], text: string): Template => {
    const template = parseTemplate(text, names);
    if (!("problem" in template)) return template;
    problems.push({ path, message: template.problem });
    return [];
  };
  const url = read(["url"], settings.url);
  const body = read(["body"], settings.body);
  const headers = Object.entries(settings.headers).map(
    ([name, text]) => [name, read(["headers", name], text)] as const,
  );
  const wrong = problems.length > 0 ? null : (whyNoUrl(url) ?? whyNoBody(body, settings));
  if (wrong !== null) problems.push(wrong);
  return problems.length > 0 ? { problems } : { settings, ...splitUrl(url), headers, body };
}

function whyNoUrl(url: Template): Problem | null {
  const [first] = url;
  const origin = typeof first === "string" ? ORIGIN.exec(first)?.[0] : undefined;
  if (origin === undefined)
    return { path: ["url"], message: "begin it with https:// and a host; no {{…}} may stand there" };
  const rest = typeof first === "string" ? first.slice(origin.length) : "";
  if (url.length > 1 && rest === "")
    return { path: ["url"], message: "put a / behind the host: no {{…}} may be part of it" };
  if (rest !== "" && !/^[/?]/.test(rest)) return { path: ["url"], message: "put a / behind the host" };
  return leadsOut(pathOf(url, () => "x")) ? { path: ["url"], message: "a path without . and .. as a part" } : null;
}

function whyNoBody(body: Template, { format }: HttpSettings): Problem | null {
  const reason = format === "json" ? whyNoJson(body) : null;
  if (reason === null) return null;
  const message = `it is not JSON when it is filled in: ${reason}. A text stands in quotes, "{{name}}"; any value without them, {{json name}}`;
  return { path: ["body"], message };
}

/** Behind the first ? of what is written; one that is filled in is encoded. */
function splitUrl(url: Template): Pick<HttpTemplates, "path" | "query"> {
  const at = url.findIndex((part) => typeof part === "string" && part.includes("?"));
  const part = url[at];
  if (typeof part !== "string") return { path: url, query: [] };
  const mark = part.indexOf("?");
  return {
    path: [...url.slice(0, at), part.slice(0, mark)],
    query: [part.slice(mark), ...url.slice(at + 1)],
  };
}

function pathOf(url: Template, write: (part: Exclude<Part, string>) => string): string {
  return splitUrl(url)
    .path.map((part) => (typeof part === "string" ? part : write(part)))
    .join("");
}

function leadsOut(url: string): boolean {
  const path = url.replace(ORIGIN, "");
  return path.split("/").some((segment) => DOT_SEGMENT.test(segment));
}

export function mapHttp(event: SourceEvent, templates: HttpTemplates): MappedHttp | Skipped | Unfit {
  const { settings } = templates;
  const excluded = exclusionOf(event.data, settings);
  if (excluded !== null) return excluded;
  const write = (template: Template, escaping: Escape) => fill(template, event, settings.secrets, escaping);
  const empty = placesOf(templates.path).find((place) => isEmpty(valueAt(place, event, settings.secrets)));
  if (empty !== undefined) return unfit(`it has no ${empty.name}, which the path of the URL needs`);
  const path = write(templates.path, "url");
  if (leadsOut(path)) return unfit("what it says would lead to another path of the URL");
  const url = path + write(templates.query, "url");
  if (url.length > FILLED_URL_MAX_CHARS)
    return unfit(`the URL would have more than ${FILLED_URL_MAX_CHARS} characters`);
  const headers: string[] = [];
  for (const [name, template] of templates.headers) {
    const value = write(template, "header");
    if (value.length > FILLED_HEADER_MAX_CHARS) {
      return unfit(`the header ${name} would have more than ${FILLED_HEADER_MAX_CHARS} characters`);
    }
    headers.push(name, value);
  }
  return { kind: "mapped", url, headers, body: write(templates.body, ESCAPES[settings.format]) };
}

function unfit(message: string): Unfit {
  return { kind: "unfit", message: `No request can be made of this event: ${message}` };
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function placesOf(template: Template): Exclude<Part, string>[] {
  return template.filter((part) => typeof part !== "string");
}

/** What the templates ask for and the event does not say, each name once. */
export function unsaidBy(event: SourceEvent, { path, query, headers, body, settings }: HttpTemplates): string[] {
  const places = [path, query, ...headers.map(([, template]) => template), body].flatMap(placesOf);
  const unsaid = places.filter((place) => valueAt(place, event, settings.secrets) === undefined);
  return [...new Set(unsaid.map(({ name }) => name))];
}
