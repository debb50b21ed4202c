import { pause } from '../pause.ts';
import type { Log } from '../store/store.ts';

/** Something that goes on until it is stopped. */
export interface Running {
  /** Tells it to end, and resolves when it has. */
  stop(): Promise<void>;
}

/**
 * Does `work` now, and again `ms` after each time it ended, until it is stopped.
 *
 * Work that throws is done again all the same; the log says so the first time in a row, and when it goes well again.
 */
export function every(
  ms: number,
  { what, work, log }: { what: string; work: (signal: AbortSignal) => Promise<void>; log: Log },
): Running {
  const stopping = new AbortController();
  const { signal } = stopping;
  let failing = false;
  const once = async () => {
    try {
      await work(signal);
      if (failing) log.info({}, `${what}: it works again`);
      failing = false;
    } catch (error) {
      if (failing || signal.aborted) log.debug({ err: error }, `${what}: it failed again`);
      else log.warn({ err: error }, `${what}: it failed, and is tried again`);
      failing = true;
    }
  };
  const running = (async () => {
    while (!signal.aborted) {
      await once();
      await pause(ms, signal);
    }
  })();
  return {
    stop() {
      stopping.abort();
      return running;
    },
  };
}
