// Lets those who ask the same at the same time share one answer: one piece of work for each key is under way, and who comes
// meanwhile shares the next one, which begins after all of them have asked, so that nobody is told what held before. Used
// by missed-store.ts.

/** What is under way for a key, and what begins when that has ended. */
interface Line<Argument, Result> {
  running: Promise<void>;
  waiting: { argument: Argument; result: Promise<Result> } | null;
}

/** @param work gets the newest argument of those who share it */
export function createSharedWork<Argument, Result>(work: (argument: Argument) => Promise<Result>) {
  const lines = new Map<string, Line<Argument, Result>>();

  function begin(key: string, argument: Argument): Promise<Result> {
    const result = work(argument);
    const end = () => {
      if (line.waiting === null) lines.delete(key);
    };
    const line: Line<Argument, Result> = { running: result.then(end, end), waiting: null };
    lines.set(key, line);
    return result;
  }

  return function share(key: string, argument: Argument): Promise<Result> {
    const line = lines.get(key);
    if (line === undefined) return begin(key, argument);
    if (line.waiting === null) {
      const result = line.running.then(() => begin(key, line.waiting?.argument ?? argument));
      line.waiting = { argument, result };
    }
    line.waiting.argument = argument;
    return line.waiting.result;
  };
}
