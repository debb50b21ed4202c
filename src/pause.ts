import { setTimeout as sleep } from 'node:timers/promises';

/** Waits so long, or until `signal` aborts: either ends it well. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
