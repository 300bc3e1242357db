// How often somebody may call: SDK endpoints by the caller's network, management by key. Asked by bind.ts before a body is
// read. Not limited: the operator, what needs no credentials but the SDKs' calls, and ingest, which its own bounds protect
// (load.ts). Each process counts for itself.
import type { Route } from "#contract/route.ts";
import type { RouteName } from "#contract/routes.ts";
import { AppError } from "../errors.ts";
import { networkOf } from "../links/fingerprint.ts";
import { createTokenBuckets, type TokenBuckets } from "../platform/token-buckets.ts";
import type { Access } from "./access.ts";

const SECOND_MS = 1_000;

/** Calls a minute; 0 is no limit. */
export interface RateSettings {
  claims_per_minute: number;
  app_events_per_minute: number;
  calls_per_minute: number;
}

export interface RateLimits {
  /** @throws AppError rate_limited */
  admit(name: RouteName, route: Pick<Route, "scope">, caller: { access: Access; ip: string }): void;
}

export function createRateLimits(settings: RateSettings, now: () => number): RateLimits {
  const claims = bucketsOf(settings.claims_per_minute);
  const app_events = bucketsOf(settings.app_events_per_minute);
  const calls = bucketsOf(settings.calls_per_minute);

  function admit(
    name: RouteName,
    { scope }: Pick<Route, "scope">,
    { access, ip }: { access: Access; ip: string },
  ): void {
    if (scope === "sdk") {
      const buckets = name === "recordAppEvent" ? app_events : claims;
      // An address that is none is of a proxy that says nothing of use: all of them are one caller.
      if (buckets !== null) take(buckets, networkOf(ip) ?? "", "This network");
    } else if (calls !== null && access.key !== null && name !== "ingestEvents") {
      // Keys that were made with a key are counted as that one: with limits of their own, who may make keys had none.
      take(calls, access.key.origin_id, "This key");
    }
  }

  function take(buckets: TokenBuckets, caller: string, who: string): void {
    const wait_ms = buckets.take(caller, now());
    if (wait_ms === 0) return;
    const retry_after_seconds = Math.ceil(wait_ms / SECOND_MS);
    throw new AppError("rate_limited", `${who} calls too often. Send the same request again after Retry-After.`, {
      retry_after_seconds,
    });
  }

  return { admit };
}

function bucketsOf(per_minute: number): TokenBuckets | null {
  return per_minute === 0 ? null : createTokenBuckets(per_minute);
}
