import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/**
 * Waits until `condition` gives something true, and returns it; asks about every 10 ms.
 *
 * A condition that throws is asked again. After `timeoutMs` (default 10,000) it throws an error that
 * names `what` did not happen, and the last value seen or error thrown.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 10_000, what }: { timeoutMs?: number; what: string },
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const deadline = performance.now() + timeoutMs;
  let last: string;
  do {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>;
      last = inspect(value);
    } catch (error) {
      last = String(error);
    }
    await sleep(10);
  } while (performance.now() < deadline);
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}; last seen: ${last}`);
}
