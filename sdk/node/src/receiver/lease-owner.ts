// Tells the leases of one store from those of other processes. Called by the stores with each lease.

/** Made with the first call: Workers have no chance before a request is there. */
export function createLeaseOwner(): () => string {
  let owner: string | undefined;
  return () => {
    owner ??= crypto.randomUUID();
    return owner;
  };
}
