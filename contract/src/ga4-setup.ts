// Setting a property of Google Analytics up for what LinkMe sends, and looking whether it arrives, with a service account that the
// caller brings along: it is used for this call and kept nowhere.
import { z } from "zod";

const ServiceAccount = z
  .object({
    client_email: z.email({ error: "the client_email of the key file" }),
    private_key: z
      .string()
      .max(8_000, { error: "the private_key of the key file, a PEM text" })
      .regex(/^-----BEGIN (RSA )?PRIVATE KEY-----\n/, { error: "the private_key of the key file, a PEM text" }),
  })
  .describe("the JSON key file of a service account with the role Editor in the property; it is not stored");

const property_id = z
  .string()
  .regex(/^\d{1,20}$/, { error: "the number of the property, like 123456789" })
  .describe("in Google Analytics: Admin, Property details");

export const Ga4SetupBody = z
  .strictObject({
    service_account: ServiceAccount,
    property_id: property_id.optional().describe("absent: the answer lists those that the account can see"),
    stream_id: z
      .string()
      .regex(/^\d{1,20}$/, { error: "the number of the data stream" })
      .optional()
      .describe("absent: the only stream of the property"),
    dry_run: z.boolean().default(true).describe("show the plan and change nothing; default: true"),
    acknowledge_user_data_collection: z
      .boolean()
      .default(false)
      .describe(
        "true: you have the necessary privacy disclosures and rights from your end users for the collection and processing of their data. Google wants that said once for a property before an API secret can be created",
      ),
    endpoint: z.enum(["us", "eu"], { error: "us or eu" }).default("us").describe("where events are collected"),
    create_destination: z.boolean().default(true).describe("make a destination with the new secret; default: true"),
  })
  .meta({ id: "Ga4SetupBody" });
export type Ga4SetupBody = z.infer<typeof Ga4SetupBody>;

export const STEP_STATES = ["exists", "to_do", "done", "failed"] as const;

export const Ga4Setup = z
  .object({
    ok: z.boolean().describe("false: a step has failed, or something is still to be chosen"),
    properties: z
      .array(z.object({ property_id: z.string(), name: z.string(), account: z.string() }))
      .optional()
      .describe("only without a property_id: choose one"),
    streams: z
      .array(
        z.object({
          stream_id: z.string(),
          name: z.string(),
          measurement_id: z.string().optional(),
          firebase_app_id: z.string().optional(),
        }),
      )
      .describe("of the property"),
    steps: z.array(
      z.object({
        step: z.string().describe("what is set up"),
        state: z.enum(STEP_STATES),
        message: z.string(),
      }),
    ),
    destination_id: z.string().nullable().describe("of the destination that was made"),
    by_hand: z
      .array(z.string())
      .describe("the same steps in the console of Google Analytics, for who has no such account"),
  })
  .meta({ id: "Ga4Setup" });
export type Ga4Setup = z.infer<typeof Ga4Setup>;

export const Ga4ArrivalBody = z.strictObject({ service_account: ServiceAccount, property_id }).meta({
  id: "Ga4ArrivalBody",
});
export type Ga4ArrivalBody = z.infer<typeof Ga4ArrivalBody>;

const Counts = z.array(z.object({ event_name: z.string(), count: z.number().int() }));

export const Ga4Arrival = z
  .object({
    realtime: Counts.describe("events of LinkMe in the realtime report, of the last 30 minutes"),
    reports: Counts.describe("the same in the standard reports, of the last 3 days; they are hours behind"),
    message: z.string().describe("what that means, and what to do"),
  })
  .meta({ id: "Ga4Arrival" });
export type Ga4Arrival = z.infer<typeof Ga4Arrival>;
