// The words of advice and notices for destinations that are no webhooks. Pure. Called by vendor-row.ts and change-notice.ts.

/** What is advised is written for webhooks, which most destinations are, and holds for all: only the word and the address differ. */
export function inItsWords(text: string, id: string): string {
  return text.replaceAll(`/api/webhooks/${id}`, `/api/destinations/${id}`).replaceAll(/\bwebhook\b/g, "destination");
}
