import {
  type AlertDelivery,
  countUndelivered,
  giveUpOthers,
  markDelivered,
  markFailed,
  takeDueDelivery,
  type Undelivered,
} from '../store/alertDeliveries.ts';
import { takeBundle } from '../store/alerts.ts';
import type { Log, Store } from '../store/store.ts';
import type { Channel, Outcome } from './channel.ts';
import { every, type Running } from './every.ts';

export interface SenderOptions {
  store: Store;
  channels: readonly Channel[];
  /** How long an alert waits for its neighbours, in ms. */
  collectMs: number;
  /** How long after one bundle the next may go out, in ms. */
  everyMs: number;
  /** How long a delivery is tried again, in ms. */
  giveUpMs: number;
  /** How often one looks for what is due, in ms; default 1,000. */
  lookMs?: number;
  /** When what a process had in hand is due again if it died, in ms; default 30,000. Longer than any try takes. */
  leaseMs?: number;
  /** How long to wait after the first try that failed, in ms; default 1,000. Doubled with each one after it. */
  firstAgainMs?: number;
  /** Counts what becomes of deliveries. */
  metrics: {
    alertDelivered(channel: string): void;
    alertDeliveryFailed(channel: string): void;
    alertsUndelivered(counts: readonly Undelivered[]): void;
  };
  log: Log;
}

/**
 * Brings alerts to developers, by way of every channel, at least once, until it is stopped.
 *
 * Any number of processes may do so side by side: Postgres has it that one of them makes a bundle, and that one at
 * a time tries a delivery. A process that dies leaves nothing to be taken over but what it had in hand, which is
 * due again after `leaseMs`.
 */
export function startSender(options: SenderOptions): Running {
  const { store, channels, lookMs = 1_000, log, metrics } = options;
  const names = channels.map(({ name }) => name);
  const bundling = every(lookMs, {
    what: 'bundling alerts',
    log,
    async work() {
      await takeBundle(store, {
        ...options,
        bodiesOf: (bundle) => Object.fromEntries(channels.map(({ name, bodyOf }) => [name, bodyOf(bundle)])),
      });
      for (const { bundleId, channel } of await giveUpOthers(store, names, options.giveUpMs))
        log.error({ channel, bundleId }, `${gaveUp}: nobody sends to this channel any more`);
      const counts = await countUndelivered(store);
      const none = names.filter((name) => !counts.some(({ channel }) => channel === name));
      metrics.alertsUndelivered([...counts, ...none.map((channel) => ({ channel, waiting: 0, gaveUp: 0 }))]);
    },
  });
  // Each channel by itself: one that takes ten seconds to say nothing keeps no other waiting.
  const sending = channels.map((channel) => {
    let restUntil = 0;
    return every(lookMs, {
      what: `sending alerts to ${channel.name}`,
      log,
      async work(signal) {
        if (performance.now() < restUntil) return;
        restUntil = performance.now() + (await sendDue(options, channel, signal));
      },
    });
  });
  return {
    async stop() {
      await Promise.all([bundling, ...sending].map((each) => each.stop()));
    },
  };
}

const gaveUp = 'alerts were not delivered and have been given up';

/**
 * Sends what is due in a channel, one after the other, until one fails or nothing is left; returns for how long the
 * channel asks to be left alone, in ms.
 */
async function sendDue(options: SenderOptions, channel: Channel, signal: AbortSignal): Promise<number> {
  const { store, metrics, leaseMs = 30_000 } = options;
  while (!signal.aborted) {
    const delivery = await takeDueDelivery(store, channel.name, leaseMs);
    if (!delivery) break;
    const outcome = await channel.send(delivery, signal);
    if (!outcome.delivered) {
      await failed(options, delivery, outcome, signal);
      return outcome.retryAfterMs ?? 0;
    }
    // Whoever dies here sends it again: at least once, under the same id.
    await markDelivered(store, delivery);
    metrics.alertDelivered(channel.name);
  }
  return 0;
}

async function failed(
  { store, metrics, log, giveUpMs, firstAgainMs = 1_000 }: SenderOptions,
  delivery: AlertDelivery,
  { why, retryAfterMs = 0 }: Extract<Outcome, { delivered: false }>,
  signal: AbortSignal,
): Promise<void> {
  const { bundleId, channel, attempt } = delivery;
  // Broken off by our own stop: whoever comes next tries at once.
  const againMs = signal.aborted ? 0 : Math.max(againAfterMs(attempt, firstAgainMs), retryAfterMs);
  const last = await markFailed(store, delivery, { error: why, againMs, giveUpMs });
  if (signal.aborted) return;
  metrics.alertDeliveryFailed(channel);
  const about = { channel, bundleId, attempt, why };
  if (last) log.error(about, gaveUp);
  else log.warn({ ...about, againMs: Math.round(againMs) }, 'alerts were not delivered; they are sent again');
}

const longestAgainMs = 600_000;

/**
 * How long to wait after so many tries that failed, in ms: `firstMs`, doubling, at most 10 min, and by chance up to
 * half of it less, so that those that failed together don't come back together.
 */
export function againAfterMs(tries: number, firstMs: number, random: () => number = Math.random): number {
  const longest = Math.min(firstMs * 2 ** (tries - 1), longestAgainMs);
  return longest * (1 - random() / 2);
}
