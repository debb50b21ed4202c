import { pause } from '../pause.ts';
import type { Services } from '../services.ts';
import { runLegacy } from './run.ts';

export interface LegacyOptions {
  services: Services;
  /** From the start of one run to the start of the next, in ms; a run that takes longer is never overlapped. */
  intervalMs: number;
  /** See `LegacyRunOptions`. */
  maxAttempts: number;
  /** See `recordFailures`. */
  threshold?: number | undefined;
}

/**
 * Starts the legacy path: a run now, and one every `intervalMs`. It needs Postgres and the gateway, not RabbitMQ.
 *
 * A run that fails is logged, and the next one goes on. `stop` resolves once the order at hand is finished.
 */
export function startLegacy({ services, intervalMs, maxAttempts, threshold }: LegacyOptions): {
  stop(): Promise<void>;
} {
  const stopping = new AbortController();
  const { signal } = stopping;
  const running = (async () => {
    while (!signal.aborted) {
      const startedAt = performance.now();
      try {
        await runLegacy({ services, maxAttempts, threshold, signal });
      } catch (error) {
        services.log.error(
          { err: error, step: 'legacy' },
          'the legacy run was broken off; the next one goes on',
        );
      }
      await pause(Math.max(0, intervalMs - (performance.now() - startedAt)), signal);
    }
  })();
  return {
    stop() {
      stopping.abort();
      return running;
    },
  };
}
