// Reads CSV bodies. Bytes that no store could keep as they are get refused, as in JSON ones.
import { isUtf8 } from "node:buffer";
import { refuse } from "../errors.ts";

/** @throws AppError `invalid_request` */
export function parseCsvBody(bytes: Buffer): string {
  if (!isUtf8(bytes) || bytes.includes(0)) {
    throw refuse("invalid_request", "The file is not UTF-8 text. Save it as CSV UTF-8 and send that.");
  }
  return bytes.toString("utf8");
}
