// What may be sent of what a dispatcher holds, as its destination is now. Pure; used by dispatcher.ts.
import type { Destination } from "../destinations/destination.ts";
import type { Ready } from "./attempt.ts";
import { isAsked } from "./due.ts";
import { isLeased } from "./leases.ts";

/** Nothing is sent without a lease. */
export function maySend(ready: Ready, destination: Destination, now: number): boolean {
  return isLeased(ready, now) && isSendable(ready, destination);
}

/** What a person asked for is sent even while the destination is off, and a probe while it is paused. */
export function isSendable(ready: Ready, destination: Destination): boolean {
  if (isSending(destination) || isAsked(ready)) return true;
  return ready.trigger === "probe" && destination.state === "paused";
}

export function isSending(destination: Destination): boolean {
  return destination.state === "active";
}
