// Reads the code of an error of the operating system, as Node gives it.

/** Such as `ENOENT`; undefined of every other error. */
export function systemCodeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
