import type { Config } from '../config/schema.ts';
import { stepNamesOf, topologyOf } from '../config/topology.ts';
import type { Metrics } from '../metrics.ts';
import type { Broker } from '../pipeline/broker/broker.ts';
import type { PipelineObserver } from '../pipeline/observer.ts';
import { stepsOf } from '../pipeline/topology.ts';
import type { Log, Store } from '../store/store.ts';
import type { Channel } from './channel.ts';
import { logChannel } from './logged.ts';
import { startQueueMonitor } from './queues.ts';
import { startSender } from './send.ts';
import { slackChannel } from './slack.ts';
import { webhookChannel } from './standardWebhook.ts';
import { startStormMonitor } from './stormMonitor.ts';
import { StormWatch } from './storms.ts';

/** The alerts of a process, as they run. */
export interface Alerts {
  /** Makes an observer for the pipeline that watches for storms of retries, and tells the given one all. */
  watching(observer: PipelineObserver): PipelineObserver;
  /** Breaks off what is being sent, which then is sent again by whoever comes next; resolves when it has. */
  stop(): Promise<void>;
}

/**
 * Starts what tells developers: the sender, and, where there is a broker, the monitors of failed queues and of
 * storms of retries. It belongs into every process; all of them need the same settings.
 */
export function startAlerts(
  config: Pick<Config, 'alerts' | 'steps' | 'lanes' | 'feed'>,
  parts: { store: Store; broker?: Broker | undefined; metrics: Metrics; log: Log },
): Alerts {
  const { store, broker, metrics, log } = parts;
  const settings = config.alerts;
  const watch = new StormWatch(settings.storm);
  const running = [startSender({ ...settings, store, channels: channelsOf(settings, log), metrics, log })];
  if (broker)
    running.push(
      startQueueMonitor({ ...settings, store, broker, steps: stepNamesOf(config), log }),
      startStormMonitor({ ...settings, store, broker, watch, lanesOf: lanesOf(config), log }),
    );
  return {
    watching: (observer) => watch.watching(observer),
    async stop() {
      await Promise.all(running.map((each) => each.stop()));
    },
  };
}

/** Makes the function that names the lanes of a step. */
function lanesOf(config: Parameters<typeof topologyOf>[0]): (step: string) => readonly string[] {
  const lanes = new Map(stepsOf(topologyOf(config)).map((step) => [step.name, step.lanes]));
  return (step) => lanes.get(step) ?? [];
}

function channelsOf({ slackUrl, webhookUrl, webhookSecret }: Config['alerts'], log: Log): Channel[] {
  return [
    logChannel(log),
    ...(slackUrl === '' ? [] : [slackChannel({ url: slackUrl })]),
    ...(webhookUrl === '' ? [] : [webhookChannel({ url: webhookUrl, secret: webhookSecret })]),
  ];
}
