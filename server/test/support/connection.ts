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
