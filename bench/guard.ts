// Ends the server when the benchmark itself is killed: a process of its own that waits, at no cost, for its parent's
// channel to close. Started by processes.ts as `guard.ts <pid> <data directory>`, and stopped after the server.
import { rmSync } from "node:fs";

if (import.meta.main) {
  const [pid = "", directory = ""] = process.argv.slice(2);
  process.on("disconnect", () => {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It had ended already, which is all that is wanted.
    }
    rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  });
  // A terminal's Ctrl-C reaches the whole group; this process must outlive its parent.
  process.on("SIGINT", () => undefined);
}
