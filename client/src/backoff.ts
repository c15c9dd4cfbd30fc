// How long to wait before the next attempt: full jitter below a bound that doubles.

export interface Bounds {
  minDelay: number;
  maxDelay: number;
}

/** Return the milliseconds to wait; `attempt` counts from 0 for the first one after a loss. */
export function backoff(attempt: number, bounds: Bounds, random: () => number): number {
  const bound = Math.min(bounds.maxDelay, bounds.minDelay * 2 ** Math.min(attempt, 30));
  return Math.floor(random() * bound);
}
