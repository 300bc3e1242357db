// Inputs that once were answered with 5xx, or not at all, as `npm run fuzz` prints them; each is sent by fuzz.test.ts.
// `{app_id}` and the like stand for what exists on the server. Added to, never removed from.

export interface KeptCase {
  title: string;
  method: string;
  is_broken: boolean;
  /** A character for each byte. */
  sent: string;
}

export const CASES: readonly KeptCase[] = [];
