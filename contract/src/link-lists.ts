// What the management API offers for many links at a time: a list to search in.
import { z } from "zod";
import { PageQuery, pageOf } from "./fields.ts";
import { Tag } from "./link-fields.ts";
import { ListedLink } from "./links.ts";

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
});
export type LinksQuery = z.output<typeof LinksQuery>;

export const FoundLink = ListedLink.extend({ state: LinkState }).meta({ id: "FoundLink" });
export type FoundLink = z.infer<typeof FoundLink>;
export const LinksPage = pageOf(FoundLink).meta({ id: "LinksPage" });
export type LinksPage = z.infer<typeof LinksPage>;
