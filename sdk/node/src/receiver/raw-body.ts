// Brings the body of a request into one form: bytes as they were sent. Where a framework has parsed it already the bytes are
// gone; the error then says what to change in that framework. Called by the receiver, and by adapters for their streams.
import { LinkMeUsageError } from "../errors.ts";
import { bytesOf, isArrayBuffer, isBytes, joinBytes, type OwnBytes } from "./bytes.ts";

export type Framework = "express" | "fastify" | "koa" | "hono" | "next-pages" | "functions" | "lambda" | "node" | "web";

/** A body in the hands of a framework. A function reads it, when the request has passed what needs no body. */
export type RawBody = string | Uint8Array | ArrayBuffer | null | undefined;
export type ReadBody = (limits: BodyLimits) => Promise<RawBody>;

export interface BodyLimits {
  max_bytes: number;
  /** From the first look at the body to its end. */
  timeout_ms: number;
}

/** Where parsers are, and how each framework lets the bytes through. */
const FIXES: Record<Framework, string> = {
  express:
    "In Express register this route before app.use(express.json()), or give the route express.raw({ type: " +
    '"application/json" }) and keep express.json() off its path. (express.json({ verify: (request, _, bytes) => { ' +
    "request.rawBody = bytes } }) works too, and so does NestFactory.create(App, { rawBody: true }) in NestJS.)",
  fastify:
    "In Fastify register toFastifyPlugin(receiver, { path }): it is encapsulated and has a content-type parser of its own, " +
    'addContentTypeParser("*", …) after removeAllContentTypeParsers(), so other routes keep their JSON.',
  koa:
    "In Koa put this middleware before koa-bodyparser (or any other parser): app.use(toKoaMiddleware(receiver, { path })) " +
    "first, app.use(bodyParser()) after it.",
  hono: "In Hono let no middleware before this route read the body: no c.req.json(), c.req.parseBody() or validator.",
  "next-pages":
    "In the pages API of Next export this from the same file: export const config = { api: { bodyParser: false } }.",
  functions:
    "Firebase and Cloud Functions keep the bytes as request.rawBody: hand the request itself to the receiver, and no copy " +
    "of it. Behind an Express app of your own use the adapter for Express.",
  lambda:
    "In Lambda hand over the event as it came, with event.body as a text and event.isBase64Encoded: use a proxy integration " +
    "or a function URL, and no mapping template, JSON body parser or middleware in front.",
  node: "Hand over the request before anything has read it.",
  web: "Hand over the request before anything has read it: no request.json(), text() or formData() before receiver.handle().",
};

const PROMISE = "the signature is over the bytes as they were sent, and printed again they are other bytes";

/** For a body that is an object, or anything else that is not the body as sent. */
export function parsedBodyError(framework?: Framework): LinkMeUsageError {
  const fix = framework === undefined ? "Pass the raw request body, as bytes." : FIXES[framework];
  return new LinkMeUsageError(
    "raw_body_parsed",
    `The body was parsed before the receiver got it, but ${PROMISE}. ${fix}`,
  );
}

/** For a body of which nothing is left. */
export function missingBodyError(framework: Framework): LinkMeUsageError {
  const what = "Something has read the body before the receiver got it, and has left no bytes";
  return new LinkMeUsageError("raw_body_missing", `${what}, but ${PROMISE}. ${FIXES[framework]}`);
}

/** For something that is no request of this framework. */
export function requestFormError(framework: Framework, what: string): LinkMeUsageError {
  return new LinkMeUsageError("request_form", `${what} ${FIXES[framework]}`);
}

/** The body is larger than is taken. */
export class BodyTooLarge extends Error {}
/** The body did not end in time. */
export class BodyTooSlow extends Error {}
/** The connection ended before the body did. */
export class BodyCut extends Error {}

/**
 * The bytes of a body; none for an absent one.
 *
 * @throws {LinkMeUsageError} `raw_body_parsed`, and what the reader of a framework throws
 * @throws {BodyTooLarge | BodyTooSlow | BodyCut}
 */
export async function readRawBody(
  given: RawBody | ReadBody,
  limits: BodyLimits,
  framework: Framework | undefined,
): Promise<OwnBytes> {
  const body: unknown = typeof given === "function" ? await given(limits) : given;
  const bytes = ownBytes(body);
  if (bytes === undefined) throw parsedBodyError(framework);
  if (bytes.length > limits.max_bytes) throw new BodyTooLarge();
  return bytes;
}

function ownBytes(body: unknown): OwnBytes | undefined {
  if (body === undefined || body === null) return new Uint8Array(0);
  if (typeof body === "string") return bytesOf(body);
  if (isBytes(body)) return new Uint8Array(body);
  return isArrayBuffer(body) ? new Uint8Array(body.slice(0)) : undefined;
}

/** The body of a Web request, read once. */
export function readWebBody(request: Request, framework: Framework): ReadBody {
  return async ({ max_bytes, timeout_ms }) => {
    if (request.bodyUsed) throw missingBodyError(framework);
    if (request.body === null) return null;
    const reader = request.body.getReader();
    const chunks: Uint8Array[] = [];
    let size = 0;
    const timer = startTimer(timeout_ms);
    try {
      for (;;) {
        const { done, value } = await Promise.race([reader.read(), timer.late]);
        if (done) return joinBytes(chunks);
        size += value.length;
        if (size > max_bytes) throw new BodyTooLarge();
        chunks.push(value);
      }
    } catch (error) {
      // Whoever sends on is told that nobody reads; what comes of that does not matter any more.
      reader.cancel().catch(() => {});
      throw error instanceof BodyTooLarge || error instanceof BodyTooSlow ? error : new BodyCut();
    } finally {
      timer.stop();
    }
  };
}

/** As much of Node's `IncomingMessage` as is needed to read a body. */
export interface NodeStream {
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  removeListener(event: string, listener: (...values: unknown[]) => void): unknown;
  resume(): unknown;
  /** Whether anything has been read of it: Node has this since version 16.7. */
  readableDidRead?: boolean;
  destroyed?: boolean;
}

/**
 * The body of a request of Node's HTTP server. What comes beyond the limit is left to Node, which reads it away after the
 * answer: a stream that is broken off would take the answer with it.
 */
export function readNodeStream(stream: NodeStream, framework: Framework): ReadBody {
  return ({ max_bytes, timeout_ms }) =>
    new Promise((resolve, reject) => {
      if (stream.readableDidRead) return reject(missingBodyError(framework));
      const chunks: Uint8Array[] = [];
      let size = 0;
      const timer = startTimer(timeout_ms);
      timer.late.catch((error) => end(() => reject(error)));
      const take = (chunk: unknown) => {
        // Somebody has called setEncoding, which makes texts of what may be no UTF-8.
        if (!isBytes(chunk)) return end(() => reject(parsedBodyError(framework)));
        size += chunk.length;
        if (size > max_bytes) end(() => reject(new BodyTooLarge()));
        else chunks.push(chunk);
      };
      const finish = () => end(() => resolve(joinBytes(chunks)));
      const cut = () => end(() => reject(new BodyCut()));
      const listeners: [string, (...values: unknown[]) => void][] = [
        ["data", take],
        ["end", finish],
        ["error", cut],
        ["close", cut],
      ];
      for (const [event, listener] of listeners) stream.on(event, listener);

      function end(settle: () => void): void {
        timer.stop();
        for (const [event, listener] of listeners) stream.removeListener(event, listener);
        // An error of a stream that nobody listens to would end the process.
        stream.on("error", () => {});
        stream.resume();
        settle();
      }
    });
}

function startTimer(timeout_ms: number): { late: Promise<never>; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new BodyTooSlow()), timeout_ms);
  });
  // Whoever races against it handles it; when the race is over nobody does.
  late.catch(() => {});
  return { late, stop: () => clearTimeout(timer) };
}
