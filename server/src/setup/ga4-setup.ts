// Sets a property of Google Analytics up for a destination, step by step, after a plan that changes nothing: what is there is left
// as it is, so that the call can be repeated. Called by the API.
import { EVENT_TYPES } from "#contract/events.ts";
import type { Ga4Setup, Ga4SetupBody } from "#contract/ga4-setup.ts";
import { DestinationCreate } from "#contract/vendor-destinations.ts";
import { AppError, invalid, notFound } from "../errors.ts";
import type { Egress } from "../platform/egress.ts";
import {
  ACKNOWLEDGEMENT,
  KEY_EVENT,
  missingDimensions,
  SECRET_NAME,
  type Step,
  type Stream,
  stepsByHand,
} from "./ga4-plan.ts";
import { type Google, type GoogleAddresses, GoogleError, listAll, signIn } from "./google.ts";

const SCOPE = "https://www.googleapis.com/auth/analytics.edit";
const LOOKED_AT_MAX = 100;

/** What is looked at of a destination that is there. */
interface SetUp {
  id: string;
  type: string;
  config: Record<string, unknown>;
}

export interface Ga4SetupOptions {
  egress: Pick<Egress, "send">;
  addresses: GoogleAddresses;
  now(): number;
  findApp(app_id: string): Promise<unknown>;
  /** Of calls that send. @throws AppError temporarily_unavailable */
  bound<Answer>(app_id: string, work: () => Promise<Answer>): Promise<Answer>;
  createDestination(app_id: string, input: DestinationCreate, actor: string): Promise<{ id: string }>;
  /** The newest. */
  listDestinations(app_id: string, page: { limit: number }): Promise<{ items: readonly SetUp[] }>;
}

export function createGa4Setup(options: Ga4SetupOptions) {
  const { addresses } = options;

  /** @throws AppError not_found, invalid_request for what Google does not take of the account, temporarily_unavailable */
  async function setUp(app_id: string, body: Ga4SetupBody, actor: string): Promise<Ga4Setup> {
    if ((await options.findApp(app_id)) === null) throw notFound("app");
    return told(options.bound, app_id, async () => {
      const google = await signIn(body.service_account, SCOPE, options);
      if (body.property_id === undefined) return chooseProperty(google);
      const property = `${addresses.admin}/properties/${body.property_id}`;
      const streams = (await listAll(google, `${property}/dataStreams`, "dataStreams")).flatMap(readStream);
      const stream = chooseStream(streams, body.stream_id);
      if (stream === null) return chooseAStream(streams);
      const plan = await planFor(google, property, stream);
      if (body.dry_run) return answerOf(streams, plan.steps, null);
      return carryOut(google, { app_id, body, actor, property, stream, streams, plan });
    });
  }

  async function chooseProperty(google: Google): Promise<Ga4Setup> {
    const accounts = await listAll(google, `${addresses.admin}/accountSummaries`, "accountSummaries");
    const properties = accounts.flatMap((account) => {
      const summaries = Array.isArray(account["propertySummaries"]) ? account["propertySummaries"] : [];
      return summaries.map((one: Record<string, unknown>) => ({
        property_id: String(one["property"] ?? "").replace("properties/", ""),
        name: String(one["displayName"] ?? ""),
        account: String(account["displayName"] ?? ""),
      }));
    });
    const none =
      "The service account sees no property: in Google Analytics, Admin, Property access management, add its address as Editor.";
    const message = properties.length === 0 ? none : "Choose one of `properties` and send its property_id.";
    const steps: Step[] = [{ step: "property", state: "to_do", message }];
    return { ...answerOf([], steps, null), ok: false, properties };
  }

  async function planFor(google: Google, property: string, stream: Stream) {
    const [secrets, dimensions, key_events] = await Promise.all([
      listAll(google, `${secretsOf(property, stream)}`, "measurementProtocolSecrets"),
      listAll(google, `${property}/customDimensions`, "customDimensions"),
      listAll(google, `${property}/keyEvents`, "keyEvents"),
    ]);
    const secret = secrets.find((one) => one["displayName"] === SECRET_NAME)?.["secretValue"];
    const of_events = dimensions.filter(({ scope }) => scope === "EVENT").map((one) => String(one["parameterName"]));
    const missing = missingDimensions(new Set(of_events));
    const has_key_event = key_events.some((one) => one["eventName"] === KEY_EVENT.eventName);
    const steps: Step[] = [
      {
        step: "stream",
        state: "exists",
        message: `${stream.name} (${stream.measurement_id ?? stream.firebase_app_id})`,
      },
      typeof secret === "string"
        ? { step: "api secret", state: "exists", message: `There is one with the name ${SECRET_NAME}; it is used.` }
        : { step: "api secret", state: "to_do", message: `One with the name ${SECRET_NAME} is created.` },
      ...missing.map(({ parameterName, displayName }): Step => {
        const message = `${displayName} is created. It is not retroactive: reports have it from then on.`;
        return { step: `dimension ${parameterName}`, state: "to_do", message };
      }),
      has_key_event
        ? { step: `key event ${KEY_EVENT.eventName}`, state: "exists", message: "It is one already." }
        : {
            step: `key event ${KEY_EVENT.eventName}`,
            state: "to_do",
            message: "It is marked, and counts once per event.",
          },
    ];
    return { steps, missing, has_key_event, secret: typeof secret === "string" ? secret : null };
  }

  interface Job {
    app_id: string;
    body: Ga4SetupBody;
    actor: string;
    property: string;
    stream: Stream;
    streams: Stream[];
    plan: Awaited<ReturnType<typeof planFor>>;
  }

  /** A step that fails is told, and the others are done all the same: all can be repeated. */
  async function carryOut(google: Google, job: Job): Promise<Ga4Setup> {
    const { body, property, stream, streams, plan } = job;
    const steps: Step[] = plan.steps.filter(({ state }) => state === "exists");
    const run = async (step: string, message: string, work: () => Promise<unknown>): Promise<void> => {
      try {
        await work();
        steps.push({ step, state: "done", message });
      } catch (error) {
        if (!(error instanceof GoogleError) && !(error instanceof AppError)) throw error;
        // Somebody else was faster.
        const is_there = error instanceof GoogleError && error.status === 409;
        steps.push({
          step,
          state: is_there ? "exists" : "failed",
          message: is_there ? "It is there already." : error.message,
        });
      }
    };
    let { secret } = plan;
    if (secret === null) {
      if (body.acknowledge_user_data_collection) {
        const said = "You have said that you may collect your users' data.";
        await run("acknowledgement", said, () =>
          google.post(`${property}:acknowledgeUserDataCollection`, { acknowledgement: ACKNOWLEDGEMENT }),
        );
      }
      await run("api secret", "It was created, and is kept in the destination alone.", async () => {
        const made = await google.post(secretsOf(property, stream), { displayName: SECRET_NAME });
        secret = typeof made["secretValue"] === "string" ? made["secretValue"] : null;
      });
    }
    for (const dimension of plan.missing) {
      const message = `${dimension.displayName} was created; reports have it from now on.`;
      await run(`dimension ${dimension.parameterName}`, message, () =>
        google.post(`${property}/customDimensions`, dimension),
      );
    }
    if (!plan.has_key_event) {
      await run(`key event ${KEY_EVENT.eventName}`, "It was marked, and counts once per event.", () =>
        google.post(`${property}/keyEvents`, KEY_EVENT),
      );
    }
    let destination_id: string | null = null;
    const existing = await findDestination(job);
    if (existing !== null) {
      // A second one would count everything twice.
      steps.push({ step: "destination", state: "exists", message: `${existing} sends to this stream already.` });
      destination_id = existing;
    } else if (body.create_destination && secret !== null) {
      await run("destination", "It was made and takes all events.", async () => {
        destination_id = await makeDestination(job, secret ?? "");
      });
    }
    return answerOf(streams, steps, destination_id);
  }

  async function findDestination({ app_id, stream }: Job): Promise<string | null> {
    const { items } = await options.listDestinations(app_id, { limit: LOOKED_AT_MAX });
    const found = items.find(({ type, config }) => {
      const { measurement_id, firebase_app_id } = stream;
      const sent_to = config["measurement_id"] ?? config["firebase_app_id"];
      return type === "ga4" && sent_to === (measurement_id ?? firebase_app_id);
    });
    return found?.id ?? null;
  }

  async function makeDestination({ app_id, body, actor, stream }: Job, api_secret: string): Promise<string> {
    const { measurement_id, firebase_app_id } = stream;
    const named = measurement_id === undefined ? { firebase_app_id } : { measurement_id };
    const config = { ...named, api_secret, endpoint: body.endpoint };
    const input = DestinationCreate.parse({ type: "ga4", config, events: [...EVENT_TYPES], description: stream.name });
    return (await options.createDestination(app_id, input, actor)).id;
  }

  return { setUp };
}

/** Google's refusals as answers of this API. */
export async function told<Answer>(
  bound: Ga4SetupOptions["bound"],
  app_id: string,
  work: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await bound(app_id, work);
  } catch (error) {
    if (!(error instanceof GoogleError)) throw error;
    const { status, message } = error;
    if (status === null || status >= 500)
      throw new AppError("temporarily_unavailable", message, { retry_after_seconds: 5 });
    if (status === 429) throw new AppError("rate_limited", message, { retry_after_seconds: 60 });
    throw invalid(status === 404 ? "property_id" : "service_account", message);
  }
}

function secretsOf(property: string, { stream_id }: Stream): string {
  return `${property}/dataStreams/${stream_id}/measurementProtocolSecrets`;
}

function readStream(one: Record<string, unknown>): Stream[] {
  const stream_id =
    String(one["name"] ?? "")
      .split("/")
      .at(-1) ?? "";
  const idOf = (member: string, name: string) => {
    const data = one[member];
    const id = typeof data === "object" && data !== null && name in data ? Reflect.get(data, name) : undefined;
    return typeof id === "string" ? id : undefined;
  };
  const measurement_id = idOf("webStreamData", "measurementId");
  const firebase_app_id = idOf("androidAppStreamData", "firebaseAppId") ?? idOf("iosAppStreamData", "firebaseAppId");
  if (stream_id === "" || (measurement_id === undefined && firebase_app_id === undefined)) return [];
  return [
    {
      ...{ stream_id, name: String(one["displayName"] ?? "") },
      ...(measurement_id !== undefined && { measurement_id }),
      ...(firebase_app_id !== undefined && { firebase_app_id }),
    },
  ];
}

function chooseStream(streams: readonly Stream[], stream_id: string | undefined): Stream | null {
  if (stream_id !== undefined) return streams.find((one) => one.stream_id === stream_id) ?? null;
  return streams.length === 1 ? (streams[0] ?? null) : null;
}

function chooseAStream(streams: Stream[]): Ga4Setup {
  const none = "The property has no data stream: add a web stream with the name LinkMe in Admin, Data streams.";
  const message =
    streams.length === 0
      ? none
      : "Choose one of `streams` and send its stream_id. A stream of its own keeps LinkMe apart.";
  return { ...answerOf(streams, [{ step: "stream", state: "to_do", message }], null), ok: false };
}

function answerOf(streams: Stream[], steps: Step[], destination_id: string | null): Ga4Setup {
  const ok = steps.every(({ state }) => state !== "failed");
  return { ok, streams, steps, destination_id, by_hand: stepsByHand() };
}
