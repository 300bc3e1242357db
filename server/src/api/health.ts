// Health checks, for people and load balancers: the process answers; the process and its database answer.
import { unavailable } from "../errors.ts";
import type { Handlers } from "./bind.ts";

const RETRY_AFTER_SECONDS = 1;
const OK = { ok: true } as const;

/** @param isReady asks the database; false or a rejection means not now */
export function healthHandlers(isReady: () => Promise<boolean>): Handlers<"getHealth" | "getReady"> {
  return {
    getHealth: () => OK,
    async getReady() {
      // Whatever goes wrong here means the same to a load balancer: not this process, not now.
      const is_ready = await isReady().catch(() => false);
      if (!is_ready)
        throw unavailable("The database does not answer, or takes no writes, at the moment.", RETRY_AFTER_SECONDS);
      return OK;
    },
  };
}
