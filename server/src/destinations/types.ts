// The types of destinations that this server knows, one line for each: what the API tells of them, how a config is read, sealed
// and masked, and how a stored one is made ready to send. Called by destination.ts, vendor-row.ts and vendors.ts.
import { createHmac } from "node:crypto";
import { z } from "zod";
import { MASK } from "#contract/destinations.ts";
import type { DestinationType as TypeInfo } from "#contract/vendor-destinations.ts";
import { amplitude } from "#destination-types/amplitude.ts";
import {
  type BuiltRequest,
  type Definition,
  type Exchange,
  type Finding,
  type JudgeRules,
  mapSecrets,
  type Outcome,
  type Outgoing,
  type PrepareContext,
  type ShownRequest,
  type SigningSecrets,
  type Unsent,
} from "#destination-types/definition.ts";
import { ga4 } from "#destination-types/ga4.ts";
import { http } from "#destination-types/http.ts";
import { mixpanel } from "#destination-types/mixpanel.ts";
import { posthog } from "#destination-types/posthog.ts";
import { segment } from "#destination-types/segment.ts";
import { webhook } from "#destination-types/webhook.ts";
import type { Sealed, Sealer } from "../platform/sealing.ts";
import { createHider, type Hide } from "./hiding.ts";

/** The members of a config, secrets among them sealed. */
type Stored = Record<string, unknown>;

/** One that is ready: nothing of it depends on its type any more. */
export interface PreparedType {
  /** An address of the host that all requests go to. */
  readonly target: string;
  build(delivery: Outgoing): BuiltRequest | Unsent;
  judge(exchange: Exchange, rules: JudgeRules): Outcome;
  show(request: BuiltRequest): ShownRequest;
  inspect(delivery: Outgoing): Finding[];
  hide: Hide;
}

export interface TypeEntry {
  readonly info: TypeInfo;
  /** What is wrong with a config, each with the path inside of it; none: nothing. */
  problemsOf(config: unknown): { path: string; message: string }[];
  /**
   * The config as it is stored. A masked secret stands for the one at the same place of what was stored before, and so does the
   * same secret sent again, whose sealed text would be another one each time.
   * @throws MaskError where nothing is stored there
   */
  seal(config: unknown, before: Stored | null, sealer: Sealer): Stored;
  mask(stored: Stored): Stored;
  /** Where a config that comes in has a mask in the place of a secret. */
  maskedPaths(config: unknown): string[];
  /** @throws Error for a config that cannot be read; SealError for secrets that cannot */
  prepare(stored: unknown, parts: Omit<PrepareContext, "pseudonym"> & { app_id: string; sealer: Sealer }): PreparedType;
}

/** A mask that stands for nothing. */
export class MaskError extends Error {
  override readonly name = "MaskError";
}

const ENTRIES: readonly TypeEntry[] = [
  entryOf(webhook),
  entryOf(ga4),
  entryOf(posthog),
  entryOf(segment),
  entryOf(amplitude),
  entryOf(mixpanel),
  entryOf(http),
];
const BY_TYPE = new Map(ENTRIES.map((entry) => [entry.info.type, entry]));

export function typeInfos(): TypeInfo[] {
  return ENTRIES.map(({ info }) => info);
}

export function findType(type: string): TypeEntry | undefined {
  return BY_TYPE.get(type);
}

/** The definition's own types are known here alone. */
export function entryOf<Config extends object, Prepared>(definition: Definition<Config, Prepared>): TypeEntry {
  const { type, label, docs, limits, config: schema } = definition;
  const config_schema = z.record(z.string(), z.json()).parse(z.toJSONSchema(schema, { io: "input" }));

  function seal(config: unknown, before: Stored | null, sealer: Sealer): Stored {
    const parsed = schema.parse(config);
    const kept = before === null ? [] : secretsOf(schema, schema.parse(before));
    let index = 0;
    const sealed = mapSecrets(schema, parsed, (plain) => {
      const at = pathsOf(schema, parsed)[index++] ?? "";
      const stored = kept.find(({ path }) => path === at)?.text;
      if (plain === MASK && stored === undefined) throw new MaskError(at);
      // What a config holds of secrets was sealed here.
      return stored !== undefined && (plain === MASK || holds(stored as Sealed, plain, sealer))
        ? stored
        : sealer.seal(plain);
    });
    return membersOf(sealed);
  }

  function prepare(
    stored: unknown,
    { app_id, sealer, ...context }: Omit<PrepareContext, "pseudonym"> & { app_id: string; sealer: Sealer },
  ): PreparedType {
    const opened: string[] = [];
    const config = mapSecrets(schema, schema.parse(stored), (text) => {
      // Secret texts of a stored config are sealed.
      const secret = sealer.open(text as Sealed);
      opened.push(secret);
      return secret;
    });
    const prepared = definition.prepare(config, { ...context, pseudonym: createPseudonyms(app_id, sealer) });
    return {
      target: definition.target(prepared),
      build: (delivery) => definition.buildRequest(delivery, prepared),
      judge: (exchange, rules) => definition.judge(exchange, rules, prepared),
      show: (request) => definition.show(request, prepared),
      inspect: (delivery) => definition.inspect?.(delivery, prepared) ?? [],
      hide: createHider([...opened, ...basicForms(opened)]),
    };
  }

  return {
    info: { type, label, docs, config_schema, limits },
    problemsOf(config) {
      const result = schema.safeParse(config);
      if (result.success) return tooLong(secretsOf(schema, result.data));
      return result.error.issues.flatMap((issue) => describeIssue(issue));
    },
    seal,
    maskedPaths: (config) =>
      secretsOf(schema, schema.parse(config)).flatMap(({ path, text }) => (text === MASK ? [path] : [])),
    mask: (stored) => membersOf(mapSecrets(schema, schema.parse(stored), () => MASK)),
    prepare,
  };
}

/** As Basic credentials, which are a pair of them or one with nothing behind it (RFC 7617): of types with so few secrets. */
function basicForms(secrets: readonly string[]): string[] {
  if (secrets.length > 2) return [];
  const pairs = secrets.flatMap((one) => ["", ...secrets].map((other) => `${one}:${other}`));
  return pairs.map((pair) => Buffer.from(pair).toString("base64"));
}

/** Only webhooks sign. */
export const NO_SECRETS: SigningSecrets = { current: "" };

function describeIssue(issue: z.core.$ZodIssue): { path: string; message: string }[] {
  const path = issue.path.map(String);
  if (issue.code !== "unrecognized_keys") return [{ path: path.join("."), message: issue.message }];
  return issue.keys.map((key) => ({ path: [...path, key].join("."), message: "this type knows no such setting" }));
}

/** Sealed they are longer, and each is looked for in all that comes back. */
const SECRET_MAX_CHARS = 2_000;
const SECRETS_MAX_CHARS = 16_000;

function tooLong(secrets: readonly { path: string; text: string }[]): { path: string; message: string }[] {
  const long = secrets.filter(({ text }) => text.length > SECRET_MAX_CHARS);
  if (long.length > 0) return long.map(({ path }) => ({ path, message: `at most ${SECRET_MAX_CHARS} characters` }));
  const total = secrets.reduce((sum, { text }) => sum + text.length, 0);
  if (total <= SECRETS_MAX_CHARS) return [];
  return [{ path: secrets[0]?.path ?? "", message: `at most ${SECRETS_MAX_CHARS} characters of secrets together` }];
}

function secretsOf<Config>(schema: z.ZodType<Config>, config: Config): { path: string; text: string }[] {
  const texts: string[] = [];
  mapSecrets(schema, config, (text) => {
    texts.push(text);
    return text;
  });
  const paths = pathsOf(schema, config);
  return texts.map((text, index) => ({ path: paths[index] ?? "", text }));
}

/** Where the secrets of a config are, in the order in which mapSecrets meets them. */
function pathsOf<Config>(schema: z.ZodType<Config>, config: Config): string[] {
  let count = 0;
  const marked = mapSecrets(schema, config, () => `${MARK}${count++}`);
  const found: string[] = [];
  walk(marked, [], found);
  return found;
}

/** No config has NUL in it: JSON bodies with one are refused. */
const MARK = "\u0000";

function walk(value: unknown, path: readonly string[], found: string[]): void {
  if (typeof value === "string" && value.startsWith(MARK)) found[Number(value.slice(1))] = path.join(".");
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) walk(member, [...path, name], found);
}

function holds(sealed: Sealed, plain: string, sealer: Sealer): boolean {
  try {
    return sealer.open(sealed) === plain;
  } catch {
    // What cannot be opened any more is what a value is sent again for.
    return false;
  }
}

/** Other ones for each app, and for each server: see MapContext in destination-types/src/mapping/source.ts. */
function createPseudonyms(app_id: string, sealer: Sealer): (text: string) => Uint8Array {
  const key = sealer.derive(`pseudonyms of app ${app_id}`);
  return (text) => createHmac("sha256", key).update(text).digest();
}

function membersOf(config: object): Stored {
  return Object.fromEntries(Object.entries(config));
}
