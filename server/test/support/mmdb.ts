// A tiny database of countries in MaxMind's format, after its published description (MaxMind DB 2.0): a binary tree over the
// bits of addresses, the records it leads to, and its metadata. Used by the tests of countries.
const MARKER = Buffer.from([0xab, 0xcd, 0xef, ...Buffer.from("MaxMind.com")]);
/** Sixteen zero bytes stand between the tree and the records. */
const GAP_BYTES = 16;

type Value = string | number | bigint | readonly Value[] | { readonly [key: string]: Value };
/** A place in the tree: the next node, or the number of a record. */
type Branch = { node: Node } | { record: number } | null;
type Node = [Branch, Branch];

/** @param countries by the first byte of IPv4 addresses, like { 203: "NZ" } */
export function composeCountries(countries: Readonly<Record<number, string>>): Buffer {
  const nodes: Node[] = [[null, null]];
  const records: Buffer[] = [];
  const offsets: number[] = [];
  for (const [byte, code] of Object.entries(countries)) {
    offsets.push(records.reduce((sum, { length }) => sum + length, 0));
    records.push(encode({ country: { iso_code: code } }));
    insert(nodes, Number(byte), offsets.length - 1);
  }
  const place = (branch: Branch): number => {
    if (branch === null) return nodes.length;
    if ("node" in branch) return nodes.indexOf(branch.node);
    return nodes.length + GAP_BYTES + (offsets[branch.record] ?? 0);
  };
  const tree = Buffer.alloc(nodes.length * 8);
  nodes.forEach((node, index) => {
    for (const side of [0, 1] as const) tree.writeUInt32BE(place(node[side]), index * 8 + side * 4);
  });
  const metadata = encode({
    node_count: nodes.length,
    record_size: 32,
    ip_version: 4,
    database_type: "Test-Country",
    languages: ["en"],
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_700_000_000n,
    description: { en: "Countries of a test" },
  });
  return Buffer.concat([tree, Buffer.alloc(GAP_BYTES), ...records, MARKER, metadata]);
}

function insert(nodes: Node[], byte: number, record: number): void {
  let node = nodes[0];
  for (let bit = 7; bit >= 0 && node !== undefined; bit--) {
    const side = (byte >> bit) & 1;
    if (bit === 0) node[side] = { record };
    else {
      const next: Branch = node[side] ?? { node: [null, null] };
      if (node[side] === null && "node" in next) nodes.push(next.node);
      node[side] = next;
      node = "node" in next ? next.node : undefined;
    }
  }
}

const TYPES = { string: 2, uint32: 6, map: 7, uint64: 9, array: 11 } as const;

function encode(value: Value): Buffer {
  if (typeof value === "string") return Buffer.concat([control(TYPES.string, value.length), Buffer.from(value)]);
  if (typeof value === "number") {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return Buffer.concat([control(TYPES.uint32, 4), bytes]);
  }
  if (typeof value === "bigint") {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return Buffer.concat([control(TYPES.uint64, 8), bytes]);
  }
  if (isList(value)) return Buffer.concat([control(TYPES.array, value.length), ...value.map(encode)]);
  const members = Object.entries(value);
  return Buffer.concat([control(TYPES.map, members.length), ...members.flat().map(encode)]);
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** Sizes below 29 stand in the first byte; types above 7 in the second. */
function control(type: number, size: number): Buffer {
  return type <= 7 ? Buffer.from([(type << 5) | size]) : Buffer.from([size, type - 7]);
}
