// App events as the management API shows them: what an app's SDK has reported, apart from opens, which are
// link.app_open. Opens by a link that was resolved are here, unless the app wants them as events too.
// Members that are unknown are absent, never null.
import { z } from "zod";
import { Platform } from "./events.ts";
import { PageQuery, pageOf, Timestamp } from "./fields.ts";

export const APP_EVENT_TYPE_MAX_CHARS = 100;

export const AppEvent = z
  .object({
    id: z.string(),
    type: z.string().describe("as the app named it, like install, claim or purchase"),
    platform: Platform,
    cid: z.string().optional().describe("the click token that the app has named; nobody has checked that it exists"),
    link_id: z.string().optional(),
    user_id: z.string().optional(),
    first_cid: z.string().optional().describe("the first click of the device or user; only with analytics_consent"),
    detail: z.string().optional().describe("JSON text, as the SDK sent it"),
    timestamp: z.number().int().optional().describe("the client's clock, in seconds since 1970"),
    created_at: Timestamp.describe("when the server took it"),
  })
  .meta({ id: "AppEvent" });
export type AppEvent = z.infer<typeof AppEvent>;

export const AppEventsQuery = PageQuery.extend({
  type: z
    .string({ error: `a type of up to ${APP_EVENT_TYPE_MAX_CHARS} characters` })
    .min(1)
    .max(APP_EVENT_TYPE_MAX_CHARS)
    .optional(),
});
export type AppEventsQuery = z.infer<typeof AppEventsQuery>;

export const AppEventsPage = pageOf(AppEvent).meta({ id: "AppEventsPage" });
