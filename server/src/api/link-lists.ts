// Many links at a time. Called by compose-edge.ts for processes with the role `api`.
import assert from "node:assert/strict";
import { LinkOfMany, type LinksCreated } from "#contract/link-lists.ts";
import type { LinkCreate, LinkCreated } from "#contract/links.ts";
import { AppError } from "../errors.ts";
import type { Links } from "../links/links.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import type { Handlers } from "./bind.ts";
import { presentRefusal } from "./failures.ts";
import { refuseIssues } from "./issues.ts";
import { SHOWN } from "./links.ts";

/** Checked without looking after anybody else: a few milliseconds. */
const CHECKED_AT_ONCE = 100;

type Names = "searchLinks" | "createLinks";

export function linkListHandlers(links: Links): Handlers<Names> {
  return {
    searchLinks: ({ params, query }) => links.search(params.app_id, query),
    async createLinks({ params, body }) {
      const made = await createEach(links, params.app_id, body.links);
      const results: LinksCreated["results"] = made.map((one, index) =>
        one instanceof AppError ? { index, link: null, error: presentRefusal(one) } : { index, link: one, error: null },
      );
      const created = results.filter(({ link }) => link !== null).length;
      return { created, failed: results.length - created, results };
    },
  };
}

/**
 * Links that a person makes, each by itself, in the order of the inputs.
 * @param inputs at most LINKS_PER_CALL_MAX, as they came
 * @throws AppError not_found for the app
 */
export async function createEach(
  links: Pick<Links, "createMany">,
  app_id: string,
  inputs: readonly unknown[],
): Promise<(LinkCreated | AppError)[]> {
  const outcomes = new Map<number, LinkCreated | AppError>();
  const accepted: { index: number; link: LinkCreate }[] = [];
  for (const [index, input] of inputs.entries()) {
    if (index % CHECKED_AT_ONCE === CHECKED_AT_ONCE - 1) await yieldToEventLoop();
    const checked = LinkOfMany.safeParse(input);
    if (checked.success) accepted.push({ index, link: checked.data });
    else outcomes.set(index, refuseIssues(checked.error.issues, { schema: LinkOfMany, part: "link" }));
  }
  const made = await links.createMany(
    app_id,
    accepted.map(({ link }) => link),
    SHOWN,
  );
  for (const [number, outcome] of made.entries()) outcomes.set(accepted[number]?.index ?? -1, outcome);
  return inputs.map((_, index) => outcomes.get(index) ?? assert.fail("every link has an outcome"));
}
