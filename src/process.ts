import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import failures from './actors/failures.ts';
import { startAlerts } from './alerts/start.ts';
import type { Config } from './config/schema.ts';
import { stepNamesOf, topologyOf } from './config/topology.ts';
import { startRetention } from './failures/retention.ts';
import { startRetries } from './failures/run.ts';
import { startApi } from './http/start.ts';
import { startLegacy } from './legacy/start.ts';
import { createMetrics, type SharePage } from './metrics.ts';
import { tellBoth } from './observer.ts';
import { startOrderFeed } from './orderFeed.ts';
import { openOverrides } from './overrides.ts';
import type { Actor } from './pipeline/actor.ts';
import { type Broker, openBroker } from './pipeline/broker/broker.ts';
import { FatalTopologyError } from './pipeline/broker/declare.ts';
import { drainFailedQueues } from './pipeline/failed.ts';
import { loadActors } from './pipeline/load.ts';
import { startPipeline } from './pipeline/pipeline.ts';
import { noticeFormat } from './rules/message.ts';
import type { NoticeHeader, NoticeOrder } from './rules/notice.ts';
import { gatewayOf, servicesOf } from './services.ts';
import { migrate } from './store/migrate.ts';
import { openStore } from './store/store.ts';
import type { Gateway } from './tms/gateway.ts';

/** What a process may run besides the steps of `config/`. */
export const otherParts = ['api', 'failures', 'legacy', 'orders'] as const;

export interface ProcessOptions {
  /** `api`, `failures`, `legacy`, `orders` and names of steps; default: all of them. */
  parts?: readonly string[];
  log: Logger;
  /** Where the files of the actors are; default: `src/actors/`. */
  actorsDirectory?: URL;
  /** The clock; default: the real one. */
  now?: () => Date;
  /** Lets tests stand between the parts, to end the process at a point of their choice. */
  wrap?: {
    broker?: (broker: Broker) => Broker;
    gateway?: (gateway: Gateway) => Gateway;
    actor?: (step: string, actor: NoticeActor) => NoticeActor;
  };
  /** Makes the page of `/metrics` where it is to tell of other processes too; default: of this one. */
  sharePage?: SharePage | undefined;
  /** Ends a start that still waits for Postgres: it then rejects. */
  signal?: AbortSignal;
  /** Called when the process can't go on; default: the log tells why and the process ends with 1. */
  onFatal?: (error: Error) => void;
}

type NoticeActor = Actor<NoticeHeader, NoticeOrder>;

/** A started process. */
export interface RunningProcess {
  /** Where the API listens, `http://host:port`; undefined without the part `api`. */
  address: string | undefined;
  /** Stops taking anything new, settles what is held, and closes all connections. */
  stop(): Promise<void>;
}

/**
 * Starts the parts of Chodang that `parts` names, wired as the configuration says.
 *
 * It waits for Postgres, and brings its schema up to date; RabbitMQ and ZooKeeper may be away, then or later.
 */
export async function startProcess(config: Config, options: ProcessOptions): Promise<RunningProcess> {
  const closing: Closing[] = [];
  const stop = async () => {
    // What was opened last is closed first, and one that fails keeps none of the others open.
    for (const close of closing.toReversed())
      await close().catch((error: unknown) =>
        options.log.error({ err: error }, 'a part could not be closed'),
      );
  };
  try {
    return { address: await openParts(config, options, closing), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Closing = () => Promise<void>;

/** Opens one part after the other, and notes for each how it is closed; returns where the API listens. */
async function openParts(
  config: Config,
  options: ProcessOptions,
  closing: Closing[],
): Promise<string | undefined> {
  const { log, wrap = {} } = options;
  const parts = partsOf(config, options.parts);
  const metrics = createMetrics(options.sharePage);
  const store = openStore({ ...config.postgres, log });
  closing.push(() => store.close());
  await whenThere(() => migrate(store), log, options.signal);
  await store.warm();
  const opened = gatewayOf(config, log);
  const gateway = wrap.gateway?.(opened) ?? opened;
  closing.push(() => gateway.close());
  const services = servicesOf(config, { store, gateway, log, ...(options.now && { now: options.now }) });

  let address: string | undefined;
  const steps = Object.keys(config.steps).filter((step) => parts.has(step));
  if (steps.length > 0 || ['api', 'failures', 'orders'].some((part) => parts.has(part))) {
    const unwrapped = openProcessBroker(config, options);
    const broker = wrap.broker?.(unwrapped) ?? unwrapped;
    closing.push(() => broker.close());
    await broker.connected(config.rabbitmq.connectWaitMs).catch((error: unknown) => {
      if (error instanceof FatalTopologyError) throw error;
      log.warn({ err: error }, 'starting without RabbitMQ; trying on');
    });
    const alerts = startAlerts(config, { store, broker, metrics, log });
    closing.push(() => alerts.stop());
    const observer = alerts.watching(tellBoth(metrics.pipeline, log));

    if (parts.has('failures')) {
      const reader = drainFailedQueues({
        broker,
        steps: stepNamesOf(config),
        ...config.failures,
        record: failures({
          store,
          log,
          recorded: (step, errorClass, failedAgain) => {
            metrics.failureRecorded(step, errorClass);
            if (failedAgain) metrics.retryEnded('failed_again', 1);
          },
          threshold: config.alerts.threshold,
        }),
        log,
      });
      closing.push(() => reader.drain());
      const retries = startRetries({
        store,
        publish: (publication) => broker.publish(publication),
        ready: () => broker.ready().ok,
        lanes: Object.keys(config.lanes),
        ended: (state, count) => metrics.retryEnded(state, count),
        log,
      });
      closing.push(() => retries.stop());
      const retention = startRetention({ store, keepDays: config.failures.keepDays, log });
      closing.push(() => retention.stop());
    }
    if (steps.length > 0) {
      const directory = options.actorsDirectory ?? new URL('./actors/', import.meta.url);
      const actors = await loadActors<NoticeHeader, NoticeOrder>(directory, steps, services);
      const overrides = await openOverrides(config, {
        log,
        malformed: (name) => metrics.overrideMalformed(name),
      });
      closing.push(() => overrides.close());
      const pipeline = startPipeline({
        broker,
        format: noticeFormat,
        steps: config.steps,
        actors: wrap.actor ? wrapEach(actors, wrap.actor) : actors,
        ...config.pipeline,
        limitsOf: (step, lane) => overrides.limitsOf(step, lane),
        observer,
      });
      closing.push(() => pipeline.drain());
      overrides.follow((step, lane, limits) => pipeline.adjust(step, lane, limits));
    }
    if (parts.has('orders')) {
      const feed = startOrderFeed(config, { store, broker, observer });
      closing.push(() => feed.drain());
    }
    if (parts.has('api')) {
      const api = await startApi(config, { services, broker, metrics });
      address = api.address;
      closing.push(() => api.stop());
    }
  } else {
    // The legacy path needs no RabbitMQ; alerts are sent all the same.
    const alerts = startAlerts(config, { store, metrics, log });
    closing.push(() => alerts.stop());
  }
  if (parts.has('legacy')) {
    const legacy = startLegacy({ services, ...config.legacy, threshold: config.alerts.threshold });
    closing.push(() => legacy.stop());
  }

  return address;
}

function partsOf(config: Config, wanted: readonly string[] | undefined): Set<string> {
  const known = [...otherParts, ...Object.keys(config.steps)];
  const unknown = wanted?.filter((part) => !known.includes(part)) ?? [];
  if (unknown.length > 0)
    throw new Error(`There is no part ${unknown.join(', ')}: expected some of ${known.join(', ')}.`);
  return new Set(wanted ?? known);
}

/** Tries until Postgres is there: a process that starts before it shall not need a second start. */
async function whenThere(
  work: () => Promise<unknown>,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'InfrastructureError') throw error;
      log.warn({ err: error }, 'Postgres is away; trying again every second');
      await sleep(1_000, undefined, { signal });
    }
  }
}

function openProcessBroker(config: Config, { log, onFatal }: ProcessOptions): Broker {
  return openBroker({
    ...config.rabbitmq,
    topology: topologyOf(config),
    name: `chodang ${process.pid}`,
    log,
    onFatal:
      onFatal ??
      ((error) => {
        log.fatal({ err: error }, error.message);
        process.exitCode = 1;
        process.kill(process.pid, 'SIGTERM');
      }),
  });
}

function wrapEach(
  actors: Record<string, NoticeActor>,
  wrap: (step: string, actor: NoticeActor) => NoticeActor,
): Record<string, NoticeActor> {
  return Object.fromEntries(Object.entries(actors).map(([step, actor]) => [step, wrap(step, actor)]));
}
