// What a property of Google Analytics needs so that LinkMe's events can be told apart in its reports, and how a person does the
// same by hand. Pure. Called by ga4-setup.ts. Sources: Google's documentation of the Admin API and of custom dimensions.

export interface Dimension {
  /** Of the event, as it is sent. It cannot be changed later. */
  parameterName: string;
  displayName: string;
  description: string;
  scope: "EVENT";
}

/**
 * Six of the 50 that a property may have. The id of an event is none of them: a dimension with more than 500 values a day makes
 * reports say `(other)`.
 */
export const DIMENSIONS: readonly Dimension[] = (
  [
    ["linkme_event", "LinkMe event", "Type of the event, like link.claim"],
    ["linkme_app_id", "LinkMe app", "Id of the app in LinkMe"],
    ["linkme_link_id", "LinkMe link", "Id of the link; more than 500 links a day make reports say (other)"],
    ["linkme_platform", "LinkMe platform", "ios, android or web"],
    ["linkme_match_type", "LinkMe match type", "How a click was recognised in the app"],
    ["linkme_matched", "LinkMe matched", "Whether an install was matched with a click"],
  ] as const
).map(([parameterName, displayName, description]) => ({ parameterName, displayName, description, scope: "EVENT" }));

/** Sent once for each token, so that each counts. */
export const KEY_EVENT = { eventName: "linkme_link_claim", countingMethod: "ONCE_PER_EVENT" } as const;

/** The words that Google wants, exactly (properties.acknowledgeUserDataCollection). */
export const ACKNOWLEDGEMENT =
  "I acknowledge that I have the necessary privacy disclosures and rights from my end users for the collection and processing of " +
  "their data, including the association of such data with the visitation information Google Analytics collects from my site " +
  "and/or app property.";

export const SECRET_NAME = "LinkMe";

export interface Stream {
  stream_id: string;
  name: string;
  measurement_id?: string;
  firebase_app_id?: string;
}

export interface Step {
  step: string;
  state: "exists" | "to_do" | "done" | "failed";
  message: string;
}

/** Which dimensions are missing. @param existing parameter names of those with the scope of events */
export function missingDimensions(existing: ReadonlySet<string>): Dimension[] {
  return DIMENSIONS.filter(({ parameterName }) => !existing.has(parameterName));
}

/** The whole of it in Google's console, for who has no service account. */
export function stepsByHand(): string[] {
  const names = DIMENSIONS.map(({ parameterName }) => parameterName).join(", ");
  return [
    "Google Analytics, Admin, Data streams: choose a web stream, or add one with the name LinkMe, and note its Measurement ID (G-…).",
    "The same stream, Measurement Protocol API secrets: accept the terms if asked, Create, and note the secret value.",
    'POST /api/apps/{app_id}/destinations with {"type":"ga4","config":{"measurement_id":"G-…","api_secret":"…"},"events":["link.click","link.token_created","link.claim","link.app_open","link.deferred_claim_attempt"]}.',
    `Admin, Custom definitions, Create custom dimension, scope Event, once for each of these event parameters: ${names}.`,
    "POST /api/destinations/{id}/test with {} and look at Reports, Realtime: linkme_link_click appears within a minute, and in DebugView.",
    `Admin, Events: when ${KEY_EVENT.eventName} is listed, a day later at the most, mark it as a key event and count it once per event.`,
  ];
}
