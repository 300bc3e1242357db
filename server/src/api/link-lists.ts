// Many links at a time. Called by compose-edge.ts for processes with the role `api`.
import assert from "node:assert/strict";
import { LinkOfMany, type LinksCreated } from "#contract/link-lists.ts";
import type { LinkCreate, LinkCreated } from "#contract/links.ts";
import { AppError, unavailable } from "../errors.ts";
import type { Links } from "../links/links.ts";
import { isDatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import type { Handlers } from "./bind.ts";
import { presentRefusal } from "./failures.ts";
import { refuseIssues } from "./issues.ts";
import { SHOWN } from "./links.ts";

/** Of many: so many are checked and made before anybody else has a turn, in this process and in the database. */
const MADE_AT_ONCE = 100;
const RETRY_AFTER_SECONDS = 1;

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
 * @param inputs as they came
 * @throws AppError not_found for the app
 */
export async function createEach(
  links: Pick<Links, "createMany">,
  app_id: string,
  inputs: readonly unknown[],
): Promise<(LinkCreated | AppError)[]> {
  const outcomes: (LinkCreated | AppError)[] = [];
  while (outcomes.length < inputs.length) {
    const some = inputs.slice(outcomes.length, outcomes.length + MADE_AT_ONCE);
    try {
      outcomes.push(...(await createSome(links, app_id, some)));
    } catch (error) {
      // What was made before the database went away is told all the same. With nothing made the call is refused as a whole.
      const is_told = isDatabaseError(error, "unavailable") && outcomes.some((one) => !(one instanceof AppError));
      if (!is_told) throw error;
      const refusal = unavailable("The database does not answer. Send this link again.", RETRY_AFTER_SECONDS);
      return [...outcomes, ...inputs.slice(outcomes.length).map(() => refusal)];
    }
    await yieldToEventLoop();
  }
  return outcomes;
}

async function createSome(
  links: Pick<Links, "createMany">,
  app_id: string,
  inputs: readonly unknown[],
): Promise<(LinkCreated | AppError)[]> {
  const checked = inputs.map(check);
  const accepted = checked.filter((one) => one.success);
  const made = await links.createMany(
    app_id,
    accepted.map(({ data }) => data),
    SHOWN,
  );
  const outcomes = new Map(accepted.map((one, index) => [one, made[index]]));
  return checked.map((one) =>
    one.success ? (outcomes.get(one) ?? assert.fail("every link has an outcome")) : one.refusal,
  );
}

type Checked = { success: true; data: LinkCreate } | { success: false; refusal: AppError };

function check(input: unknown): Checked {
  const result = LinkOfMany.safeParse(input);
  if (result.success) return { success: true, data: result.data };
  return { success: false, refusal: refuseIssues(result.error.issues, { schema: LinkOfMany, part: "link" }) };
}
