// What is told of an event before it is sent. Here, for the validators of this folder tell it wherever mappers run.

/** What a look at an event before it is sent has found. `error`: the vendor would drop it, or a part of it. */
export interface Finding {
  level: "error" | "warning";
  /** A name that stays, like `PARAM_VALUE_TOO_LONG`. */
  rule: string;
  /** Where in the request, like `events.0.params.linkme_dest_path`. */
  path: string;
  message: string;
  /** What to do about it. */
  fix: string;
}
