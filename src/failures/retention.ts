import { pause } from '../pause.ts';
import { removeOldAlerts } from '../store/alerts.ts';
import { removeOldFailures } from '../store/failureRetention.ts';
import { withLock } from '../store/lock.ts';
import type { Log, Store } from '../store/store.ts';

export interface RetentionOptions {
  store: Store;
  /** So long are failures kept that nothing is to be decided about, and alerts that were delivered. */
  keepDays: number;
  log: Log;
  /** How often it is looked, in ms; default an hour. */
  everyMs?: number;
  /** How many are removed in one transaction; default 1,000. */
  batchSize?: number;
}

/** Removes what is older than `keepDays`, one batch after another, in one process at a time; returns how many failures that were. */
export async function removeOld(
  { store, keepDays, batchSize = 1_000 }: Omit<RetentionOptions, 'everyMs' | 'log'>,
  signal?: AbortSignal,
): Promise<number> {
  let removed = 0;
  await withLock(store, 'failures retention', async (lost) => {
    const ended = () => lost.aborted || signal?.aborted === true;
    for (let last = batchSize; last === batchSize && !ended(); removed += last)
      last = await removeOldFailures(store, { keepDays, limit: batchSize });
    for (let last = batchSize; last >= batchSize && !ended(); )
      last = await removeOldAlerts(store, { olderThanDays: keepDays, limit: batchSize });
  });
  return removed;
}

/** Removes what is old at once, and then again `everyMs` after each time, until it is stopped. */
export function startRetention(options: RetentionOptions): { stop(): Promise<void> } {
  const { log, everyMs = 3_600_000 } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const running = (async () => {
    while (!signal.aborted) {
      try {
        const removed = await removeOld(options, signal);
        if (removed > 0) log.info({ failures: removed }, 'old failures were removed');
      } catch (error) {
        log.warn({ err: error }, 'old failures could not be removed; trying again later');
      }
      await pause(everyMs, signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
