import type { Broker } from '../pipeline/broker/broker.ts';
import { failedQueueOf } from '../pipeline/topology.ts';
import { type Alert, raiseOnce } from '../store/alerts.ts';
import type { Log, Store } from '../store/store.ts';
import { every, type Running } from './every.ts';

/** What RabbitMQ says of a queue. */
export interface QueueSize {
  /** Messages that wait in it; those that somebody holds unacknowledged are not among them. */
  messages: number;
  consumers: number;
}

/** How long a queue has been as it is, in ms. */
export interface Standstill {
  /** Since when messages wait. */
  waitingMs: number;
  /** Since when nobody has drained it. */
  undrainedMs: number;
}

/**
 * Remembers of queues since when messages wait there that nobody drains: there is no consumer, or their number
 * never goes down. Times are those of the clock that `look` is given, in ms.
 */
export class DrainWatch {
  readonly #queues = new Map<string, { messages: number; waitingSince: number; undrainedSince: number }>();

  /** Takes note of how a queue is now; says how long it has been so, or undefined if it is empty. */
  look(queue: string, { messages, consumers }: QueueSize, now: number): Standstill | undefined {
    if (messages === 0) {
      this.#queues.delete(queue);
      return undefined;
    }
    const seen = this.#queues.get(queue) ?? { messages, waitingSince: now, undrainedSince: now };
    const drains = consumers > 0 && messages < seen.messages;
    const { waitingSince } = seen;
    const undrainedSince = drains ? now : seen.undrainedSince;
    this.#queues.set(queue, { messages, waitingSince, undrainedSince });
    return { waitingMs: now - waitingSince, undrainedMs: now - undrainedSince };
  }

  /** Forgets a queue: who can't see it can't say what happens there meanwhile. */
  forget(queue: string): void {
    this.#queues.delete(queue);
  }
}

export interface QueueMonitorOptions {
  store: Store;
  broker: Pick<Broker, 'inspect'>;
  steps: readonly string[];
  /** How often it looks, in ms. */
  checkMs: number;
  /** For how long nobody must have drained a queue, in ms. */
  undrainedMs: number;
  /** So long no second alert is raised for a queue, even if it was empty in between, in ms; default an hour. */
  againMs?: number;
  /** A clock in ms; default: one that is never set. */
  now?: () => number;
  log: Log;
}

/**
 * Looks at the `<step>.failed` queue of every step, and raises `queue undrained` for those where messages wait that
 * nobody drains: once, until the queue was empty again, whatever the number of processes that look.
 */
export function startQueueMonitor(options: QueueMonitorOptions): Running {
  const { store, broker, steps, checkMs, undrainedMs, againMs = 3_600_000, log } = options;
  const { now = () => performance.now() } = options;
  const watch = new DrainWatch();
  return every(checkMs, {
    what: 'looking at the failed queues',
    log,
    async work() {
      const unseen: unknown[] = [];
      for (const queue of steps.map(failedQueueOf)) {
        const size = await broker.inspect(queue).catch((error: unknown) => {
          watch.forget(queue);
          unseen.push(error);
        });
        const standstill = size && watch.look(queue, size, now());
        if (!standstill || standstill.undrainedMs < undrainedMs) continue;
        // One that was raised since messages wait there was raised for these.
        await raiseOnce(store, alertOf(queue, size, standstill), Math.max(againMs, standstill.waitingMs));
      }
      if (unseen.length > 0) throw unseen[0];
    },
  });
}

const alertOf = (queue: string, size: QueueSize, { undrainedMs }: Standstill): Alert => ({
  kind: 'queue undrained',
  subject: `queue ${queue}`,
  detail: { queue, ...size, seconds: Math.round(undrainedMs / 1_000) },
});
