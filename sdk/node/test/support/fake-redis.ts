// A server that speaks as much of Redis as the dedupe store uses, in memory, with the semantics that Redis documents for these
// commands: each is atomic, a key past its time is not there. The script is the only one it knows, by its text.
export interface FakeRedis {
  /** Has a `call`, as ioredis does; its `sendCommand` takes no list there. */
  ioredis(): {
    call(command: string, ...args: string[]): Promise<unknown>;
    sendCommand(command: object): Promise<never>;
  };
  /** As node-redis. */
  nodeRedis(): { sendCommand(args: string[]): Promise<unknown> };
  pass(span_ms: number): void;
}

const SCRIPT = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0';

export function openFakeRedis(): FakeRedis {
  const values = new Map<string, { value: string; until: number }>();
  let now = 0;

  function get(key: string): string | null {
    const found = values.get(key);
    return found !== undefined && found.until > now ? found.value : null;
  }

  function run([command = "", ...args]: string[]): unknown {
    const [key = "", value = "", ...options] = args;
    switch (command) {
      case "GET":
        if (args.length !== 1) throw new Error("ERR wrong number of arguments for 'get' command");
        return get(key);
      case "SET": {
        const span_ms = Number(options.at(-1));
        const is_new_only = options.length === 3 && options[0] === "NX";
        if (options.at(-2) !== "PX" || options.length > (is_new_only ? 3 : 2)) throw new Error("ERR syntax error");
        if (!Number.isInteger(span_ms) || span_ms <= 0) throw new Error("ERR invalid expire time in 'set' command");
        if (is_new_only && get(key) !== null) return null;
        values.set(key, { value, until: now + span_ms });
        return "OK";
      }
      case "EVAL": {
        const [script, count, name = "", lease] = args;
        if (script !== SCRIPT || count !== "1" || args.length !== 4) throw new Error("ERR unknown script");
        return get(name) === lease && values.delete(name) ? 1 : 0;
      }
      default:
        throw new Error(`ERR unknown command '${command}'`);
    }
  }

  async function send(command: string[]): Promise<unknown> {
    if (!command.every((part) => typeof part === "string")) throw new TypeError("arguments are texts");
    // The network: what others send meanwhile comes before or after, never in the midst.
    await new Promise((resolve) => setImmediate(resolve));
    return run(command);
  }

  return {
    ioredis: () => ({
      call: (command, ...args) => send([command, ...args]),
      async sendCommand() {
        throw new TypeError("ioredis takes a Command here");
      },
    }),
    nodeRedis: () => ({ sendCommand: send }),
    pass(span_ms) {
      now += span_ms;
    },
  };
}
