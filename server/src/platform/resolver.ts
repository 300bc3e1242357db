// Turns a target's host name into addresses that may be connected to, or refuses.
// Called by the egress gate inside the connector of every new connection, and when an http target is saved.
// What this returns is connected to as it is, with no second lookup, so the judgement cannot be sidestepped.
import { lookup as systemLookup } from "node:dns/promises";
import type { AddressRule, Target } from "./addresses.ts";
import { describeDnsError, EgressError } from "./exchange.ts";

/** @throws EgressError "dns" or "refused_address" */
export type Resolver = (target: Target) => Promise<string[]>;

const MAX_LOOKUPS = 256;
const MAX_ADDRESSES_TRIED = 8;

export function createResolver(
  refuse: AddressRule,
  resolve: (hostname: string) => Promise<string[]> = systemResolve,
): Resolver {
  const under_way = new Map<string, Promise<string[]>>();

  /** Connections that open together share one lookup, so a slow name holds one of the system's few resolver threads. */
  function resolveOnce(host: string): Promise<string[]> {
    const current = under_way.get(host);
    if (current) return current;
    if (under_way.size >= MAX_LOOKUPS) {
      return Promise.reject(new EgressError("dns", `Too many other DNS lookups are under way to look up ${host}`));
    }
    const lookup = resolve(host)
      .catch((error: NodeJS.ErrnoException) => {
        throw new EgressError("dns", describeDnsError(error.code ?? "", host));
      })
      .finally(() => under_way.delete(host));
    under_way.set(host, lookup);
    return lookup;
  }

  return async ({ host, secure }) => {
    const addresses = await resolveOnce(host);
    // One bad address refuses them all: a split answer is an attack or a mistake.
    for (const address of addresses) {
      const refusal = refuse(address, secure, host);
      if (refusal !== null) throw new EgressError("refused_address", `Refused: ${host} resolves to ${refusal}`);
    }
    if (addresses.length === 0) throw new EgressError("dns", describeDnsError("ENODATA", host));
    return addresses.slice(0, MAX_ADDRESSES_TRIED);
  };
}

async function systemResolve(hostname: string): Promise<string[]> {
  const found = await systemLookup(hostname, { all: true });
  return found.map((entry) => entry.address);
}
