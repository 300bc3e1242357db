// Ends a process of the server when the benchmark itself is killed: a process of its own that waits, at no cost, for
// its parent's channel to close. Started by processes.ts as `guard.ts <pid> <data directory>`, and stopped after that
// process. Two processes may share a directory: whichever guard comes last leaves nothing of it.
import { rmSync } from "node:fs";

/** While the other process, or its guard, is still at work in the directory. */
const REMOVE_RETRIES = 10;

if (import.meta.main) {
  const [pid = "", directory = ""] = process.argv.slice(2);
  process.on("disconnect", () => {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It had ended already, which is all that is wanted.
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: REMOVE_RETRIES });
    process.exit(0);
  });
  // A terminal's Ctrl-C reaches the whole group; this process must outlive its parent.
  process.on("SIGINT", () => undefined);
}
