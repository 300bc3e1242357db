// A way to a server that a test can break, and turn to another server: what a virtual address or a proxy is to a cluster of
// databases. Breaking it resets every connection without a word, as a network does.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Switch {
  port: number;
  breakAll(): void;
  /** New connections go there; those that are open are broken. */
  turnTo(port: number): void;
  close(): Promise<void>;
}

/** @param target the port on this machine to which it leads */
export async function startSwitch(target: number): Promise<Switch> {
  let current = target;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(current, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      // What ends on one side ends on the other.
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const breakAll = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  // A server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    breakAll,
    turnTo(next) {
      current = next;
      breakAll();
    },
    async close() {
      breakAll();
      server.close();
      await once(server, "close");
    },
  };
}
