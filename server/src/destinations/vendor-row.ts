// What creating and changing a destination of another type than a webhook makes of its row, and how a row is shown. Pure but for
// the sealer. Called by vendors.ts; the common settings have passed the contract's schemas.
import type { DestinationCreate, DestinationPatch, Destination as Shown } from "#contract/vendor-destinations.ts";
import { AppError, invalid } from "../errors.ts";
import type { Sealer } from "../platform/sealing.ts";
import type { DestinationRow } from "./destination.ts";
import { asChange, changeSettings, type Facts, newRow, showSettings } from "./settings-row.ts";
import type { Change } from "./store.ts";
import { findType, MaskError, type TypeEntry, typeInfos } from "./types.ts";
import { inItsWords } from "./words.ts";

interface NewVendor {
  id: string;
  app_id: string;
  now: number;
  default_retry_schedule: readonly number[];
}

/** @throws AppError invalid_request */
export function newVendorRow(made: NewVendor, input: DestinationCreate, sealer: Sealer): DestinationRow {
  const entry = vendorType(input.type);
  const config = JSON.stringify(sealConfig(entry, input.config, null, sealer));
  const settings = { ...input, ordering: "none" as const };
  return newRow({ ...made, type: input.type, config, secrets: "{}", public_keys: null }, settings);
}

/** The row after a patch; `null` where nothing is given to change. @throws AppError invalid_request */
export function patchVendorRow(
  row: DestinationRow,
  patch: DestinationPatch,
  now: number,
  sealer: Sealer,
): Change | null {
  if (Object.values(patch).every((value) => value === undefined)) return null;
  const changed = changeSettings(row, patch, now);
  if (patch.config !== undefined) {
    // Written by these functions alone.
    const before = JSON.parse(row.config) as Record<string, unknown>;
    changed.config = JSON.stringify(sealConfig(vendorType(row.type), patch.config, before, sealer));
  }
  return asChange(row, changed, patch.enabled, now);
}

/** As the API shows it. A config that cannot be read any more is shown empty; `state_reason` says so. */
export function showVendor(row: DestinationRow, facts: Facts, warnings: string[], now: number): Shown {
  const { id, app_id, next_step, ...settings } = showSettings(row, facts, now);
  return {
    ...{ id, app_id, type: row.type, config: shownConfig(row) },
    ...settings,
    next_step: next_step === null ? null : inItsWords(next_step, id),
    warnings,
  };
}

/** @throws AppError invalid_request */
export function vendorType(type: string): TypeEntry {
  const entry = type === "webhook" ? undefined : findType(type);
  if (entry !== undefined) return entry;
  const names = typeInfos()
    .map((info) => info.type)
    .filter((name) => name !== "webhook");
  const hint = type === "webhook" ? "; webhooks are made with POST /api/apps/{app_id}/webhooks" : "";
  throw invalid("type", `one of ${names.join(", ")}${hint}`);
}

function sealConfig(entry: TypeEntry, config: unknown, before: Record<string, unknown> | null, sealer: Sealer) {
  const problems = entry.problemsOf(config);
  if (problems.length > 0) {
    const details = problems.map(({ path, message }) => ({ path: inConfig(path), message }));
    const [first] = details;
    throw new AppError("invalid_request", `${first?.path}: ${first?.message}`, { details });
  }
  try {
    return entry.seal(config, before, sealer);
  } catch (error) {
    if (!(error instanceof MaskError)) throw error;
    throw invalid(inConfig(error.message), "the value itself: the mask stands for a stored value, and there is none");
  }
}

function inConfig(path: string): string {
  return path === "" ? "config" : `config.${path}`;
}

function shownConfig(row: DestinationRow): Shown["config"] {
  try {
    // It was JSON when it was stored.
    return (findType(row.type)?.mask(JSON.parse(row.config) as Record<string, unknown>) ?? {}) as Shown["config"];
  } catch {
    return {};
  }
}
