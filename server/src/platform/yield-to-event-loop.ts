// Lets the event loop do what it has at hand: requests that have arrived, answers of the database, timers that are due.

export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
