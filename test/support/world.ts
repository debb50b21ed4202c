import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { uuidv7 } from 'uuidv7';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { type ProcessOptions, type RunningProcess, startProcess } from '../../src/process.ts';
import { addDays, today } from '../../src/rules/dates.ts';
import type { NoticeProgress } from '../../src/store/notices.ts';
import { upsertOrders } from '../../src/store/orders.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { accountAt } from '../tms/startSimulator.ts';
import { anOrderRow, migratedDatabase } from './database.ts';
import { freshVhost, freshZookeeperRoot, simulatorUrl } from './servers.ts';
import { until } from './wait.ts';

const childEntry = fileURLToPath(new URL('chodang-child.ts', import.meta.url));
const silent = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });

/** A day so many days from the shop's today. */
export const inDays = (days: number) =>
  addDays(
    today(() => new Date(), 'Asia/Seoul'),
    days,
  );

/** Where a child process ends itself with SIGKILL; see chodang-child.ts. */
export type KillAt =
  | 'before the publish of an accepted notice'
  | 'between commit and publish'
  | 'between publish and ack'
  | 'between answer and ledger'
  | 'between the publish of a failure and the ack'
  | 'between record and ack'
  | 'before the publish of a retry'
  | 'between the publish of a retry and its mark'
  | `whenever it sees ${string}`;

/** The environment variables that name the corners of a world. */
export type WorldEnv = Record<
  | 'CHODANG_ENV'
  | 'CHODANG_POSTGRES_URL'
  | 'CHODANG_RABBITMQ_URL'
  | 'CHODANG_ZOOKEEPER'
  | 'CHODANG_ZOOKEEPER_ROOT'
  | 'CHODANG_TMS_URL',
  string
>;

/**
 * All of Chodang on servers' corners of its own: a database, a virtual host, a root in ZooKeeper and an account
 * at the simulator. `close` ends every process it started and drops all of it.
 *
 * `overlay` is laid over the configuration, what `env` returns over the variables that name those corners;
 * `directory` holds another configuration than `config/`, which `start` uses and `spawn` does not.
 */
export async function aWorld(
  overlay: Record<string, unknown> = {},
  settings: { env?: (usual: WorldEnv) => Partial<WorldEnv>; directory?: URL } = {},
) {
  const database = await migratedDatabase();
  const vhost = await freshVhost();
  const { connect, root } = await freshZookeeperRoot();
  const tmsUrl = `${simulatorUrl()}/accounts/${uuidv7()}`;
  const simulator = accountAt(tmsUrl);
  const usual = {
    CHODANG_ENV: 'test',
    CHODANG_POSTGRES_URL: database.url,
    CHODANG_RABBITMQ_URL: vhost.url,
    CHODANG_ZOOKEEPER: connect,
    CHODANG_ZOOKEEPER_ROOT: root,
    CHODANG_TMS_URL: tmsUrl,
  };
  const env: WorldEnv = { ...usual, ...settings.env?.(usual) };
  const config: Config = loadConfig({
    env,
    overlay,
    ...(settings.directory && { directory: settings.directory }),
  });
  const apiKey = await addApiKey(database.store, 's-1');
  const running = new Set<RunningProcess>();
  const children = new Set<ChildProcess>();
  let address = '';

  const ask = async (
    method: string,
    path: string,
    body?: unknown,
    { at = address, key = apiKey }: { at?: string | undefined; key?: string | undefined } = {},
  ) =>
    fetch(`${at}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });

  const world = {
    config,
    store: database.store,
    vhost,
    simulator,
    zookeeper: { connect, root },
    /** What tells a process of its own where all of this is. */
    env,
    /** Asks the API of the process that was started last, or `at` another address, with the `key` of `s-1` or another. */
    ask,
    address: () => address,

    /** Starts Chodang, or some parts of it, in this process. */
    async start(options: Partial<ProcessOptions> = {}): Promise<RunningProcess> {
      const started = await startProcess(config, { log: silent, ...options });
      running.add(started);
      if (started.address) address = started.address;
      return {
        address: started.address,
        async stop() {
          running.delete(started);
          await started.stop();
        },
      };
    },

    /** Starts all of it in a process of its own, which ends itself where `killAt` says. */
    async spawn(killAt: KillAt | undefined, parts?: string[]) {
      const child = spawn(process.execPath, ['--import', 'tsx', childEntry], {
        env: {
          ...process.env,
          ...env,
          OVERLAY: JSON.stringify(overlay),
          KILL_AT: killAt ?? '',
          PARTS: parts?.join(',') ?? '',
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.add(child);
      const gone = once(child, 'exit').then(([code, signal]) => {
        children.delete(child);
        return { code: code as number | null, signal: signal as string | null };
      });
      let own: string | undefined;
      const ready = once(child.stdout, 'data').then(([data]) => {
        const line = String(data).trim();
        if (!line.startsWith('http')) return;
        own = line;
        address = line;
      });
      // Where it kills itself early, it may never get ready.
      await Promise.race([ready, gone]);
      return { address: own, gone, kill: (signal: NodeJS.Signals) => child.kill(signal) };
    },

    /** Stores open orders of seller `s-1`, promised for today, and returns their ids. */
    async orders(count: number, parts: Parameters<typeof anOrderRow>[0] & object = {}): Promise<string[]> {
      const ids = Array.from({ length: count }, () => `o-${uuidv7()}`);
      const rows = ids.map((orderId, at) => ({
        ...anOrderRow({ promisedShipDate: inDays(0), ...parts, orderId }),
        phone: `+8210${1_000 + Math.floor(at / 9_999)}${String((at % 9_999) + 1).padStart(4, '0')}`,
        ...(parts.phone !== undefined && { phone: parts.phone }),
      }));
      await upsertOrders(database.store, rows);
      return ids;
    },

    /** Posts a notice and returns its id; `days` from today is the new date. */
    async post(
      orderIds: readonly string[],
      {
        days = 7,
        at,
        key,
        ...rest
      }: { days?: number; at?: string | undefined; key?: string | undefined } & Record<string, unknown> = {},
    ) {
      const body = { reason: 'WEATHER', newShipDate: inDays(days), orderIds, ...rest };
      const response = await ask('POST', '/v1/delay-notices', body, { at, key });
      const answer = (await response.json()) as { noticeId: string; path: string };
      if (response.status !== 202)
        throw new Error(`expected 202, got ${response.status} ${JSON.stringify(answer)}`);
      return answer;
    },

    async progress(noticeId: string): Promise<NoticeProgress> {
      const response = await ask('GET', `/v1/delay-notices/${noticeId}`);
      return (await response.json()) as NoticeProgress;
    },

    /** Waits until a notice has settled, and returns its counts that aren't 0. */
    async settled(noticeId: string, timeoutMs = 30_000): Promise<Record<string, number>> {
      let last: NoticeProgress | undefined;
      try {
        await until(
          async () => {
            last = await world.progress(noticeId);
            return last.state === 'settled';
          },
          { what: `notice ${noticeId} has settled`, timeoutMs },
        );
      } catch (error) {
        throw new Error(`${(error as Error).message} ${JSON.stringify(last)}`, { cause: error });
      }
      return Object.fromEntries(Object.entries(last?.counts ?? {}).filter(([, count]) => count > 0));
    },

    /** How often the simulator delivered to each order of a notice. */
    async deliveries(noticeId: string): Promise<Map<string, number>> {
      const times = new Map<string, number>();
      for (const { key } of await simulator.deliveries()) {
        if (!key.startsWith(noticeId)) continue;
        const orderId = key.slice(noticeId.length + 1);
        times.set(orderId, (times.get(orderId) ?? 0) + 1);
      }
      return times;
    },

    /** Asserts that the simulator delivered to each of these orders exactly once, and to no other order of the notice. */
    async toldOnce(noticeId: string, orderIds: readonly string[]): Promise<void> {
      const times = await world.deliveries(noticeId);
      assert.deepEqual([...times.keys()].toSorted(), orderIds.toSorted());
      const twice = [...times].filter(([, count]) => count !== 1);
      assert.deepEqual(twice, [], 'some customers were told more than once');
    },

    async close() {
      for (const child of children) {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }
      for (const each of running) await each.stop();
      await vhost.drop();
      await database.drop();
    },
  };
  return world;
}

export type World = Awaited<ReturnType<typeof aWorld>>;
