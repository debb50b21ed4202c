import { setTimeout as delay } from 'node:timers/promises';

/** Waits for `event`, but at most for `ms`, and leaves no timer behind. */
export async function atMost(ms: number, event: Promise<void>): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([event, delay(ms, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
