// Runs pieces of work one after another, in the order in which they are asked for. One that fails is the failure of who
// asked for it alone: the next begins all the same. How many may wait is the caller's to bound.

export type Serially = <Result>(work: () => Promise<Result>) => Promise<Result>;

export function createSerial(): Serially {
  let last: Promise<unknown> = Promise.resolve();

  return function serially(work) {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}
