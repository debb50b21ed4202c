import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { RabbitMQ } from '../../src/stack/rabbitmq.ts';
import type { Server } from '../../src/stack/server.ts';
import { readStack, type StackStatus, stackServers } from '../../src/stack/stack.ts';

// The servers all tests share. They are up before the first test and down after the last (setup.ts).
// Each test takes a database, a virtual host or a root of its own from them, and drops it in the end.

/**
 * The name of the stack the tests use: `test`, or what `CHODANG_TEST_STACK` says.
 *
 * A stack named there is left running after the tests: quick to run one test again and again, and out of
 * the way of others who test in the same clone.
 */
export const testStack = process.env['CHODANG_TEST_STACK'] || 'test';

/** Where the shared servers are. */
export function stack(): StackStatus {
  return readStack({ name: testStack });
}

/** The shared Postgres as something to kill, pause and restart. A test that does so must bring it back (`start`, `resume`). */
export function postgres(): Server<'postgres'> {
  return ours('CHODANG_POSTGRES_URL').postgres;
}

/** The shared RabbitMQ likewise. */
export function rabbitmq(): RabbitMQ {
  return ours('CHODANG_RABBITMQ_URL').rabbitmq;
}

/** The shared ZooKeeper likewise. */
export function zookeeper(): Server<'client'> {
  return ours('CHODANG_ZOOKEEPER').zookeeper;
}

/** The shared simulator of the TMS gateway likewise. */
export function simulator(): Server<'http'> {
  return ours('CHODANG_TMS_URL').tms;
}

/** Where the shared simulator of the TMS gateway is. */
export function simulatorUrl(): string {
  return there(stack().tms.url, 'the TMS simulator');
}

/** Makes a new, empty database, for one test or a few that belong together. `drop` also ends whoever is connected. */
export async function freshDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const shared = there(stack().postgres.url, 'Postgres');
  const name = freshName();
  await sql(shared, `create database ${name}`);
  const url = new URL(shared);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => sql(shared, `drop database if exists ${name} with (force)`) };
}

/** Makes a new, empty virtual host of RabbitMQ. `drop` closes whatever is connected, and deletes its queues. */
export async function freshVhost(): Promise<{
  url: string;
  managementUrl: string;
  name: string;
  drop: () => Promise<void>;
}> {
  const shared = stack().rabbitmq;
  const managementUrl = there(shared.managementUrl, 'RabbitMQ (with its management plugin)');
  const name = freshName();
  const { username } = new URL(managementUrl);
  await manage(managementUrl, 'PUT', `/api/vhosts/${name}`);
  await manage(managementUrl, 'PUT', `/api/permissions/${name}/${username}`, {
    configure: '.*',
    write: '.*',
    read: '.*',
  });
  const url = `${there(shared.url, 'RabbitMQ')}/${name}`;
  return { url, managementUrl, name, drop: () => manage(managementUrl, 'DELETE', `/api/vhosts/${name}`) };
}

/**
 * Names a root of ZooKeeper that nobody uses. It isn't made yet: that's for what is tested.
 *
 * `drop` does nothing: what lies under it costs nothing, and goes with the test stack's data.
 */
export async function freshZookeeperRoot(): Promise<{
  connect: string;
  root: string;
  drop: () => Promise<void>;
}> {
  const connect = there(stack().zookeeper.connect, 'ZooKeeper');
  return { connect, root: `/${freshName()}`, drop: async () => {} };
}

/** Makes an empty folder in which servers of any user can run. `drop` removes it with all that is in it. */
export function temporaryFolder(): { dir: string; drop: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'chodang-test-'));
  chmodSync(dir, 0o755);
  return { dir, drop: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Runs one statement of SQL on a connection of its own. */
async function sql(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function manage(managementUrl: string, method: string, path: string, body?: unknown): Promise<void> {
  const { origin, username, password } = new URL(managementUrl);
  const response = await fetch(origin + path, {
    method,
    headers: {
      authorization: `Basic ${btoa(`${username}:${password}`)}`,
      'content-type': 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: RabbitMQ answered ${response.status} ${answer}`);
}

function ours(variable: string) {
  if (process.env[variable]) {
    throw new Error(`This test kills and restarts a server of its own; it can't while ${variable} is set`);
  }
  return stackServers({ name: testStack });
}

function there(url: string | null, what: string): string {
  if (url === null)
    throw new Error(`${what} of the stack "${testStack}" is down: some test before did not bring it back`);
  return url;
}

const freshName = () => `test_${randomBytes(8).toString('hex')}`;
