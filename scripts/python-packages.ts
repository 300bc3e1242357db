// Sees to it that python3 has what the tests of the Python SDK need beside the standard library: the package that its extra
// `ed25519` names, and the frameworks that it has adapters for. What is installed comes first, then pip into the project's
// cache, then Debian's packages. Called by scripts/test.ts. Either all is there afterwards or an error says what to do: a test
// that needs it is never skipped.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = dirname(import.meta.dirname);
const REQUIREMENTS = "sdk/python/tests/requirements.txt";
/** Modules and not packages: a package for another version of Python has the name alone. */
const MODULES = [
  "cryptography.hazmat.primitives.asymmetric.ed25519",
  "fastapi",
  "starlette.applications",
  "flask",
  "django.http",
];
const DEBIAN_NAMES = ["python3-cryptography", "python3-fastapi", "python3-flask", "python3-django"];
const PROBE_TIMEOUT_MS = 30_000;
const INSTALL_TIMEOUT_MS = 5 * 60_000;

type Environment = Record<string, string | undefined>;

/**
 * The environment in which python3 finds the packages.
 * @throws when they can neither be found nor installed; the message says what to do
 */
export function ensurePythonPackages(env: Environment = process.env): Environment {
  if (hasPackages(env)) return env;
  const cache = cacheOf(env);
  const cached = { ...env, PYTHONPATH: [cache, env["PYTHONPATH"]].filter(Boolean).join(":") };
  if (hasPackages(cached)) return cached;
  console.log("Installing what the tests of the Python SDK need (once) ...");
  // --upgrade replaces what an installation that was broken off has left.
  const pip = ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"];
  if (run([...pip, "--target", cache, "-r", join(ROOT, REQUIREMENTS)], env) && hasPackages(cached)) return cached;
  if (installDebianPackages(env) && hasPackages(env)) return env;
  throw new Error(
    "The tests of the Python SDK need packages that could be neither found nor installed: " +
      `run \`pip install -r ${REQUIREMENTS}\`, or install ${DEBIAN_NAMES.join(" ")}.`,
  );
}

/** A folder for these versions and this Python: compiled parts fit one version of it only. */
function cacheOf(env: Environment): string {
  const asked = ["-c", "import sys; print(sys.implementation.cache_tag)"];
  const tag = spawnSync("python3", asked, { env, encoding: "utf8", timeout: PROBE_TIMEOUT_MS }).stdout?.trim() ?? "";
  const digest = createHash("sha256")
    .update(readFileSync(join(ROOT, REQUIREMENTS)))
    .digest("hex");
  return join(ROOT, ".cache", "python", `${tag}-${digest.slice(0, 12)}`);
}

function hasPackages(env: Environment): boolean {
  const probe = `import ${MODULES.join(", ")}`;
  return spawnSync("python3", ["-c", probe], { env, timeout: PROBE_TIMEOUT_MS }).status === 0;
}

function installDebianPackages(env: Environment): boolean {
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...DEBIAN_NAMES];
  const noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive"];
  const steps = [["apt-get", "update", "-q"], install];
  return steps.every((step) => run([...asRoot, ...noninteractive, ...step], env));
}

function run([command = "", ...args]: string[], env: Environment): boolean {
  // What the installer prints goes to stderr: stdout is the test report.
  const stdio = ["ignore", process.stderr, process.stderr] as const;
  return spawnSync(command, args, { env, stdio: [...stdio], timeout: INSTALL_TIMEOUT_MS }).status === 0;
}
