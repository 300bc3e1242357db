// Requests and answers of Node's HTTP server: what the adapters for its frameworks have in common.
// Typed by what is used of requests and responses, so that no types of Node are needed.
import { isArrayBuffer, isBytes } from "./bytes.ts";
import type { ReceiverHeaders } from "./headers.ts";
import {
  type Framework,
  type NodeStream,
  parsedBodyError,
  type RawBody,
  type ReadBody,
  readNodeStream,
} from "./raw-body.ts";
import type { Receiver, ReceiverRequest } from "./receiver.ts";

/** As much of Node's `IncomingMessage` as is used, with what frameworks add to it. */
export interface NodeRequest extends NodeStream {
  method?: string | undefined;
  headers: ReceiverHeaders;
  /** What a parser in front has made of the body. */
  body?: unknown;
  /** The bytes, where somebody kept them. */
  rawBody?: unknown;
}

/** As much of Node's `ServerResponse` as is used. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/** Lets the receiver answer a request of Node. Resolves when the answer is handed over; never rejects. */
export async function respond(
  receiver: Receiver,
  request: NodeRequest,
  response: NodeResponse,
  framework: Framework,
): Promise<void> {
  const { status, headers, body } = await receiver.receive(requestOf(request, framework));
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.end(body);
}

function requestOf(request: NodeRequest, framework: Framework): ReceiverRequest {
  const { method = "", headers, body, rawBody } = request;
  return { method, headers, body: bodyOf({ body, rawBody, stream: request }, framework), framework };
}

/** Where the body of a request may be. */
export interface BodyPlaces {
  /** What a parser in front has made of it. */
  body: unknown;
  /** The bytes, where somebody kept them. */
  rawBody: unknown;
  stream: NodeStream;
}

/**
 * The bytes where somebody kept them, what a parser of raw bodies left, else the stream. A parser that has passed this request
 * over may have left an empty object, beside a stream that nobody has read.
 */
export function bodyOf({ body, rawBody, stream }: BodyPlaces, framework: Framework): RawBody | ReadBody {
  for (const kept of [rawBody, body]) {
    if (typeof kept === "string" || isBytes(kept) || isArrayBuffer(kept)) return kept;
  }
  if (body === undefined || body === null || stream.readableDidRead === false) return readNodeStream(stream, framework);
  return async () => {
    throw parsedBodyError(framework);
  };
}
