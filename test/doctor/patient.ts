import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import type { Config } from '../../src/config/schema.ts';
import { topologyOf } from '../../src/config/topology.ts';
import type { Check, Part } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { declareTopology } from '../../src/pipeline/broker/declare.ts';
import { queuesOf } from '../../src/pipeline/topology.ts';
import type { World } from '../support/world.ts';

/** The settings of a world as `chodang doctor` has them on a stack of its own: it knows RabbitMQ's management page too. */
export function settingsOf({ config, vhost }: World): Config {
  const settings = structuredClone(config);
  settings.rabbitmq.managementUrl = vhost.managementUrl;
  return settings;
}

/** What the doctor finds, of one part or of all. */
export async function found(settings: Config, part?: Part, environment = 'test'): Promise<Check[]> {
  const { checks } = await examine({ settings, environment });
  return part === undefined ? checks : checks.filter((check) => check.part === part);
}

/** The one check of this name. */
export function theCheck(checks: readonly Check[], name: string): Check {
  const [check, ...more] = checks.filter((each) => each.check === name);
  assert(check && more.length === 0, `expected one check "${name}", got ${JSON.stringify(checks, null, 1)}`);
  return check;
}

/** Asserts that this check has that status, and that what it says and advises matches. */
export function says(
  checks: readonly Check[],
  name: string,
  status: Check['status'],
  found: RegExp,
  remedy?: RegExp,
): void {
  const check = theCheck(checks, name);
  assert.equal(check.status, status, JSON.stringify(check));
  assert.match(check.found, found);
  if (remedy) assert.match(check.status === 'ok' ? '' : check.remedy, remedy);
}

/** The names of what isn't well. */
export const troubles = (checks: readonly Check[]) =>
  checks
    .filter(({ status }) => status !== 'ok')
    .map(({ part, check, status }) => `${part}: ${check}: ${status}`);

/** Does something with a channel of a virtual host, past all of our own code. */
export async function onChannel<T>(
  url: string,
  work: (
    channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createConfirmChannel']>>,
  ) => Promise<T>,
): Promise<T> {
  const connection = await connect(url);
  try {
    return await work(await connection.createConfirmChannel());
  } finally {
    await connection.close();
  }
}

/** Declares the topology of these settings, as every process does. */
export async function declare(config: Config): Promise<string[]> {
  const topology = topologyOf(config);
  const connection = await connect(config.rabbitmq.url);
  try {
    await declareTopology(connection, topology);
  } finally {
    await connection.close();
  }
  return queuesOf(topology).map(({ name }) => name);
}
