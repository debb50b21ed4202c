import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { pino } from 'pino';
import type { Actor } from '../../src/pipeline/actor.ts';
import { type Broker, openBroker } from '../../src/pipeline/broker/broker.ts';
import type { LaneOptions } from '../../src/pipeline/consumer.ts';
import { typeOf } from '../../src/pipeline/message.ts';
import type { PipelineObserver } from '../../src/pipeline/observer.ts';
import type { LaneLimits } from '../../src/pipeline/override.ts';
import { type Pipeline, type StepOptions, startPipeline } from '../../src/pipeline/pipeline.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { type Crate, type CrateHeader, crateFormat } from './crates.ts';
import type { Proxy } from './proxy.ts';
import { freshVhost } from './servers.ts';

export type CrateActor = Actor<CrateHeader, Crate>;

const silent = pino({ level: process.env.LOG_LEVEL ?? 'silent' });

const lane = (overrides: Partial<LaneOptions> = {}): LaneOptions => ({
  prefetch: 50,
  batch: { size: 1_000, waitMs: 5 },
  consumers: { min: 1, max: 1 },
  ...overrides,
});

export const stepOptions = (
  overrides: Partial<StepOptions> = {},
  lanes: Partial<LaneOptions> = {},
): StepOptions => ({
  retryMs: 100,
  maxAttempts: 3,
  circuit: { failures: 3, probeMs: 50 },
  lanes: { express: lane(lanes), bulk: lane(lanes) },
  ...overrides,
});

/** Everything an observer is told, as lists to look at. */
export function recordingObserver() {
  const seen = {
    batches: [] as { step: string; lane: string; items: number }[],
    retriable: [] as { step: string; items: number; attempt: number | 'unchanged' }[],
    failed: [] as { step: string; items: number; error: Error; attempt: number }[],
    circuit: [] as { step: string; open: boolean }[],
    consumers: [] as { lane: string; from: number; to: number; why: string }[],
    paused: [] as { lane: string; by: string | null | undefined }[],
    crashed: [] as Error[],
  };
  const observer: PipelineObserver = {
    batch: (step, lane, items) => seen.batches.push({ step, lane, items }),
    retriable: (step, _lane, items, _error, attempt) => seen.retriable.push({ step, items, attempt }),
    failed: (step, _lane, items, error, attempt) => seen.failed.push({ step, items, error, attempt }),
    circuit: (step, open) => seen.circuit.push({ step, open }),
    consumers: (_step, lane, to, { from, why }) => seen.consumers.push({ lane, from, to, why }),
    paused: (_step, lane, pause) => seen.paused.push({ lane, by: pause?.by }),
    crashed: (_step, _lane, error) => seen.crashed.push(error),
  };
  return { seen, observer };
}

/** A pipeline of crates on a virtual host of its own. `close` takes everything down. */
export async function cratePipeline(
  actors: Record<string, CrateActor>,
  settings: {
    steps?: Record<string, StepOptions>;
    maxRedeliveries?: number;
    chunkSize?: number;
    wrap?: (broker: Broker) => Broker;
    /** By way of what it reaches RabbitMQ; default: directly. */
    wire?: Pick<Proxy, 'over'>;
    scaling?: { checkMs: number; growAfter: number; shrinkAfter: number };
    limitsOf?: (step: string, lane: string) => LaneLimits;
    maxPrefetchedBytes?: number;
  } = {},
) {
  const vhost = await freshVhost();
  const steps =
    settings.steps ?? Object.fromEntries(Object.keys(actors).map((name) => [name, stepOptions()]));
  const { seen, observer } = recordingObserver();
  const broker = openBroker({
    url: settings.wire?.over(vhost.url) ?? vhost.url,
    topology: { steps, lanes: ['express', 'bulk'] },
    name: 'test',
    publishWaitMs: 2_000,
    ...(settings.maxPrefetchedBytes !== undefined && { maxPrefetchedBytes: settings.maxPrefetchedBytes }),
    log: silent,
    onFatal: (error) => {
      throw error;
    },
  });
  await broker.connected(10_000);
  let pipeline: Pipeline | undefined;
  const first = Object.keys(steps)[0] ?? '';
  return {
    vhost,
    broker,
    seen,
    pipeline: () => pipeline,
    start() {
      pipeline = startPipeline({
        broker: settings.wrap?.(broker) ?? broker,
        format: crateFormat,
        steps,
        actors,
        chunkSize: settings.chunkSize ?? 500,
        maxRedeliveries: settings.maxRedeliveries ?? 10,
        scaling: settings.scaling ?? { checkMs: 20, growAfter: 2, shrinkAfter: 5 },
        limitsOf: settings.limitsOf,
        observer,
      });
    },
    /** Publishes one message of crates to the first step. */
    send: (items: Crate[], lane = 'express', header = 'a') =>
      broker.publish({
        exchange: exchanges.steps,
        routingKey: `${first}.${lane}`,
        content: Buffer.from(JSON.stringify({ chunks: [{ header: { name: header }, items }] })),
        type: typeOf(first),
        messageId: randomUUID(),
        headers: {},
      }),
    async close() {
      await pipeline?.drain();
      await broker.close();
      await vhost.drop();
    },
  };
}

/** Something that actors can wait at until the test opens it. */
export function aGate() {
  const gate = new EventEmitter();
  return { opened: once(gate, 'open'), open: () => gate.emit('open') };
}
