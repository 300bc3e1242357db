// `@li-nk.me/node-sdk/receiver/lambda`: for AWS Lambda behind an API Gateway (REST or HTTP), a function URL or a load balancer.
import { bytesOfBase64 } from "./bytes.ts";
import type { ReceiverHeaders } from "./headers.ts";
import { parsedBodyError, type RawBody, type ReadBody, requestFormError } from "./raw-body.ts";
import type { Receiver } from "./receiver.ts";

type HeaderValues = Readonly<Record<string, string | undefined>>;
type HeaderLists = Readonly<Record<string, readonly string[] | undefined>>;

/** As much of the event as is used, in its forms 1.0 (REST, load balancer) and 2.0 (HTTP, function URL). */
export interface LambdaHttpEvent {
  /** Form 1.0. */
  httpMethod?: string | undefined;
  /** Form 2.0 has the method in here, as `http.method`. */
  requestContext?: object | undefined;
  /** Form 1.0 keeps the case of names as they were sent, form 2.0 makes them lower case. */
  headers?: HeaderValues | null | undefined;
  multiValueHeaders?: HeaderLists | null | undefined;
  body?: string | null | undefined;
  isBase64Encoded?: boolean | undefined;
}

export interface LambdaHttpAnswer {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
  isBase64Encoded: false;
}

/**
 * A handler for Lambda. What is not done when it returns may never be done: that is why handlers and forwarders are waited for.
 *
 * @example export const handler = toLambdaHandler(receiver);
 */
export function toLambdaHandler(receiver: Receiver): (event: LambdaHttpEvent) => Promise<LambdaHttpAnswer> {
  return async (event) => {
    const method = methodOf(event);
    const answer = await receiver.receive({
      // An event that is none of HTTP has no method; reading its body says so.
      method: method ?? "POST",
      headers: method === undefined ? { "content-type": "application/json" } : headersOf(event),
      body: bodyOfEvent(event, method),
      framework: "lambda",
    });
    return { statusCode: answer.status, headers: answer.headers, body: answer.body, isBase64Encoded: false };
  };
}

function methodOf({ requestContext, httpMethod }: LambdaHttpEvent): string | undefined {
  // Its members are looked at one by one, whatever it is.
  const { http } = (requestContext ?? {}) as { http?: { method?: unknown } };
  return typeof http?.method === "string" ? http.method : httpMethod;
}

/** Form 1.0 has the last of several values in `headers`, and all of them in `multiValueHeaders`. */
function headersOf({ headers, multiValueHeaders }: LambdaHttpEvent): ReceiverHeaders {
  if (!multiValueHeaders) return headers ?? {};
  return Object.fromEntries(
    // Two values stay two: such a header is not read.
    Object.entries(multiValueHeaders).map(([name, values]) => [name, values?.length === 1 ? values[0] : values]),
  );
}

function bodyOfEvent({ body, isBase64Encoded }: LambdaHttpEvent, method: string | undefined): RawBody | ReadBody {
  return async () => {
    if (method === undefined) {
      throw requestFormError(
        "lambda",
        "This event has no HTTP method, so it comes from something that is no HTTP endpoint.",
      );
    }
    if (body === undefined || body === null) return null;
    // Whatever stands in front may have put an object here, against the type.
    if (typeof body !== "string") throw parsedBodyError("lambda");
    return isBase64Encoded ? bytesOfBase64(body) : body;
  };
}
