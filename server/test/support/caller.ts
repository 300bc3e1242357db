// Calls of the management API as the operator of a server, whose answers a test expects to be what it says.
import assert from "node:assert/strict";
import type { ServerProcess } from "./server-process.ts";

export type Call = ReturnType<typeof createCaller>;

/** `Body` is what the test expects back: only the status is checked. */
export function createCaller({ admin_token }: { admin_token: string }) {
  const headers = { authorization: `Bearer ${admin_token}` };
  return async function call<Body = unknown>(
    server: ServerProcess,
    status: number,
    ...[method, path, body]: [method: string, path: string, body?: object]
  ): Promise<Body> {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    return answer.body;
  };
}
