import type { Config } from '../config/schema.ts';
import { topologyOf } from '../config/topology.ts';
import { type CountedQueue, type InspectedBroker, inspectBroker } from '../pipeline/broker/inspect.ts';
import {
  exchangesOf,
  failedQueueOf,
  queueOf,
  queuesOf,
  retriableQueueOf,
  stepsOf,
  type TopologyOptions,
} from '../pipeline/topology.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { declaredFindings } from './declared.ts';
import { type Management, managementAt } from './management.ts';
import { nodeFindings } from './nodes.ts';
import { pausedTrouble, pausesIn } from './paused.ts';
import { waitingFindings } from './waiting.ts';
import { patienceMs } from './within.ts';
import { counted, reasonOf } from './words.ts';

/** Looks at RabbitMQ: over AMQP what everyone may ask, and over its management API, if that is known, the rest. */
export async function rabbitmqFindings(config: Config): Promise<Finding[]> {
  if (config.rabbitmq.url === '') return [];
  const topology: TopologyOptions = topologyOf(config);
  const [overAmqp, overManagement] = await Promise.all([
    amqpFindings(config, topology),
    managementFindings(config.rabbitmq, topology),
  ]);
  return [...overAmqp, ...overManagement];
}

async function amqpFindings(config: Config, topology: TopologyOptions): Promise<Finding[]> {
  const pausing = pausesIn(config);
  const declared = queuesOf(topology).map(({ name }) => name);
  let broker: InspectedBroker;
  try {
    broker = await inspectBroker(config.rabbitmq.url, {
      queues: declared,
      exchanges: exchangesOf(topology),
      timeoutMs: patienceMs,
    });
  } catch (error) {
    return [
      wrong('server', {
        found: reasonOf(error),
        expected: 'a connection to the virtual host that CHODANG_RABBITMQ_URL names',
        remedy:
          'bring RabbitMQ back, or correct CHODANG_RABBITMQ_URL ("chodang stack up" starts one on this machine). ' +
          'Notices on path actors get 503 meanwhile; to roll back: "chodang switch set delay-notice-path off"',
      }),
    ];
  }
  const pauses = await pausing;
  return [
    version(broker),
    ...broker.missingExchanges.map((name) =>
      wrong(`exchange ${name}`, {
        found: 'it is not there',
        expected: 'a topic exchange',
        remedy: redeclare,
      }),
    ),
    ...stepsOf(topology).flatMap(({ name, lanes }) => stepFindings(name, lanes, broker, pauses)),
  ];
}

const redeclare = 'restart any process, e.g. "chodang start": it declares all that is missing';

function version({ product, version }: InspectedBroker): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 3 || (major === 3 && minor >= 10)) return ok('server', `${product} ${version}`);
  return wrong('server', {
    found: `${product} ${version}`,
    expected: '3.10 or newer: before, dead letters may be lost between two queues',
    remedy: 'upgrade RabbitMQ',
  });
}

/** Looks at the queues of a step, and at whether somebody empties those that need it. */
function stepFindings(
  step: string,
  lanes: readonly string[],
  { queues }: InspectedBroker,
  pauses: Awaited<ReturnType<typeof pausesIn>>,
): Finding[] {
  const of = (name: string) => queues.get(name) ?? null;
  const idle = lanes.every((lane) => consumersOf(of(queueOf(step, lane))) === 0);
  return [
    ...lanes.map((lane) => {
      const pause = pauses.get(queueOf(step, lane));
      return there(queueOf(step, lane), of(queueOf(step, lane)), ({ consumers }) => {
        if (consumers > 0) return undefined;
        if (pause) return { ...pausedTrouble(pause), status: 'warn' };
        return {
          expected: 'one consumer or more',
          remedy: idle
            ? `step ${step} runs nowhere, "chodang start --only ${step}"; or it does, and its circuit is open ` +
              'since a server it needs is away: see what is wrong here, and "circuit" in its log'
            : `restart the process that runs step ${step}: it consumes another lane, and not this one`,
        };
      });
    }),
    there(retriableQueueOf(step), of(retriableQueueOf(step)), ({ consumers }) =>
      consumers === 0
        ? undefined
        : {
            expected: 'none: what waits here must go back to its lane by itself',
            remedy: `find out who consumes it, and stop that: rabbitmqctl list_consumers`,
          },
    ),
    there(failedQueueOf(step), of(failedQueueOf(step)), ({ consumers }) =>
      consumers > 0
        ? undefined
        : {
            expected: 'one consumer or more: else nobody records what failed, and its notices do not settle',
            remedy: 'run "chodang start --only failures"',
          },
    ),
  ];
}

const consumersOf = (queue: CountedQueue | Error | null) =>
  queue === null || queue instanceof Error ? undefined : queue.consumers;

/** Looks whether a queue is there, and what is wrong with its consumers. */
function there(
  name: string,
  queue: CountedQueue | Error | null,
  judge: (
    queue: CountedQueue,
  ) => { expected: string; remedy: string; found?: string; status?: 'warn' } | undefined,
): Finding {
  const check = `queue ${name}`;
  if (queue === null)
    return wrong(check, {
      found: 'it is not there',
      expected: 'a quorum queue',
      remedy: `${redeclare}. If somebody deleted it, publish again what was in it: docs/operations.md, "RabbitMQ lost its messages"`,
    });
  if (queue instanceof Error)
    return wrong(check, {
      found: `it can not be looked at: ${reasonOf(queue)}`,
      expected: 'configure, write and read permissions in this virtual host',
      remedy: 'give them: rabbitmqctl set_permissions -p VHOST USER ".*" ".*" ".*"',
    });
  const found = `${counted(queue.ready, 'message')} waiting, ${counted(queue.consumers, 'consumer')}`;
  const trouble = judge(queue);
  if (!trouble) return ok(check, found);
  const { found: why, status, ...rest } = trouble;
  return (status === 'warn' ? warn : wrong)(check, { ...rest, found: why ? `${found}: ${why}` : found });
}

async function managementFindings(
  { url, managementUrl }: Config['rabbitmq'],
  topology: TopologyOptions,
): Promise<Finding[]> {
  if (managementUrl === '')
    return [
      warn('management', {
        found:
          'not asked, nobody said where it is. Not looked at: arguments, bindings, feature flags, alarms, oldest messages',
        expected: "the address of RabbitMQ's management API",
        remedy:
          'set CHODANG_RABBITMQ_MANAGEMENT_URL=http://USER:PASSWORD@HOST:15672 (rabbitmq-plugins enable ' +
          'rabbitmq_management; a user with the tag monitoring)',
      }),
    ];
  let management: Management;
  try {
    management = managementAt(managementUrl, url);
  } catch (error) {
    return [
      warn('management', {
        found: `not asked: ${reasonOf(error)}`,
        expected: 'http://USER:PASSWORD@HOST:15672',
        remedy: 'correct CHODANG_RABBITMQ_MANAGEMENT_URL',
      }),
    ];
  }
  const looks = await Promise.all([
    declaredFindings(management, topology),
    nodeFindings(management),
    waitingFindings(management, topology),
  ]);
  return looks.flat();
}
