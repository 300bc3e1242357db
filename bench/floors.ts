// The two floors that every figure is compared with: what the same cores do with no product in between. A process of
// its own, started by processes.ts as `floors.ts accept` or `floors.ts accept+post <sink url>`; ends with its parent.
// `accept` reads a body with bare node:http, parses its JSON and answers 202. `accept+post` also posts the body,
// signed, with undici's cheapest call through a fixed number of slots. Neither stores anything.
import { createHmac, createSecretKey, randomBytes } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import { Pool } from "undici";
import { DELIVERY_SLOTS } from "./workload.ts";

/** With more bodies than this waiting for a slot, answers wait too: a floor that only buffers would prove nothing. */
const WAITING_MAX = 128;

type Accepted = (body: Buffer, answer: () => void) => void;

/** Reads, parses, and passes the body on; `answer` sends the 202 with the key that the body carries. */
function createFloor(onAccepted: Accepted) {
  return createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answerRequest(response, { body: Buffer.concat(chunks), onAccepted }));
  });
}

function answerRequest(response: ServerResponse, { body, onAccepted }: { body: Buffer; onAccepted: Accepted }): void {
  // The generator is the only client; a body that is not its JSON is a bug and may end this process.
  const { data } = JSON.parse(body.toString()) as { data: { key: string } };
  onAccepted(body, () => {
    const text = `{"accepted":["${data.key}"],"duplicates":[]}`;
    response.writeHead(202, { "content-type": "application/json", "content-length": text.length }).end(text);
  });
}

/** Posts bodies to `url` through at most DELIVERY_SLOTS requests at a time. */
function createPoster(url: URL): Accepted {
  const pool = new Pool(url.origin, { connections: DELIVERY_SLOTS, pipelining: 1 });
  const key = createSecretKey(randomBytes(32));
  const waiting: Parameters<Accepted>[] = [];
  let inFlight = 0;

  function post(body: Buffer): void {
    inFlight += 1;
    const signature = `sha256=${createHmac("sha256", key).update(body).digest("hex")}`;
    const headers = ["content-type", "application/json", "x-linkme-signature", signature];
    pool.dispatch(
      { path: url.pathname, method: "POST", headers, body },
      {
        onRequestStart: () => undefined,
        onResponseStart: () => undefined,
        onResponseData: () => undefined,
        onResponseEnd: release,
        // Shows as a lost event in the report.
        onResponseError: release,
      },
    );
  }

  function release(): void {
    inFlight -= 1;
    const next = waiting.shift();
    if (next === undefined) return;
    if (waiting.length >= WAITING_MAX) waiting[WAITING_MAX - 1]![1]();
    post(next[0]);
  }

  return (body, answer) => {
    if (inFlight < DELIVERY_SLOTS) {
      post(body);
      answer();
      return;
    }
    waiting.push([body, answer]);
    if (waiting.length <= WAITING_MAX) answer();
  };
}

if (import.meta.main) {
  const [floor, sink] = process.argv.slice(2);
  const server = createFloor(
    floor === "accept+post" && sink ? createPoster(new URL(sink)) : (_body, answer) => answer(),
  );
  server.listen(0, "127.0.0.1", () => process.send?.(server.address()));
  process.on("disconnect", () => process.exit(0));
}
