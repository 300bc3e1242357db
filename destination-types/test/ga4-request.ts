// Requests of Measurement Protocol that are right, and what tests put over them to break them. Used by the tests of the validator.

import type { Ga4Mode } from "#destination-types/mapping/ga4-findings.ts";
import { validateGa4 } from "#destination-types/mapping/ga4-validate.ts";

export const NOW = Date.UTC(2026, 0, 31, 9, 35);
export const SECRET = "Sup3r-S3cret_of_22_chars";
export const WEB = `https://www.google-analytics.com/mp/collect?measurement_id=G-K3TQ7M&api_secret=${SECRET}`;
export const APP = `https://www.google-analytics.com/mp/collect?firebase_app_id=1:2:ios:3a&api_secret=${SECRET}`;
export const PARAMS = { session_id: "1769851790", engagement_time_msec: 1 };
export const INSTANCE = "0".repeat(32);

export type Body = Record<string, unknown>;
export interface Attempt {
  url?: string;
  /** Put over a request that is right. */
  body?: Body;
  /** The text as it is. */
  text?: string;
  /** Put over an event that is right. */
  event?: Body;
  params?: Body;
  dimensions?: string[];
}

export function bodyOf({ body, event, params }: Attempt): Body {
  const name = "linkme_link_click";
  return {
    client_id: "1390821944.1652345678",
    timestamp_micros: NOW * 1_000,
    events: [{ name, params: { ...PARAMS, ...params }, ...event }],
    ...body,
  };
}

/** What the validator finds in a request that is right but for what the attempt puts over it. */
export function find(attempt: Attempt, mode: Ga4Mode = "relaxed") {
  const { url = WEB, dimensions } = attempt;
  const body = attempt.text ?? JSON.stringify(bodyOf(attempt));
  return validateGa4({ url, body }, { now_ms: NOW, mode, ...(dimensions !== undefined && { dimensions }) });
}

/** A request of an app stream that is right. */
export const ON_APP: Attempt = { url: APP, body: { client_id: undefined, app_instance_id: INSTANCE } };
