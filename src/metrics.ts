import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { PipelineObserver } from './pipeline/observer.ts';

/** Makes the page of all processes that belong together, where `own` has what one of them counts. */
export type SharePage = (own: Registry) => Pick<Registry, 'metrics'>;

/** The metrics of a process, for Prometheus. */
export interface Metrics {
  /** Makes the page that is shown. */
  registry: Pick<Registry, 'metrics'>;
  /** Counts what the pipeline tells. */
  pipeline: PipelineObserver;
  /** A failed message is now in Postgres. */
  failureRecorded(step: string, errorClass: string): void;
  /** Retries of failed messages have ended. */
  retryEnded(outcome: 'resolved' | 'failed_again', count: number): void;
  /** A value in ZooKeeper can't be used. */
  switchMalformed(name: string): void;
  /** What somebody wrote in ZooKeeper to overrule a lane's configuration can't be used. */
  overrideMalformed(name: string): void;
  /** A bundle of alerts has arrived in a channel. */
  alertDelivered(channel: string): void;
  /** A try to bring one there failed. */
  alertDeliveryFailed(channel: string): void;
  /** So many have not arrived, of those that channels still have any; takes the place of what it was told before. */
  alertsUndelivered(counts: readonly { channel: string; waiting: number; gaveUp: number }[]): void;
}

/** Makes the metrics of a process, in a registry of their own; `share` puts them together with those of others. */
export function createMetrics(share: SharePage = (own) => own): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  // Gauges that call themselves totals: `promtool check metrics` refuses them, and nobody needs them.
  for (const name of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`nodejs_active_${name}_total`);

  const items = new Counter({
    name: 'chodang_step_orders_total',
    help: 'Orders that went through a step, repeats included.',
    labelNames: ['step', 'lane'] as const,
    registers,
  });
  const seconds = new Histogram({
    name: 'chodang_step_batch_duration_seconds',
    help: 'How long a step took for one batch, until the last confirm.',
    labelNames: ['step', 'lane'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const retriable = new Counter({
    name: 'chodang_step_retriable_orders_total',
    help: 'Orders that wait to be tried again, by whose fault it is: the order itself, or a server that is away.',
    labelNames: ['step', 'lane', 'fault'] as const,
    registers,
  });
  const failed = new Counter({
    name: 'chodang_step_failed_messages_total',
    help: 'Messages put among the failed ones.',
    labelNames: ['step', 'error_class'] as const,
    registers,
  });
  const circuit = new Gauge({
    name: 'chodang_step_circuit_open',
    help: '1 while the circuit of a step is open.',
    labelNames: ['step'] as const,
    aggregator: 'max',
    registers,
  });
  const consumers = new Gauge({
    name: 'chodang_step_consumers',
    help: 'Actors that consume a lane of a step.',
    labelNames: ['step', 'lane'] as const,
    registers,
  });
  const changes = new Counter({
    name: 'chodang_step_consumer_changes_total',
    help: 'How often the number of actors that consume a lane was changed, by direction and reason.',
    labelNames: ['step', 'lane', 'direction', 'why'] as const,
    registers,
  });
  const paused = new Gauge({
    name: 'chodang_step_paused',
    help: '1 while somebody has paused a lane of a step.',
    labelNames: ['step', 'lane'] as const,
    aggregator: 'max',
    registers,
  });
  const crashes = new Counter({
    name: 'chodang_actor_crashes_total',
    help: 'Actors that crashed and were restarted.',
    labelNames: ['step', 'lane'] as const,
    registers,
  });
  const recorded = new Counter({
    name: 'chodang_failures_recorded_total',
    help: 'Failed messages that were recorded in Postgres.',
    labelNames: ['step', 'error_class'] as const,
    registers,
  });
  const retried = new Counter({
    name: 'chodang_failures_retried_total',
    help: 'Failed messages whose retry has ended: all their orders are settled, or it failed again.',
    labelNames: ['outcome'] as const,
    registers,
  });
  const malformed = new Counter({
    name: 'chodang_switch_malformed_total',
    help: 'Values of a switch in ZooKeeper that could not be used.',
    labelNames: ['name'] as const,
    registers,
  });
  const malformedOverrides = new Counter({
    name: 'chodang_override_malformed_total',
    help: "Values in ZooKeeper that overrule a lane's configuration and could not be used.",
    labelNames: ['name'] as const,
    registers,
  });
  const alertsDelivered = new Counter({
    name: 'chodang_alerts_delivered_total',
    help: 'Bundles of alerts that this process brought to a channel.',
    labelNames: ['channel'] as const,
    registers,
  });
  const alertFailures = new Counter({
    name: 'chodang_alert_delivery_failures_total',
    help: 'Tries of this process to bring a bundle of alerts to a channel that failed.',
    labelNames: ['channel'] as const,
    registers,
  });
  const undelivered = new Gauge({
    name: 'chodang_alerts_undelivered',
    help: 'Bundles of alerts that have not arrived in a channel, whichever process sends them: waiting, or given up.',
    labelNames: ['channel', 'state'] as const,
    aggregator: 'max', // every process tells the same
    registers,
  });

  return {
    registry: share(registry),
    pipeline: {
      batch(step, lane, count, ms) {
        items.inc({ step, lane }, count);
        seconds.observe({ step, lane }, ms / 1_000);
      },
      retriable: (step, lane, count, _error, attempt) =>
        retriable.inc({ step, lane, fault: attempt === 'unchanged' ? 'infrastructure' : 'order' }, count),
      failed: (step, _lane, _count, error) => failed.inc({ step, error_class: error.name }),
      circuit: (step, open) => circuit.set({ step }, open ? 1 : 0),
      consumers(step, lane, to, { from, why }) {
        consumers.set({ step, lane }, to);
        if (why !== 'start') changes.inc({ step, lane, direction: to > from ? 'up' : 'down', why });
      },
      paused: (step, lane, pause) => paused.set({ step, lane }, pause ? 1 : 0),
      crashed: (step, lane) => crashes.inc({ step, lane }),
    },
    failureRecorded: (step, errorClass) => recorded.inc({ step, error_class: errorClass }),
    retryEnded: (outcome, count) => retried.inc({ outcome }, count),
    switchMalformed: (name) => malformed.inc({ name }),
    overrideMalformed: (name) => malformedOverrides.inc({ name }),
    alertDelivered: (channel) => alertsDelivered.inc({ channel }),
    alertDeliveryFailed: (channel) => alertFailures.inc({ channel }),
    alertsUndelivered(counts) {
      undelivered.reset();
      for (const { channel, waiting, gaveUp } of counts) {
        undelivered.set({ channel, state: 'waiting' }, waiting);
        undelivered.set({ channel, state: 'given_up' }, gaveUp);
      }
    },
  };
}
