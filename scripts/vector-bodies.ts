// The bodies of signature vectors as they are written down. Called by the generators of the vectors and by their tests.
export interface Body {
  /** The body, or its base64 form when `body_encoding` is `base64`. */
  body: string;
  body_encoding: "utf8" | "base64";
  /** How many times the body stands in a row. */
  body_repeat: number;
}

/** The bytes that a vector's body stands for. */
export function bodyBytes(body: Body): Buffer {
  const once = Buffer.from(body.body, body.body_encoding);
  return Buffer.concat(Array.from({ length: body.body_repeat }, () => once));
}

export function text(body: string): Body {
  return { body, body_encoding: "utf8", body_repeat: 1 };
}
