import type { Broker } from '../pipeline/broker/broker.ts';
import { queueOf, retriableQueueOf } from '../pipeline/topology.ts';
import { type Alert, raiseOnce } from '../store/alerts.ts';
import type { Log, Store } from '../store/store.ts';
import { every, type Running } from './every.ts';
import type { Storm, StormWatch } from './storms.ts';

export interface StormMonitorOptions {
  store: Store;
  broker: Pick<Broker, 'depth'>;
  watch: StormWatch;
  /** The lanes that a step has. */
  lanesOf: (step: string) => readonly string[];
  /** How often it looks, in ms. */
  checkMs: number;
  /** So long no second alert is raised for a step, in ms; default an hour. */
  againMs?: number;
  log: Log;
}

/** Looks for storms of retries, and raises `retriable storm` for them: once an hour and step, of all processes. */
export function startStormMonitor(options: StormMonitorOptions): Running {
  const { store, broker, watch, lanesOf, checkMs, againMs = 3_600_000, log } = options;

  const messagesWait = async (step: string) => {
    for (const queue of [...lanesOf(step).map((lane) => queueOf(step, lane)), retriableQueueOf(step)])
      if ((await broker.depth(queue)) > 0) return true;
    return false;
  };

  return every(checkMs, {
    what: 'looking for storms of retries',
    log,
    async work() {
      for (const storm of watch.storms())
        if (storm.byShare || (await messagesWait(storm.step)))
          await raiseOnce(store, alertOf(storm), againMs);
    },
  });
}

const alertOf = ({ step, ran, waited, circuitOpenMs, error }: Storm): Alert => ({
  kind: 'retriable storm',
  subject: `step ${step}`,
  detail: {
    step,
    ordersRun: ran,
    ordersWaiting: waited,
    circuitOpenSeconds: circuitOpenMs === undefined ? null : Math.round(circuitOpenMs / 1_000),
    errorClass: error?.name ?? null,
    // Ours say what is away and name nobody; others may quote an order.
    error: error?.name === 'InfrastructureError' ? error.message : null,
  },
});
