// A connection to a server on which a test writes what no HTTP client would.
import { once } from "node:events";
import { connect } from "node:net";

/** One connection, byte by byte, and the status of each answer that came over it. */
export async function openConnection(url: string) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    text += chunk;
  });
  await once(socket, "connect");
  const ended = new Promise<Error | null>((resolve) => {
    socket.once("error", resolve).once("close", () => resolve(null));
  });
  return {
    write: (bytes: string) => void socket.write(bytes),
    close: () => void socket.destroy(),
    /** With what went wrong; null: nothing. */
    ended,
    text: () => text,
    statuses: () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status),
  };
}

/** The start of a call with a token and the type of JSON. */
export function headOf(token: string, call: string, ...headers: string[]): string {
  const own = ["host: localhost", `authorization: Bearer ${token}`, "content-type: application/json"];
  return `${[`${call} HTTP/1.1`, ...own, ...headers].join("\r\n")}\r\n\r\n`;
}
