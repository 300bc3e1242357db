// Compares what must have happened with what the receiver saw and with what the API says, event by event, and writes one
// sentence for each promise that was not kept. Pure; called by main.ts at the end.
import { isDeepStrictEqual } from "node:util";
import type { DeliveryDetail } from "#contract/deliveries.ts";
import type { EventWithFates } from "#contract/events.ts";
import type { ExpectedEvent } from "./expectation.ts";
import { isRefused, type Receipt } from "./reception.ts";
import { shortId } from "./table.ts";

/** Timers and clocks of two processes may disagree by this much. */
const CLOCK_TOLERANCE_MS = 5;

/** Everything that was seen: by the receiver, and through the API. */
export interface Observation {
  /** In the order of arrival. */
  receipts: readonly Receipt[];
  deliveries: readonly DeliveryDetail[];
  events: readonly EventWithFates[];
}

/** What the events were promised to, and when a refused one comes again. */
export interface Promised {
  app_id: string;
  webhook_id: string;
  /** The shortest time between a refusal and the next attempt. */
  retry_after_ms: number;
}

export interface Row {
  event: string;
  /** Null when there is no such event. */
  id: string | null;
  platform: string;
  /** What the receiver answered, in order. */
  statuses: number[];
  /** From the event's time to the receiver's 2xx; null when there was none. */
  delivered_ms: number | null;
  is_kept: boolean;
}

export interface Verdict {
  rows: Row[];
  /** One sentence each; empty when everything was as promised. */
  broken: string[];
}

/** All that is known of one event id. */
interface Case {
  id: string;
  /** Which of the different events it was at the receiver, from 1 on; 0 when it never came. */
  nth: number;
  /** As stored, else as received; null when both are unknown. */
  fact: { event: string; ts: string; data: Record<string, unknown> } | null;
  receipts: readonly Receipt[];
  deliveries: readonly DeliveryDetail[];
  stored: EventWithFates | null;
}

export function judge(expected: readonly ExpectedEvent[], seen: Observation, promised: Promised): Verdict {
  const open = gatherCases(seen);
  const rows: Row[] = [];
  const broken: string[] = [];
  for (const wanted of expected) {
    const found = open.find(({ fact }) => fact?.event === wanted.event && fact.data["platform"] === wanted.platform);
    if (found === undefined) {
      broken.push(`${wanted.event} (${wanted.platform}) is missing: no such event was stored or received.`);
      rows.push({ ...wanted, id: null, statuses: [], delivered_ms: null, is_kept: false });
      continue;
    }
    open.splice(open.indexOf(found), 1);
    const faults = [...judgeReceipts(found, promised), ...judgeData(found, wanted), ...judgeLedger(found, promised)];
    broken.push(...faults.map((fault) => `${nameOf(found)} ${fault}.`));
    rows.push(rowOf(found, faults.length === 0));
  }
  for (const extra of open) {
    broken.push(`${nameOf(extra)} is one too many: nothing in the journey makes it.`);
    rows.push(rowOf(extra, false));
  }
  return { rows, broken };
}

function gatherCases({ receipts, deliveries, events }: Observation): Case[] {
  const arrived = [...new Set(receipts.map(({ event_id }) => event_id))];
  const ids = new Set([...events.map(({ id }) => id), ...arrived, ...deliveries.map(({ event_id }) => event_id)]);
  return [...ids].map((id) => {
    const own = receipts.filter(({ event_id }) => event_id === id);
    const stored = events.find((event) => event.id === id) ?? null;
    const envelope = own.find((receipt) => receipt.envelope !== null)?.envelope;
    const received = envelope ? { event: envelope.event, ts: envelope.ts ?? "", data: envelope.data ?? {} } : null;
    return {
      id,
      nth: arrived.indexOf(id) + 1,
      fact: stored ?? received,
      receipts: own,
      deliveries: deliveries.filter(({ event_id }) => event_id === id),
      stored,
    };
  });
}

/** What the receiver saw: as many attempts as promised, each signed, all with the same bytes. */
function judgeReceipts({ id, nth, receipts }: Case, { app_id, retry_after_ms }: Promised): string[] {
  if (receipts.length === 0) return ["was not delivered: the receiver never saw it"];
  const faults: string[] = [];
  const promised = isRefused(nth, 1) ? [503, 200] : [200];
  const statuses = receipts.map(({ status }) => status);
  if (!isDeepStrictEqual(statuses, promised)) {
    faults.push(`was attempted with ${list(statuses)}, promised was ${list(promised)}`);
  }
  receipts.forEach((receipt, index) => {
    const attempt = `attempt ${index + 1}`;
    if (!receipt.signature_is_valid) faults.push(`has a signature in ${attempt} that the SDK does not accept`);
    else faults.push(...judgeEnvelope(receipt, id, app_id).map((fault) => `${fault} in ${attempt}`));
    if (receipt.body !== receipts[0]?.body) faults.push(`has other bytes in ${attempt} than in attempt 1`);
    if (receipt.attempt !== index + 1) faults.push(`calls ${attempt} number ${receipt.attempt} in X-LinkMe-Attempt`);
    const waited_ms = receipt.received_at - (receipts[index - 1]?.received_at ?? Number.NEGATIVE_INFINITY);
    if (waited_ms < retry_after_ms - CLOCK_TOLERANCE_MS) {
      faults.push(`came again after ${Math.round(waited_ms)} ms, promised were ${retry_after_ms} ms or more`);
    }
  });
  return faults;
}

function judgeEnvelope({ envelope, is_known_event }: Receipt, id: string, app_id: string): string[] {
  if (envelope === null) return ["has a body that is no envelope"];
  if (envelope.id !== id) return [`has the id ${envelope.id} in its body and ${id} in webhook-id`];
  if (envelope.app_id !== app_id) return [`belongs to the app ${envelope.app_id} instead of ${app_id}`];
  return is_known_event ? [] : ["lacks a member that the SDK's types promise"];
}

/** The members that a receiver works with say what was done. */
function judgeData({ receipts }: Case, wanted: ExpectedEvent): string[] {
  const envelope = receipts.find((receipt) => receipt.envelope !== null)?.envelope;
  if (!envelope) return [];
  return Object.entries(wanted.data).flatMap(([member, value]) => {
    const given = envelope.data?.[member];
    if (isDeepStrictEqual(given, value)) return [];
    return [`has data.${member} = ${show(given)}, promised was ${show(value)}`];
  });
}

/** What the API says of the event is what the receiver saw. */
function judgeLedger({ receipts, deliveries, stored }: Case, { webhook_id }: Promised): string[] {
  const faults: string[] = [];
  const [delivery] = deliveries;
  if (stored === null) faults.push("was received, but the API does not list it");
  if (delivery === undefined || deliveries.length > 1) {
    return [...faults, `has ${deliveries.length} deliveries in the API, promised was one`];
  }
  const fates = stored?.fates.filter(({ destination_id }) => destination_id === webhook_id) ?? [];
  if (stored !== null && (fates.length !== 1 || fates[0]?.delivery_id !== delivery.id)) {
    faults.push(`does not name its delivery ${delivery.id} as its one fate`);
  }
  for (const { state } of [delivery, ...fates]) {
    if (state !== "succeeded") faults.push(`is called ${state} by the API, promised was succeeded`);
  }
  if (delivery.attempt_count !== receipts.length) {
    faults.push(`has attempt_count ${delivery.attempt_count} in the API, but the receiver saw ${receipts.length}`);
  }
  const answered = receipts.map(({ status }) => status);
  const recorded = delivery.attempts.toSorted((a, b) => a.number - b.number).map(({ status_code }) => status_code);
  if (!isDeepStrictEqual(recorded, answered)) {
    faults.push(`has ${list(recorded)} recorded in the API, but the receiver answered ${list(answered)}`);
  }
  const body = Buffer.from(delivery.request.body).toString("base64");
  for (const receipt of receipts) {
    if (receipt.delivery_id !== delivery.id) faults.push(`carried ${receipt.delivery_id} instead of ${delivery.id}`);
    if (receipt.body !== body) faults.push("has another body in the API than the receiver got");
  }
  return [...new Set(faults)];
}

function rowOf(one: Case, is_kept: boolean): Row {
  const accepted = one.receipts.find(({ status }) => status === 200);
  const happened_at = Date.parse(one.fact?.ts ?? "");
  const platform = one.fact?.data["platform"];
  return {
    event: one.fact?.event ?? "unknown",
    id: one.id,
    platform: typeof platform === "string" ? platform : "–",
    statuses: one.receipts.map(({ status }) => status),
    delivered_ms: accepted && happened_at ? Math.max(0, accepted.received_at - happened_at) : null,
    is_kept,
  };
}

function nameOf(one: Case): string {
  const { event, platform } = rowOf(one, false);
  return `${event} (${platform}, ${shortId(one.id)})`;
}

function list(statuses: readonly (number | null)[]): string {
  return statuses.length === 0 ? "nothing" : statuses.map((status) => status ?? "no answer").join(" → ");
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}
