import { Type } from 'typebox';
import type { Config } from '../../config/schema.ts';
import { managementAt } from '../../doctor/management.ts';
import { reasonOf, withoutPasswords } from '../../doctor/words.ts';
import { readOverrides, type WrittenOverride, writtenLimitsOf } from '../../overrides.ts';
import { type CountedQueue, inspectBroker } from '../../pipeline/broker/inspect.ts';
import { describeLimits, describeSource, type OverrideSource } from '../../pipeline/override.ts';
import { queueOf } from '../../pipeline/topology.ts';
import type { Output } from '../output.ts';
import { loadSettings, requireUrls } from '../settings.ts';

/** A lane as RabbitMQ, ZooKeeper and the configuration have it; null where nobody could tell. */
interface Row {
  name: string;
  ready: number | null;
  unacked: number | null;
  consumers: number | null;
  min: number;
  max: number;
  from: 'config' | (OverrideSource & { raw: string | undefined });
  paused: OverrideSource | null;
  /** Why what is written in ZooKeeper for it, or for its step, can't be used. */
  error: string | null;
}

const timeoutMs = 3_000;

/**
 * Shows every lane of every step: how much waits, who consumes it, and within which limits.
 *
 * A server that is away is told, and the rest is shown all the same; returns whether everything could be looked at.
 */
export async function show({ json }: { json?: boolean }, { say, warn }: Output): Promise<boolean> {
  const config = loadSettings();
  requireUrls(config, ['rabbitmq', 'zookeeper']);
  let complete = true;
  const orElse = async <T>(what: string, answer: Promise<T>, otherwise: T): Promise<T> =>
    answer.catch((error: unknown) => {
      complete = false;
      warn(`warning: ${what}: ${withoutPasswords(reasonOf(error))}`);
      return otherwise;
    });
  const names = Object.entries(config.steps).flatMap(([step, { lanes }]) =>
    Object.keys(lanes).map((lane) => ({ step, lane, queue: queueOf(step, lane) })),
  );
  const [queues, unacked, written] = await Promise.all([
    orElse('RabbitMQ could not be asked', countsOf(config, names), new Map<string, CountedQueue | null>()),
    orElse("RabbitMQ's management API could not be asked", unackedOf(config), new Map<string, number>()),
    orElse(
      'the overrides are not known',
      readOverrides(config.zookeeper, config.steps),
      new Map<string, WrittenOverride>(),
    ),
  ]);
  const rows = names.map(({ step, lane, queue }): Row => {
    const name = `${step}.${lane}`;
    const { min, max, from, pause } = writtenLimitsOf(written, config.steps, step, lane);
    const errors = [step, name].flatMap((each) => {
      const error = written.get(each)?.error;
      return error === undefined ? [] : `${each}: ${error}`;
    });
    return {
      name,
      ready: queues.get(queue)?.ready ?? null,
      unacked: unacked.get(queue) ?? null,
      consumers: queues.get(queue)?.consumers ?? null,
      min,
      max,
      from: from ? { ...from, raw: written.get(name)?.raw } : 'config',
      paused: pause ?? null,
      error: errors.length > 0 ? errors.join('; ') : null,
    };
  });
  if (json) say(JSON.stringify({ lanes: rows }));
  else for (const row of rows) for (const line of linesOf(row)) say(line);
  return complete;
}

function linesOf({ name, ready, unacked, consumers, min, max, from, paused, error }: Row): string[] {
  const held = unacked === null ? '' : `, ${unacked} unacked`;
  const limits = `${describeLimits({ min, max })} in each process`;
  const who = from === 'config' ? 'as configured' : `set by ${describeSource(from)}`;
  return [
    `${name}: ${ready ?? '?'} ready${held}, ${consumers ?? '?'} consumers; ${limits}, ${who}`,
    ...(paused
      ? [`  PAUSED by ${describeSource(paused)}${paused.name === name ? '' : `, with all of ${paused.name}`}`]
      : []),
    ...(error === null
      ? []
      : [
          `  what is written in ZooKeeper CAN'T BE USED: ${error}; running processes keep the last good value`,
        ]),
  ];
}

async function countsOf(
  { rabbitmq }: Config,
  names: readonly { queue: string }[],
): Promise<Map<string, CountedQueue | null>> {
  const queues = names.map(({ queue }) => queue);
  const inspected = await inspectBroker(rabbitmq.url, { queues, exchanges: [], timeoutMs });
  return new Map(
    [...inspected.queues].map(([name, counted]) => {
      if (counted instanceof Error) throw counted;
      return [name, counted];
    }),
  );
}

const Queues = Type.Array(
  Type.Object({ name: Type.String(), messages_unacknowledged: Type.Optional(Type.Number()) }),
);

/** What consumers hold, as the management API last sampled it; empty where nobody said where that is. */
async function unackedOf({ rabbitmq: { url, managementUrl } }: Config): Promise<Map<string, number>> {
  if (managementUrl === '') return new Map();
  const management = managementAt(managementUrl, url);
  const path = `queues/${management.vhost}?columns=name,messages_unacknowledged`;
  const counted = await management.ask(path, Queues);
  return new Map(
    counted.flatMap(({ name, messages_unacknowledged: held }) => (held === undefined ? [] : [[name, held]])),
  );
}
