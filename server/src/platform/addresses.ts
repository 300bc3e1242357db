// Which network addresses the server may open a connection to, and which URLs may be saved as targets.
// Called by the egress gate at save and at connect time, and by the configuration for lists of networks.
// Pure: no DNS, no sockets. An address passes only when it is known to be public or the operator listed its network;
// anything that cannot be read as an address is refused.
import { BlockList, isIP, isIPv4, SocketAddress } from "node:net";
import { targetUrlProblem } from "#contract/target-url.ts";

/**
 * Null when a connection to the address is permitted, else why not, beginning with the address, and with what the operator
 * would permit it, where that may be wanted. What is listed already is not told: who may write webhooks need not know it.
 * @param host the name that led to the address; left out: none
 */
export type AddressRule = (address: string, secure: boolean, host?: string) => string | null;

export interface Target {
  origin: string;
  secure: boolean;
  /** Host without brackets or trailing dot. */
  host: string;
  port: number;
  /** Path and query as sent; may hold secrets, so it never goes into a message. */
  path: string;
  /** The host when it is an address, so that no name has to be resolved. */
  literal: string | null;
}

const MAX_NETWORKS = 256;

const METADATA = "a cloud metadata address";
/** Special-purpose ranges of the IANA registries, and before them what clouds have in these or in public space for themselves. */
const RESERVED: readonly (readonly [network: string, what: string])[] = [
  ["100.100.100.200/32", METADATA],
  ["168.63.129.16/32", METADATA],
  ["fd00:ec2::254/128", METADATA],
  ["fd20:ce::254/128", METADATA],
  ["0.0.0.0/8", "an address of this host"],
  ["10.0.0.0/8", "a private address"],
  ["100.64.0.0/10", "a carrier-internal address"],
  ["127.0.0.0/8", "a loopback address"],
  ["169.254.0.0/16", "a link-local address"],
  ["172.16.0.0/12", "a private address"],
  ["192.0.0.0/24", "a reserved address"],
  ["192.0.2.0/24", "a documentation address"],
  ["192.31.196.0/24", "a reserved address"],
  ["192.52.193.0/24", "a reserved address"],
  ["192.88.99.0/24", "a 6to4 relay address"],
  ["192.168.0.0/16", "a private address"],
  ["192.175.48.0/24", "a reserved address"],
  ["198.18.0.0/15", "a benchmarking address"],
  ["198.51.100.0/24", "a documentation address"],
  ["203.0.113.0/24", "a documentation address"],
  ["224.0.0.0/4", "a multicast address"],
  ["240.0.0.0/4", "a reserved address"],
  ["::/128", "an address of this host"],
  ["::1/128", "a loopback address"],
  ["64:ff9b::/96", "a NAT64 address"],
  ["64:ff9b:1::/48", "a NAT64 address"],
  ["100::/64", "a discard address"],
  ["2001::/23", "a protocol-assignment address"],
  ["2001:db8::/32", "a documentation address"],
  ["2002::/16", "a 6to4 address"],
  ["2620:4f:8000::/48", "a reserved address"],
  ["3fff::/20", "a documentation address"],
  ["5f00::/16", "a segment-routing address"],
  ["fc00::/7", "a private address"],
  ["fe80::/10", "a link-local address"],
  ["fec0::/10", "a site-local address"],
  ["ff00::/8", "a multicast address"],
];
/** Of these there are receivers; nobody means one at the others, such as a cloud's metadata service. */
const OWN_NETWORKS: readonly string[] = ["a private address", "a carrier-internal address", "a site-local address"];
const LOOPBACK = "a loopback address";
const LOOPBACK_NETWORKS = ["127.0.0.0/8", "::1"];
/** All of IPv6 that is given out as global unicast; what lies outside is refused even when no row above names it. */
const GLOBAL_UNICAST = "2000::/3";

/** @throws when `allow` holds something that `parseCidrs` would not accept: that is a mistake of ours, not of a user. */
export function createAddressRule(allow: readonly string[]): AddressRule {
  const listed = createNetworks(allow);
  const global = createNetworks([GLOBAL_UNICAST]);
  const reserved = RESERVED.map(([network, what]) => ({ what, contains: createNetworks([network]) }));

  return (text, secure, host = "") => {
    const address = plainAddress(text);
    if (address === null) return `${text.slice(0, 64)}, which is not a usable address`;
    if (listed(address)) return null;
    const match = reserved.find((range) => range.contains(address));
    if (match) {
      const missing = networksFor(address, match.what, isLoopbackName(host)).filter(
        (network) => !allow.includes(network),
      );
      return `${address}, ${match.what} outside the networks of LINKME_EGRESS_ALLOW${howToAllow(missing, allow)}`;
    }
    if (!isIPv4(address) && !global(address)) return `${address}, which is not a public address`;
    return secure
      ? null
      : `${address}, a public address over plain http, which is for the networks of LINKME_EGRESS_ALLOW only`;
  };
}

/** A name of this machine leads to an address of each family, and one that is refused refuses both. */
function networksFor(address: string, what: string, is_loopback_name: boolean): string[] {
  if (what === LOOPBACK && is_loopback_name) return LOOPBACK_NETWORKS;
  if (what === LOOPBACK) return LOOPBACK_NETWORKS.filter((network) => network.includes(":") !== isIPv4(address));
  return OWN_NETWORKS.includes(what) ? [address] : [];
}

function howToAllow(networks: readonly string[], allow: readonly string[]): string {
  if (networks.length === 0) return "";
  const [before, what_is] = allow.length === 0 ? ["", ""] : ["…,", ", where … is what it has now"];
  return ` (to allow it, start the server again with LINKME_EGRESS_ALLOW=${before}${networks.join(",")}${what_is})`;
}

/** Reads a comma-separated list of networks: `10.0.0.0/8, fd00::/8`, or single addresses. Empty text is an empty list. */
export function parseCidrs(text: string): { cidrs: string[] } | { error: string } {
  const cidrs = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (cidrs.length > MAX_NETWORKS) return { error: `At most ${MAX_NETWORKS} networks can be listed` };
  for (const cidr of cidrs) {
    if (readNetwork(cidr) === null) {
      return { error: `"${cidr.slice(0, 64)}" is not a network; write CIDRs such as 10.0.0.0/8 or fd00::/8` };
    }
  }
  return { cidrs };
}

/** Reads a URL the one way that both saving and sending use; the error is a sentence for whoever typed it. */
export function readTarget(text: string): Target | { error: string } {
  const problem = targetUrlProblem(text);
  if (problem !== null) return { error: problem };
  const url = new URL(text);
  const secure = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$|\.$/g, "");
  return {
    origin: url.origin,
    secure,
    host,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
    path: url.pathname + url.search,
    literal: isIP(host) === 0 ? null : host,
  };
}

/** True for names that every resolver maps to this machine (RFC 6761), so they can be judged before any lookup. */
export function isLoopbackName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

type Family = "ipv4" | "ipv6";

/** One list per family: a BlockList would let an IPv6 network such as ::/0 match IPv4 addresses too. */
function createNetworks(cidrs: readonly string[]): (address: string) => boolean {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) {
    const network = readNetwork(cidr);
    if (network === null) throw new Error(`Not a network: ${cidr}`);
    lists[network.family].addSubnet(network.address, network.prefix, network.family);
  }
  return (address) => {
    const family = familyOf(address);
    return lists[family].check(address, family);
  };
}

function readNetwork(cidr: string): { address: string; family: Family; prefix: number } | null {
  const [text = "", bits, ...rest] = cidr.split("/");
  const address = plainAddress(text);
  if (address === null || rest.length > 0) return null;
  const family = familyOf(address);
  // An IPv4 network in mapped form would count its prefix over 128 bits; there is one way to write it.
  if (family !== familyOf(text)) return null;
  const width = family === "ipv4" ? 32 : 128;
  if (bits === undefined) return { address, family, prefix: width };
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > width) return null;
  return { address, family, prefix: Number(bits) };
}

/** The shortest form of an address, IPv4 when it is IPv4-mapped; null for zone ids and for anything else. */
function plainAddress(text: string): string | null {
  if (isIPv4(text)) return text;
  // A zone id picks an interface of this machine, which only local scopes need; SocketAddress would drop it silently.
  if (isIP(text) !== 6 || text.includes("%")) return null;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  const embedded = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : "";
  return isIPv4(embedded) ? embedded : address;
}

function familyOf(address: string): Family {
  return isIPv4(address) ? "ipv4" : "ipv6";
}
