// The parent's side of the receiver: starts it, gives it the secret, collects its receipts. Called by main.ts.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { FromReceiver, ToReceiver } from "./receiver.ts";
import type { Receipt } from "./reception.ts";

const RECEIVER = join(import.meta.dirname, "receiver.ts");
const ANSWER_TIMEOUT_MS = 15_000;

export interface ReceiverProcess {
  url: string;
  /** All so far, oldest first. */
  receipts: readonly Receipt[];
  /** From now on every request is verified with this secret. */
  arm(secret: string): Promise<void>;
  /** Resolves when it has ended and its last receipt is here. */
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<ReceiverProcess> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", RECEIVER], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const receipts: Receipt[] = [];
  child.on("message", (message: FromReceiver) => {
    if (message.kind === "receipt") receipts.push(message.receipt);
  });
  try {
    const { url } = await next(child, "listening");
    return { url, receipts, arm: (secret) => arm(child, secret), stop: () => stop(child) };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

async function arm(child: ChildProcess, secret: string): Promise<void> {
  const armed = next(child, "armed");
  send(child, { kind: "secret", secret });
  await armed;
}

async function stop(child: ChildProcess): Promise<void> {
  // The channel says that it is closed after its last message.
  const isDrained = new Promise<void>((done) => child.once("disconnect", done));
  if (!child.connected) return;
  const timer = setTimeout(() => child.kill("SIGKILL"), ANSWER_TIMEOUT_MS);
  send(child, { kind: "stop" });
  await isDrained;
  clearTimeout(timer);
}

function send(child: ChildProcess, message: ToReceiver): void {
  // A receiver that has gone is noticed by whoever awaits its next message.
  child.send(message, () => {});
}

/** The next message of a kind; an error when the receiver ends or says nothing. */
function next<Kind extends FromReceiver["kind"]>(
  child: ChildProcess,
  kind: Kind,
): Promise<Extract<FromReceiver, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error("The receiver did not answer in time.")), ANSWER_TIMEOUT_MS);
    const onExit = () => finish(new Error("The receiver ended before its time; its message is above."));
    const onMessage = (message: FromReceiver) => {
      // The comparison narrows the union, which TypeScript does not follow through a type parameter.
      if (message.kind === kind) finish(message as Extract<FromReceiver, { kind: Kind }>);
    };
    child.on("message", onMessage);
    child.once("exit", onExit);
    child.once("error", finish);

    function finish(result: Error | Extract<FromReceiver, { kind: Kind }>): void {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
      child.off("error", finish);
      if (result instanceof Error) reject(result);
      else resolve(result);
    }
  });
}
