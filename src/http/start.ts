import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config/schema.ts';
import { stepNamesOf } from '../config/topology.ts';
import type { Metrics } from '../metrics.ts';
import type { Broker } from '../pipeline/broker/broker.ts';
import { publishToFirst } from '../pipeline/pipeline.ts';
import type { Services } from '../services.ts';
import { ping } from '../store/store.ts';
import { switchHistory } from '../store/switchHistory.ts';
import { recordChanges } from '../switches/history.ts';
import { openSwitches } from '../switches/open.ts';
import { createServer } from './server.ts';
import { startSweep } from './sweep.ts';

/** Starts the HTTP API with what belongs to it: the switches, the publishing and the sweep. */
export async function startApi(
  config: Config,
  parts: { services: Services; broker: Broker; metrics: Metrics },
): Promise<{ address: string; stop(): Promise<void> }> {
  const { services, broker, metrics } = parts;
  const { store } = services;
  const log = services.log as FastifyBaseLogger;
  const registry = config.switches as Config['switches'] & Record<'delay-notice-path', { fallback: string }>;
  const recorder = recordChanges(switchHistory(store, config.zookeeper.root), log);
  const switches = await openSwitches({
    ...config.zookeeper,
    registry: config.switches,
    log,
    onChange: (change) => {
      if (change.kind === 'malformed') metrics.switchMalformed(change.name);
      recorder.take(change);
    },
  });
  const publisher = {
    ready: () => broker.ready(),
    hasRoom: () => broker.hasRoom(),
    async publish(chunks: readonly { lane: string; chunk: string }[]) {
      const lane = chunks[0]?.lane ?? '';
      await publishToFirst(
        broker,
        config.steps,
        lane,
        chunks.map(({ chunk }) => chunk),
      );
    },
  };
  const server = createServer({
    store,
    publisher,
    log,
    evaluate: (name, context) => switches.evaluate(name, context),
    fallbackPath: registry['delay-notice-path'].fallback,
    lanes: config.lanes,
    chunkSize: config.pipeline.chunkSize,
    retryAfterSeconds: config.http.retryAfterSeconds,
    limits: config.limits,
    steps: stepNamesOf(config),
    undoDays: config.failures.undoDays,
    today: services.today,
    now: services.now,
    bodyLimit: config.http.bodyLimitBytes,
    maxRequests: config.http.maxRequests,
    maxBytes: config.http.maxBytesUnderWay,
    maxOrders: config.limits.maxOrdersPerNotice,
    // What comes after it, the steps above all, needs time as well.
    closeWithinMs: config.pipeline.shutdownMs / 4,
    importLimit: config.http.importLimitBytes,
    importMaxOrders: config.http.importMaxOrders,
    checks: {
      postgres: () => ping(store),
      rabbitmq: async () => {
        const readiness = broker.ready();
        if (!readiness.ok) throw new Error(readiness.why);
      },
    },
    metrics: () => metrics.registry.metrics(),
  });
  const address = await server
    .listen({ host: config.http.host, port: config.http.port })
    .catch(async (error: unknown) => {
      await switches.close();
      await recorder.close();
      throw error;
    });
  const sweep = startSweep({
    store,
    publisher,
    log,
    intervalMs: config.intake.sweepMs,
    olderThanMs: config.intake.sweepOlderThanMs,
  });
  return {
    address,
    async stop() {
      await server.close();
      await sweep.stop();
      await switches.close();
      await recorder.close();
    },
  };
}
