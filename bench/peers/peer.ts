import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beginRun, type Servers, secondsToLastCommit, untilNotified } from '../run.ts';
import { type Contestant, noticeOf, sellersOf } from './contestant.ts';
import { node, nodeOptions } from './install.ts';
import type { Asked, Mode, Told } from './messages.ts';
import { startRedis } from './redis.ts';

/** Orders in a job of the mode `chunked`; as many as Chodang puts into a message. */
const chunkSize = 500;
const stopWithinMs = 40_000;

/** BullMQ, on a Redis of its own that is started with it. */
export const bullmq: Contestant = async (servers, _apiKeys, mode) => {
  const redis = await startRedis(servers.say);
  try {
    const peer = await startPeer(servers, 'bullmq.ts', mode, { env: { REDIS_PORT: String(redis.port) } });
    return {
      ...peer,
      async stop() {
        await peer.stop();
        await redis.stop();
      },
    };
  } catch (error) {
    await redis.stop();
    throw error;
  }
};

/** pg-boss, in a schema of its own in Chodang's database. */
export const pgBoss: Contestant = (servers, _apiKeys, mode) =>
  startPeer(servers, 'pgBoss.ts', mode, { schema: 'pgboss' });

/**
 * The same, but all jobs that were fetched together go through a step in one call, so in one statement. That is Chodang's
 * own idea, a batch whatever it came in; of the peers only pg-boss hands several jobs to a handler.
 */
export const pgBossGathered: Contestant = (servers, _apiKeys, mode) =>
  startPeer(servers, 'pgBoss.ts', mode, { schema: 'pgboss', args: ['gathered'] });

/** Graphile Worker, in a schema of its own in Chodang's database. */
export const graphileWorker: Contestant = (servers, _apiKeys, mode) =>
  startPeer(servers, 'graphileWorker.ts', mode, { schema: 'graphile_worker' });

/**
 * Starts a peer's process, on an empty queue.
 *
 * A run is measured from the moment when it is told to put the jobs into its queue: how the orders got to it, which
 * Chodang does over HTTP and with a commit of its own, isn't counted.
 */
async function startPeer(
  servers: Servers,
  file: string,
  mode: Mode,
  { env = {}, schema, args = [] }: { env?: Record<string, string>; schema?: string; args?: string[] },
) {
  const { store } = servers;
  if (schema) await store.query(`drop schema if exists ${schema} cascade`);
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [mode, ...args], {
    execPath: node,
    execArgv: nodeOptions,
    env: { ...servers.env, ...env },
  });
  const ended = once(child, 'exit').then(([code]): never => {
    throw new Error(`${file} ended with ${String(code)}`);
  });
  ended.catch(() => undefined);
  const told = (kind: Told['kind']) => Promise.race([hear(child, kind), ended]);
  const ask = (asked: Asked) => child.send(asked);
  await told('ready');
  return {
    async settle(prefix: string, count: number) {
      const sellers = sellersOf(mode);
      const perJob = mode === 'perOrder' ? 1 : chunkSize;
      ask({ kind: 'prepare', orders: { prefix, count, sellers, perJob, notice: noticeOf(mode) } });
      await told('prepared');
      if (schema) await takeStockOf(servers, schema);
      await beginRun(servers, { prefix, count, sellers });
      const startedAt = Date.now();
      ask({ kind: 'enqueue' });
      await Promise.all([Promise.race([untilNotified(servers, count), ended]), told('enqueued')]);
      return secondsToLastCommit(servers, startedAt);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.disconnect();
      // After a run that failed it may hold jobs that never end.
      const impatient = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
      await gone;
      clearTimeout(impatient);
    },
  };
}

/** As `takeStock` of bench/orders.ts, for the tables of a queue. */
async function takeStockOf({ store }: Servers, schema: string): Promise<void> {
  const tables = await store.rows<[string]>(
    `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = $1`,
    [schema],
  );
  for (const [table] of tables) await store.query(`vacuum analyze ${table}`);
}

function hear(child: ChildProcess, kind: Told['kind']): Promise<void> {
  return new Promise((resolve) => {
    const onMessage = (told: Told) => {
      if (told.kind !== kind) return;
      child.off('message', onMessage);
      resolve();
    };
    child.on('message', onMessage);
  });
}
