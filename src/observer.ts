import type { Logger } from 'pino';
import type { PipelineObserver } from './pipeline/observer.ts';

/** What the pipeline tells is counted, and what people must know of is written. */
export function tellBoth(counts: PipelineObserver, log: Logger): PipelineObserver {
  return {
    batch(step, lane, orders, ms) {
      counts.batch(step, lane, orders, ms);
      log.debug({ step, lane, orders, ms: Math.round(ms) }, 'batch done');
    },
    retriable(step, lane, orders, error, attempt) {
      counts.retriable(step, lane, orders, error, attempt);
      log.warn({ step, lane, orders, attempt, err: error }, 'orders wait to be tried again');
    },
    failed(step, lane, orders, error, attempt, about) {
      counts.failed(step, lane, orders, error, attempt, about);
      log.warn({ step, lane, orders, attempt, err: error, ...about }, 'orders were given up');
    },
    circuit(step, open, error) {
      counts.circuit(step, open, error);
      if (open) log.error({ step, err: error }, 'the circuit is open: a server this step needs is away');
      else log.info({ step }, 'the circuit is closed again');
    },
    consumers(step, lane, to, change) {
      counts.consumers(step, lane, to, change);
      const level = change.why === 'start' ? 'debug' : 'info';
      log[level]({ step, lane, to, ...change }, 'the number of consumers changed');
    },
    paused(step, lane, pause) {
      counts.paused(step, lane, pause);
      if (!pause) log.info({ step, lane }, 'the lane is no longer paused');
      else {
        const { name, by, note, at } = pause;
        log.warn({ step, lane, override: name, by, note, at }, 'the lane is paused: its messages wait');
      }
    },
    crashed(step, lane, error) {
      counts.crashed(step, lane, error);
      log.error({ step, lane, err: error }, 'an actor crashed and is restarted');
    },
  };
}
