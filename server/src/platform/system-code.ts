// Reads the code that Node gives an error of the operating system.

/** Such as `ENOENT`; undefined of an error without a code. */
export function systemCodeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
