// Sends requests to receivers under test over real sockets, signed at the real time.
import { request } from "node:http";
import { signTestPayload } from "../../src/receiver/index.ts";
import { CLICK, SECRET } from "./receiver.ts";

export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  body: string;
}

export interface Sent {
  method?: string;
  path?: string;
  headers?: NodeJS.Dict<string>;
  body?: string | Buffer;
}

/** Sends what is given, and nothing is signed. */
export function exchange(port: number, sent: Sent): Promise<Answer> {
  const { method = "POST", path = "/webhooks/linkme", headers = {}, body = "" } = sent;
  return new Promise((resolve, reject) => {
    const sending = request({ host: "127.0.0.1", port, path, method, agent: false, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      response.on("error", reject);
    });
    sending.on("error", reject);
    sending.end(body);
  });
}

/** Sends an event, signed, with what is changed of the request. */
export async function sendSigned(port: number, changed: Sent & { event?: object | string } = {}): Promise<Answer> {
  const { event = CLICK, headers, ...rest } = changed;
  const signed = await signTestPayload(event, { secret: SECRET });
  return exchange(port, { body: signed.body, headers: { ...signed.headers, ...headers }, ...rest });
}
