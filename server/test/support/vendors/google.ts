// A stand-in for the APIs of Google that set Analytics up: it gives a token for an assertion that it has verified, lists and
// creates what a property has, in pages, and counts what the tests of a realtime report ask for. Used by the tests of setup.
import { createVerify, generateKeyPairSync } from "node:crypto";
import { type ReceivedRequest, type Reply, startReceiver } from "../receiver.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });

/** As the key file of a service account has it. */
export const SERVICE_ACCOUNT = {
  client_email: "linkme@example.iam.gserviceaccount.com",
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
};

export const PROPERTY_ID = "123456789";
const PAGE = 2;

interface World {
  streams: object[];
  secrets: { displayName: string; secretValue: string }[];
  dimensions: { parameterName: string; scope: string }[];
  key_events: { eventName: string; countingMethod: string }[];
  acknowledged: boolean;
  /** Counts by event name. */
  realtime: Record<string, number>;
  reports: Record<string, number>;
}

export interface FakeGoogle {
  addresses: { token: string; admin: string; data: string };
  world: World;
  /** Method and path of every call but those for tokens. */
  calls(): string[];
  /** Answers the next call so whose path has this part. */
  failNext(part: string, status: number): void;
  close(): Promise<void>;
}

export async function startGoogle(changes: Partial<World> = {}): Promise<FakeGoogle> {
  const world: World = {
    streams: [
      {
        name: `properties/${PROPERTY_ID}/dataStreams/11`,
        displayName: "LinkMe",
        webStreamData: { measurementId: "G-ABC123DEF4" },
      },
    ],
    ...{ secrets: [], dimensions: [], key_events: [], acknowledged: false, realtime: {}, reports: {} },
    ...changes,
  };
  const failures: { part: string; status: number }[] = [];
  const calls: string[] = [];
  const receiver = await startReceiver((request) => {
    if (request.path === "/token") return token(request);
    calls.push(`${request.method} ${request.path}`);
    const failure = failures.findIndex(({ part }) => request.path.includes(part));
    const [failed] = failure < 0 ? [] : failures.splice(failure, 1);
    if (failed !== undefined) return refuse(failed.status, "It was made to fail");
    if (request.headers.authorization !== "Bearer a-token") return refuse(401, "No token");
    return answer(world, request);
  });
  const { url } = receiver;
  return {
    addresses: { token: `${url}/token`, admin: `${url}/admin`, data: `${url}/data` },
    world,
    calls: () => calls,
    failNext: (part, status) => void failures.push({ part, status }),
    close: receiver.close,
  };
}

function token({ body }: ReceivedRequest): Reply {
  const form = new URLSearchParams(body.toString("utf8"));
  const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
  const verifier = createVerify("sha256").update(`${head}.${claims}`);
  if (!verifier.verify(publicKey, Buffer.from(signature, "base64url"))) {
    return json(400, { error: "invalid_grant", error_description: "Invalid JWT Signature." });
  }
  const told = JSON.parse(Buffer.from(claims, "base64url").toString("utf8"));
  const is_known = told.iss === SERVICE_ACCOUNT.client_email && told.exp - told.iat <= 3_600 && told.scope !== "";
  return is_known ? json(200, { access_token: "a-token", expires_in: 3_599 }) : json(400, { error: "invalid_grant" });
}

function answer(world: World, request: ReceivedRequest): Reply {
  const { method, path, body } = request;
  const [address = "", query = ""] = path.split("?");
  const of = `/properties/${PROPERTY_ID}`;
  const sent = body.length === 0 ? {} : JSON.parse(body.toString("utf8"));
  if (address === "/admin/accountSummaries") {
    const propertySummaries = [{ property: `properties/${PROPERTY_ID}`, displayName: "Shop" }];
    return json(200, { accountSummaries: [{ displayName: "Company", propertySummaries }] });
  }
  if (!address.includes(of)) return refuse(404, "Property not found");
  if (address.endsWith(":acknowledgeUserDataCollection")) {
    if (!/^I acknowledge that I have the necessary privacy disclosures .* property\.$/.test(sent.acknowledgement)) {
      return refuse(400, "acknowledgement");
    }
    world.acknowledged = true;
    return json(200, {});
  }
  if (address.endsWith(":runRealtimeReport")) return json(200, report(world.realtime));
  if (address.endsWith(":runReport")) return json(200, report(world.reports));
  const name = address.split("/").at(-1) ?? "";
  const lists: Record<string, object[]> = {
    ...{ dataStreams: world.streams, measurementProtocolSecrets: world.secrets },
    ...{ customDimensions: world.dimensions, keyEvents: world.key_events },
  };
  const items = lists[name];
  if (items === undefined) return refuse(404, "Not found");
  if (method === "GET") return json(200, pageOf(name, items, query));
  if (name === "measurementProtocolSecrets") {
    if (!world.acknowledged) return refuse(400, "User data collection must be acknowledged first");
    const made = { ...sent, secretValue: "s3cr3t-of-google" };
    world.secrets.push(made);
    return json(200, made);
  }
  if (name === "customDimensions" && world.dimensions.some((one) => one.parameterName === sent.parameterName)) {
    return refuse(409, "Already exists");
  }
  items.push(sent);
  return json(200, sent);
}

function pageOf(name: string, items: readonly object[], query: string): object {
  const from = Number(new URLSearchParams(query).get("pageToken") ?? 0);
  const next = from + PAGE;
  return { [name]: items.slice(from, next), ...(next < items.length && { nextPageToken: String(next) }) };
}

function report(counts: Record<string, number>): object {
  const rows = Object.entries(counts).map(([name, count]) => ({
    dimensionValues: [{ value: name }],
    metricValues: [{ value: String(count) }],
  }));
  return rows.length === 0 ? {} : { rows };
}

function refuse(status: number, message: string): Reply {
  return json(status, { error: { code: status, message, status: "FAILED" } });
}

function json(status: number, value: object): Reply {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}
