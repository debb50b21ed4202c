import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import failures from '../../src/actors/failures.ts';
import type { Config } from '../../src/config/schema.ts';
import { feedStep, topologyOf } from '../../src/config/topology.ts';
import { startOrderFeed } from '../../src/orderFeed.ts';
import { openBroker } from '../../src/pipeline/broker/broker.ts';
import { drainFailedQueues } from '../../src/pipeline/failed.ts';
import { openStore, type Sql } from '../../src/store/store.ts';
import { recordingObserver } from './pipeline.ts';
import { aWorld } from './world.ts';

const log = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });
const childEntry = fileURLToPath(new URL('feed-child.ts', import.meta.url));

/** Runs the order feed by itself, as a process with nothing but the part `orders` does. */
export async function runFeed(config: Config, wrap?: Parameters<typeof startOrderFeed>[1]['wrap']) {
  const store = openStore({ ...config.postgres, log });
  const broker = openBroker({
    ...config.rabbitmq,
    topology: topologyOf(config),
    name: `feed ${process.pid}`,
    log,
    onFatal: (error) => {
      throw error;
    },
  });
  await broker.connected(10_000);
  const { observer, seen } = recordingObserver();
  const feed = startOrderFeed(config, { store, broker, observer, wrap });
  return {
    broker,
    /** What its observer was told. */
    seen,
    async stop() {
      await feed.drain();
      await broker.close();
      await store.close();
    },
  };
}

/** Records what the feed gave up, as the part `failures` does. */
export function recordFailed(config: Config, { broker }: Awaited<ReturnType<typeof runFeed>>) {
  const store = openStore({ ...config.postgres, log });
  const record = failures({ store, log, recorded: () => undefined });
  const reader = drainFailedQueues({ broker, steps: [feedStep], ...config.failures, record, log });
  return {
    async stop() {
      await reader.drain();
      await store.close();
    },
  };
}

/** A world whose feed is started by `feed` in this process, or by `spawn` in one of its own. */
export async function aFeedWorld(...settings: Parameters<typeof aWorld>) {
  const world = await aWorld(...settings);
  const feeds = new Set<Awaited<ReturnType<typeof runFeed>>>();
  const children = new Set<ChildProcess>();
  const stop = async (feed: Awaited<ReturnType<typeof runFeed>>) => {
    if (feeds.delete(feed)) await feed.stop();
  };
  return {
    ...world,
    async feed() {
      const feed = await runFeed(world.config);
      feeds.add(feed);
      return { ...feed, stop: () => stop(feed) };
    },
    /** Runs the feed in a process of its own, which kills itself after a commit if it is told to. */
    async spawnFeed({ killAfterCommit = false } = {}) {
      const child = spawn(process.execPath, ['--import', 'tsx', childEntry], {
        env: {
          ...process.env,
          ...world.env,
          OVERLAY: JSON.stringify(settings[0] ?? {}),
          KILL_AFTER_COMMIT: killAfterCommit ? '1' : '',
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.add(child);
      const gone = once(child, 'exit').then(([, signal]) => {
        children.delete(child);
        return signal as string | null;
      });
      await Promise.race([once(child.stdout, 'data'), gone]);
      return { gone, kill: (signal: NodeJS.Signals) => child.kill(signal) };
    },
    async close() {
      for (const child of children) {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }
      for (const feed of feeds) await stop(feed);
      await world.close();
    },
  };
}

/** An order with what events can change of it. */
export interface FedOrder {
  orderId: string;
  status: string;
  promised: string;
  expected: string;
  phone: string;
  product: string;
  locale: string;
  statusVersion: number | null;
  upsertVersion: number | null;
  /** Another one for each change of the row. */
  row: string;
}

/** Reads all orders, by id. */
export const readFed = (db: Sql): Promise<FedOrder[]> =>
  db.query<FedOrder>(
    `select order_id as "orderId", status, promised_ship_date as promised, expected_ship_date as expected, phone,
            product, locale, status_version::float as "statusVersion", upsert_version::float as "upsertVersion",
            xmin || ' ' || ctid as row
     from orders order by seller_id, order_id`,
  );
