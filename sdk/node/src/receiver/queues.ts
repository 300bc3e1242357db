// `@li-nk.me/node-sdk/receiver/queues`: hand-offs to queues that take an event with one call. Their workers call
// `receiver.process(event)`; a rejection is the sign for the queue to keep the event.
import type { LinkMeWebhookEnvelope } from "../events.ts";
import { base64Of, bytesOf } from "./bytes.ts";
import { keyOf } from "./event-key.ts";
import type { HandOff } from "./options.ts";

/** As much of a `Queue` of BullMQ as is used. */
export interface BullQueueLike {
  add(name: string, data: LinkMeWebhookEnvelope, options: { jobId: string }): Promise<unknown>;
}

/**
 * A hand-off to BullMQ. The id of the job is made of that of the event, so it is queued once for as long as the job is kept.
 * Give the queue `attempts` and `backoff` in its `defaultJobOptions`: BullMQ tries a job once by default.
 *
 * @example
 * createReceiver({ secrets, handOff: bullHandOff(new Queue("linkme", { connection, defaultJobOptions: { attempts: 20 } })) });
 * new Worker("linkme", (job) => receiver.process(job.data), { connection });
 */
export function bullHandOff(queue: BullQueueLike): HandOff {
  return {
    // BullMQ refuses ids with a colon, and those that are a number.
    enqueue: (event) => queue.add(event.event, event, { jobId: keyOf(event, "job").replaceAll(":", "_") }),
  };
}

/** As much of `SQS` of @aws-sdk/client-sqs as is used. */
export interface SqsLike {
  sendMessage(input: { QueueUrl: string; MessageBody: string }): Promise<unknown>;
}

/**
 * A hand-off to a standard queue of SQS. A message may have 1 MiB (256 KiB in queues with an older setting), and an envelope has
 * 256 KiB at the most.
 *
 * @example
 * createReceiver({ secrets, handOff: sqsHandOff(new SQS(), process.env.QUEUE_URL) });
 * export const handler = async ({ Records }) => {
 *   for (const { body } of Records) await receiver.process(JSON.parse(body));
 * };
 */
export function sqsHandOff(sqs: SqsLike, queue_url: string): HandOff {
  return { enqueue: (event) => sqs.sendMessage({ QueueUrl: queue_url, MessageBody: JSON.stringify(event) }) };
}

/** As much of `CloudTasksClient` of @google-cloud/tasks as is used. */
export interface CloudTasksLike {
  createTask(request: { parent: string; task: CloudTask }): Promise<unknown>;
}

export interface CloudTask {
  httpRequest: {
    httpMethod: "POST";
    url: string;
    headers: Record<string, string>;
    /** Base64. */
    body: string;
    oidcToken?: { serviceAccountEmail: string };
  };
}

export interface CloudTasksOptions {
  client: CloudTasksLike;
  /** `projects/…/locations/…/queues/…`, as `client.queuePath(project, location, queue)` makes it. */
  queue: string;
  /** Where the worker is. */
  url: string;
  /** In whose name the worker is called; a worker that anybody may call needs none, and should not be. */
  service_account?: string;
}

/**
 * A hand-off to Cloud Tasks, which calls a worker of yours with the event as JSON. A task may have 100 KB: an event that is
 * larger is answered 503 until LinkMe gives it up.
 *
 * @example
 * const queue = tasks.queuePath("my-project", "europe-west1", "linkme");
 * createReceiver({ secrets, handOff: cloudTasksHandOff({ client: tasks, queue, url: WORKER_URL, service_account: WORKER }) });
 */
export function cloudTasksHandOff({ client, queue, url, service_account }: CloudTasksOptions): HandOff {
  return {
    enqueue(event) {
      const headers = { "content-type": "application/json" };
      const body = base64Of(bytesOf(JSON.stringify(event)));
      const token = service_account === undefined ? {} : { oidcToken: { serviceAccountEmail: service_account } };
      const httpRequest: CloudTask["httpRequest"] = { httpMethod: "POST", url, headers, body, ...token };
      return client.createTask({ parent: queue, task: { httpRequest } });
    },
  };
}
