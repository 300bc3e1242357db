// What the management API offers for many links at a time: a list to search in, and making many in one call.
import { z } from "zod";
import { ErrorBody } from "./errors.ts";
import { Id, PageQuery, pageOf } from "./fields.ts";
import { Tag } from "./link-fields.ts";
import { LinkCreate, LinkCreated, ListedLink } from "./links.ts";

const SEARCH_MAX_CHARS = 100;

export const LINK_STATES = ["active", "disabled", "expired", "limit_reached"] as const;
export const LinkState = z
  .enum(LINK_STATES, { error: `one of ${LINK_STATES.join(", ")}` })
  .describe("disabled while `enabled` is 0; expired and limit_reached where the link has ended");
export type LinkState = z.infer<typeof LinkState>;

export const LinksQuery = PageQuery.extend({
  q: z
    .string()
    .trim()
    .min(1)
    .max(SEARCH_MAX_CHARS)
    .optional()
    .describe("part of the slug, the title, the path or one of the addresses, in any case"),
  tag: Tag.optional(),
  state: LinkState.optional(),
  internal: z
    .enum(["0", "1"], { error: "0 or 1" })
    .optional()
    .describe("0: those that the Portal shows; 1: those that it hides"),
  utm_preset_id: Id.optional().describe("those that use this UTM preset"),
});
export type LinksQuery = z.output<typeof LinksQuery>;

export const FoundLink = ListedLink.extend({ state: LinkState }).meta({ id: "FoundLink" });
export type FoundLink = z.infer<typeof FoundLink>;
export const LinksPage = pageOf(FoundLink).meta({ id: "LinksPage" });
export type LinksPage = z.infer<typeof LinksPage>;

export const LINKS_PER_CALL_MAX = 1_000;

/** One link among many. A typing error is never silent here. */
export const LinkOfMany = LinkCreate.strict();

/** Each link is judged by itself, so that what is wrong with one keeps no other back. */
export const LinksCreate = z
  .strictObject({
    links: z
      .array(z.unknown().describe("a link as POST /api/links takes it, without app_id and with no unknown fields"))
      .min(1)
      .max(LINKS_PER_CALL_MAX),
  })
  .meta({ id: "LinksCreate" });

/** Why one link was not made. */
export const LinkRefusal = ErrorBody.omit({ request_id: true }).meta({ id: "LinkRefusal" });
export type LinkRefusal = z.infer<typeof LinkRefusal>;

export const LinksCreated = z
  .object({
    created: z.number().int(),
    failed: z.number().int(),
    results: z
      .array(
        z.object({
          index: z.number().int().describe("the place of the link in the call, from 0"),
          link: LinkCreated.nullable(),
          error: LinkRefusal.nullable(),
        }),
      )
      .describe("in the order of the call; one of link and error is null"),
  })
  .meta({ id: "LinksCreated" });
export type LinksCreated = z.infer<typeof LinksCreated>;
