import { type ChunkCursor, waitingChunks } from '../store/intake.ts';
import { withLock } from '../store/lock.ts';
import type { Log, Store } from '../store/store.ts';
import { createPublishing, type Publisher } from './publishing.ts';

export interface SweepOptions {
  store: Store;
  publisher: Publisher;
  log: Log;
  /** Younger chunks are left to the process that accepted them; default 30,000. */
  olderThanMs?: number;
  /** How many chunks are read and published at once; default 100. */
  pageSize?: number;
  /** Ends the sweep after the page it is at. */
  signal?: AbortSignal;
}

/**
 * Publishes what a crash or a failed publish left behind: chunks of path `actors` that are not marked.
 * Returns how many it published.
 *
 * One process at a time; where another one sweeps already, or RabbitMQ can't be had, it does nothing. A chunk
 * that can't be published is passed over and tried in the next sweep. Each is published at least once.
 */
export async function sweep(options: SweepOptions): Promise<number> {
  const { store, publisher, log, olderThanMs = 30_000, pageSize = 100 } = options;
  const publishing = createPublishing({ store, publisher, log });
  let published = 0;
  const startedAt = performance.now();
  await withLock(store, 'intake sweep', async (lost) => {
    let after: ChunkCursor | undefined;
    do {
      const readiness = publisher.ready();
      if (!readiness.ok) {
        log.info({ why: readiness.why }, 'the sweep waits until chunks can be published');
        return;
      }
      // What grows old meanwhile is for the next sweep, or this one might not end.
      const age = olderThanMs + (performance.now() - startedAt);
      const chunks = await waitingChunks(store, { path: 'actors', olderThanMs: age, pageSize, after });
      published += await publishing.publish(chunks);
      after = chunks.at(-1);
    } while (after !== undefined && !lost.aborted && options.signal?.aborted !== true);
  });
  if (published > 0) log.info({ chunks: published }, 'the sweep published chunks that were left behind');
  return published;
}

/** Sweeps at once, and then again `intervalMs` (default 60,000) after each sweep, until it is stopped. */
export function startSweep(options: Omit<SweepOptions, 'signal'> & { intervalMs?: number }): {
  /** Resolves when the sweep that is running, if one is, has ended. */
  stop(): Promise<void>;
} {
  const { intervalMs = 60_000, log } = options;
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void>;
  const run = async () => {
    try {
      await sweep({ ...options, signal: stopping.signal });
    } catch (error) {
      log.warn({ err: error }, 'the sweep of the intake failed; it is tried again');
    }
    if (stopping.signal.aborted) return;
    timer = setTimeout(() => {
      running = run();
    }, intervalMs);
  };
  running = run();
  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await running;
    },
  };
}
