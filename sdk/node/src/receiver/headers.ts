// Reads one header, whatever holds them: the `Headers` of the Web, Node's object, or what a gateway calls headers, whose
// names are in any case. Called for each request before anything of it is believed.

/** The `Headers` of the Web, `request.headers` of Node, or a plain object with names in any case. */
export type ReceiverHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * The value of a header; undefined when it is absent, and also when it is there more than once: of two values nobody knows
 * which one was meant.
 *
 * @param name in lower case
 */
export function readHeader(headers: ReceiverHeaders, name: string): string | undefined {
  if (typeof headers.get === "function") return headers.get(name) ?? undefined;
  // Without `get` it is a plain object of headers.
  const plain = headers as Readonly<Record<string, unknown>>;
  const values = Object.keys(plain)
    .filter((key) => key.toLowerCase() === name)
    .map((key) => plain[key])
    .filter((value) => value !== undefined && value !== null);
  const [value] = values;
  return values.length === 1 && typeof value === "string" ? value : undefined;
}

/** Whether there is any header of this name, also one that `readHeader` would not read. */
export function hasHeader(headers: ReceiverHeaders, name: string): boolean {
  if (typeof headers.get === "function") return headers.get(name) !== null;
  return Object.entries(headers).some(
    ([key, value]) => key.toLowerCase() === name && value !== undefined && value !== null,
  );
}
