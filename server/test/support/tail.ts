// Deliveries and settlements as the event log and the dispatcher store them, for tests of streams.
import type { DeliveryRow } from "../../src/deliveries/delivery.ts";
import { DUE_FIRST } from "../../src/deliveries/due.ts";
import { LEASE_MS } from "../../src/deliveries/leases.ts";
import { type Settlement, settle as settleRows } from "../../src/deliveries/settle-store.ts";
import { insertDeliveries } from "../../src/deliveries/store.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import type { EventRow } from "../../src/events/event.ts";
import { eventsEntry } from "../../src/events/journaled.ts";
import { insertEvents } from "../../src/events/store.ts";
import { insertJournal } from "../../src/platform/journal.ts";
import type { Statement } from "../../src/platform/sql.ts";

/** What the stream reads of it. */
const destination = { id: "dst_a", app_id: "shop", state: "active" } as unknown as Destination;

function create(events: readonly EventRow[], destination_ids: readonly string[]): Statement[] {
  const made = destination_ids.flatMap((destination_id) =>
    events.map(
      (event): DeliveryRow => ({
        ...{ destination_id, position: event.position, app_id: event.app_id, event: event.event },
        ...{ state: "pending", reason: null, attempt: 1, failures: 0, leased: 1, due_at: event.created_at + LEASE_MS },
        ...{ trigger: "auto", resume_state: null, resume_at: null, created_at: event.created_at, settled_at: null },
      }),
    ),
  );
  const at = events[0]?.created_at ?? DUE_FIRST;
  return [insertEvents(events), insertDeliveries(made), insertJournal(eventsEntry(events, made, at))];
}

/** A first attempt of each at dst_a that is delivered. */
function settle(events: readonly EventRow[]): Statement[] {
  return settleRows(
    events.map((event): Settlement => {
      const key = { destination_id: "dst_a", position: event.position };
      const at = event.created_at;
      const decision = { state: "succeeded", reason: null, failures: 0, due_at: null, trigger: "auto" } as const;
      const response = { response_headers: "{}", response_snippet: "", response_truncated: 0 };
      return {
        ...{
          key,
          attempt: 1,
          decision: { ...decision, restored: false },
          settled_at: at,
          counts: true,
          set_apart: false,
        },
        outcome: { kind: "accepted" },
        record: {
          ...{ ...key, number: 1, trigger: "auto", started_at: at, duration_ms: 1, outcome: "accepted" },
          ...{ status_code: 200, error: null, cause: null, ...response },
        },
      };
    }),
  );
}

export const deliveryRows = { destination, create, settle };
