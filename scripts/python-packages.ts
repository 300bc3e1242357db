// Sees to it that python3 has what the tests of the Python SDK need beside the standard library: the package that its extra
// `ed25519` names. What is installed comes first, then pip into the project's cache, then Debian's package. Called by
// scripts/test.ts. Either it is there afterwards or an error says what to do: a test that needs it is never skipped.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";

const PACKAGE = "cryptography";
const PIP_NAME = "cryptography>=42";
const DEBIAN_NAME = "python3-cryptography";
const CACHE = join(dirname(import.meta.dirname), ".cache", "python");
const PROBE_TIMEOUT_MS = 30_000;
const INSTALL_TIMEOUT_MS = 5 * 60_000;

type Environment = Record<string, string | undefined>;

/**
 * The environment in which python3 finds the package.
 * @throws when it can neither be found nor installed; the message says what to do
 */
export function ensurePythonPackages(env: Environment = process.env): Environment {
  if (hasPackage(env)) return env;
  const cached = { ...env, PYTHONPATH: [CACHE, env["PYTHONPATH"]].filter(Boolean).join(":") };
  if (hasPackage(cached)) return cached;
  console.log(`Installing ${PACKAGE} for the tests of the Python SDK (once) ...`);
  const pip = [
    "python3",
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--target",
    CACHE,
    PIP_NAME,
  ];
  if (run(pip, env) && hasPackage(cached)) return cached;
  if (installDebianPackage(env) && hasPackage(env)) return env;
  throw new Error(
    `The tests of the Python SDK need the package ${PACKAGE}, and it could be neither found nor installed: ` +
      `run \`pip install ${PACKAGE}\`, or install ${DEBIAN_NAME}.`,
  );
}

function hasPackage(env: Environment): boolean {
  // The module that the SDK imports: a package for another version of Python has the name alone.
  const probe = "import cryptography.hazmat.primitives.asymmetric.ed25519";
  return spawnSync("python3", ["-c", probe], { env, timeout: PROBE_TIMEOUT_MS }).status === 0;
}

function installDebianPackage(env: Environment): boolean {
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", DEBIAN_NAME];
  const noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive"];
  const steps = [["apt-get", "update", "-q"], install];
  return steps.every((step) => run([...asRoot, ...noninteractive, ...step], env));
}

function run([command = "", ...args]: string[], env: Environment): boolean {
  // What the installer prints goes to stderr: stdout is the test report.
  const stdio = ["ignore", process.stderr, process.stderr] as const;
  return spawnSync(command, args, { env, stdio: [...stdio], timeout: INSTALL_TIMEOUT_MS }).status === 0;
}
