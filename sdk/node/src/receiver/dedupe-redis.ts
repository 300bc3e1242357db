// `@li-nk.me/node-sdk/receiver/dedupe-redis`: remembers in Redis (or Valkey). One key for each step of an event; Redis forgets it
// by itself. Each call is one command, or one script, so it is atomic whatever the client does.
import type { DedupeStore } from "./dedupe.ts";
import { createLeaseOwner } from "./lease-owner.ts";

/** A client of ioredis: `new Redis(url)`. */
export interface IoredisLike {
  call(command: string, ...args: string[]): Promise<unknown>;
}

/** A client of node-redis that is connected: `await createClient({ url }).connect()`. */
export interface NodeRedisLike {
  sendCommand(args: string[]): Promise<unknown>;
}

export interface RedisDedupeOptions {
  client: IoredisLike | NodeRedisLike;
  /** What keys begin with; default `linkme:`. */
  prefix?: string;
}

const DONE = "done";
/** Deletes a lease if it is still ours. */
const RELEASE = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0';
/** A key can run out between two looks; more often than so in a row it does not. */
const LOOKS_MAX = 3;

/**
 * A dedupe store in Redis. Set no eviction on it (`maxmemory-policy noeviction`), or it forgets early.
 *
 * @example createReceiver({ secrets, dedupe: redisDedupe({ client: new Redis(process.env.REDIS_URL) }) })
 */
export function redisDedupe({ client, prefix = "linkme:" }: RedisDedupeOptions): DedupeStore {
  const owner = createLeaseOwner();
  const lease = () => `lease:${owner()}`;

  function send(...command: [string, ...string[]]): Promise<unknown> {
    // Both clients have a sendCommand; only that of node-redis takes a list of texts, and only ioredis has `call`.
    return "call" in client ? client.call(...command) : client.sendCommand(command);
  }

  return {
    async begin(key, lease_ms) {
      for (let look = 0; look < LOOKS_MAX; look += 1) {
        if ((await send("SET", prefix + key, lease(), "NX", "PX", milliseconds(lease_ms))) !== null) return "fresh";
        const found = await send("GET", prefix + key);
        if (found !== null) return String(found) === DONE ? "done" : "in_progress";
      }
      return "in_progress";
    },
    async done(key, ttl_ms) {
      await send("SET", prefix + key, DONE, "PX", milliseconds(ttl_ms));
    },
    async release(key) {
      await send("EVAL", RELEASE, "1", prefix + key, lease());
    },
  };
}

function milliseconds(span: number): string {
  return String(Math.max(1, Math.ceil(span)));
}
