// Destinations of vendors, tried out: what an event would be sent as, and whether settings, address and vendor are as they should
// be. Nothing is stored. Called by the API; only the egress gate sends, and only what a person has asked for.
import type { EventType } from "#contract/events.ts";
import type {
  DestinationCheck,
  DestinationCheckBody,
  NewPreviewBody,
  Preview,
  PreviewBody,
} from "#contract/vendor-destinations.ts";
import { DestinationCreate } from "#contract/vendor-destinations.ts";
import { failureOf, isUnsent, type Outgoing } from "#destination-types/definition.ts";
import { deliveryId } from "../deliveries/delivery.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Egress } from "../platform/egress.ts";
import type { Ids } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import { composeEvent } from "./event.ts";
import { sampleData } from "./sample.ts";

export interface VendorTrialsOptions {
  destinations: {
    storedTrial(id: string, app_scope: string | null): Promise<Destination>;
    newVendorTrial(app_id: string, input: DestinationCreate): Promise<Destination>;
  };
  egress: Pick<Egress, "send" | "check">;
  ids: Ids;
  now(): number;
  /** Of checks that send. @throws AppError temporarily_unavailable */
  bound<Answer>(app_id: string, check: () => Promise<Answer>): Promise<Answer>;
}

type Named = NonNullable<NonNullable<PreviewBody>["event"]>;

export function createVendorTrials({ destinations, egress, ids, now, bound }: VendorTrialsOptions) {
  /** @throws AppError not_found */
  async function previewDestination(id: string, app_scope: string | null, body: PreviewBody): Promise<Preview> {
    const destination = await destinations.storedTrial(id, app_scope);
    return preview(destination, outgoing(destination, body?.event));
  }

  /** @throws AppError invalid_request for what creating it refuses too, but for its address; not_found */
  async function previewNewDestination(app_id: string, { type, config, event }: NewPreviewBody): Promise<Preview> {
    const input = DestinationCreate.parse({ type, config, events: [event?.event ?? "link.click"] });
    const destination = await destinations.newVendorTrial(app_id, input);
    return preview(destination, outgoing(destination, event));
  }

  /** @throws AppError not_found */
  async function checkDestination(
    id: string,
    app_scope: string | null,
    body: DestinationCheckBody,
  ): Promise<DestinationCheck> {
    const destination = await destinations.storedTrial(id, app_scope);
    const { misconfigured } = destination;
    const settings = { name: "settings", ok: misconfigured === null, message: misconfigured ?? "They can be read." };
    if (misconfigured !== null) return { ok: false, steps: [settings] };
    const steps = [settings, ...samplesOf(destination), await checkAddress(destination)];
    if (body?.canary === true) steps.push(await bound(destination.app_id, () => sendCanary(destination)));
    return { ok: steps.every(({ ok }) => ok), steps };
  }

  /** A sample of each type that it takes, built and looked at. */
  function samplesOf(destination: Destination): DestinationCheck["steps"] {
    return [...destination.events].map((event) => {
      const { findings, skipped, refused } = preview(destination, outgoing(destination, undefined, event));
      const errors = findings.filter(({ level }) => level === "error").map(({ message }) => message);
      const wrong = refused ?? (errors.length > 0 ? errors.join(" ") : null);
      const well = skipped === undefined ? "A sample can be sent." : `A sample would be skipped: ${skipped}.`;
      return { name: `sample ${event}`, ok: wrong === null, message: wrong ?? well };
    });
  }

  async function checkAddress(destination: Destination) {
    const built = destination.build(outgoing(destination, undefined));
    if (isUnsent(built)) return { name: "address", ok: true, message: "A sample is not sent, so no address is known." };
    const problem = await egress.check(built.url);
    const host = URL.parse(built.url)?.host ?? "";
    return { name: "address", ok: problem === null, message: problem ?? `${host} is allowed as a target.` };
  }

  /** At once, and on no record. */
  async function sendCanary(destination: Destination) {
    const name = "canary";
    const delivery = outgoing(destination, undefined);
    const built = destination.build(delivery);
    if (isUnsent(built)) return { name, ok: false, message: messageOf(built.outcome) };
    const { timeout_ms } = destination;
    // An owner of its own: it waits for no delivery's connection.
    const bounds = { timeout_ms, owner: delivery.delivery_id, connections: 1 };
    const outcome = destination.judge(await egress.send({ ...built, ...bounds }));
    const failure = failureOf(outcome);
    const taken =
      outcome.kind === "accepted_unverified"
        ? "The vendor answered 2xx, as it does to anything: look whether the test event has arrived."
        : "The vendor has taken a test event.";
    return { name, ok: failure === null, message: failure?.message ?? taken };
  }

  function outgoing(destination: Destination, named: Named | undefined, type?: EventType): Outgoing {
    const at = now();
    const event = named?.event ?? type ?? [...destination.events][0] ?? "link.click";
    const { app_id } = destination;
    const row = composeEvent({ app_id, event, data: named?.data ?? sampleData(event, at) }, ids, at);
    const { id = row.id, ts = timeText(at) } = named ?? {};
    const envelope = { id, event, ts: timeText(Date.parse(ts)), app_id, data: named?.data ?? sampleData(event, at) };
    const delivery_id = deliveryId({ destination_id: destination.id, position: row.position });
    return { event_id: id, delivery_id, body: JSON.stringify(envelope), attempt: 1, at };
  }

  return { previewDestination, previewNewDestination, checkDestination };
}

function preview(destination: Destination, delivery: Outgoing): Preview {
  const { misconfigured } = destination;
  if (misconfigured !== null) return { requests: [], findings: [], refused: misconfigured };
  const built = destination.build(delivery);
  const findings = destination.inspect(delivery);
  if (!isUnsent(built)) return { requests: [destination.show(built)], findings };
  const message = messageOf(built.outcome);
  return built.outcome.kind === "skipped"
    ? { requests: [], findings, skipped: message }
    : { requests: [], findings, refused: message };
}

function messageOf({ message }: { message: string }): string {
  return message;
}
