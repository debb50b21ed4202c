import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../src/config/load.ts';
import { topologyOf } from '../src/config/topology.ts';
import { openBroker } from '../src/pipeline/broker/broker.ts';
import { failedQueueOf } from '../src/pipeline/topology.ts';
import { findFailures, listFailures } from '../src/store/failures.ts';
import type { Sql } from '../src/store/store.ts';
import { type FailedOne, failedMessages, kindCount, newShipDate } from './failedMessages.ts';
import { medians } from './median.ts';
import type { openServers } from './open.ts';

type Servers = Awaited<ReturnType<typeof openServers>>;

/** How often it looks whether all is done, in ms: the figures are too long by half of it, at the most. */
const pollMs = 20;
const giveUpMs = 300_000;

/**
 * Measures how quickly failed messages are recorded: `messages` of them wait in the queues `<step>.failed` before a
 * process with nothing but the part `failures` is started.
 *
 * From the time at which that is ready, or at which it began the transaction of its first row, whichever is earlier,
 * until the groups count all of them and no queue has any. The tables are emptied before each run. Fails unless each
 * message has one row, byte for byte, its order is `failed` in the ledger, and the groups count what the rows say.
 */
export async function measureRecording(
  servers: Servers,
  { messages, runs, say }: { messages: number; runs: number; say: (line: string) => void },
) {
  const { store } = servers;
  const config = loadConfig({ env: servers.env });
  const queues = Object.keys(config.steps).map(failedQueueOf);
  const broker = openBroker({
    url: servers.urls.rabbitmq,
    topology: topologyOf(config),
    name: 'chodang bench',
    publishWaitMs: 5_000,
    log: { info: () => undefined, warn: (_, message) => say(message), error: (_, message) => say(message) },
    onFatal: (error) => say(error.message),
  });
  await broker.connected(10_000);
  const waiting = async () => {
    const depths = await Promise.all(queues.map((queue) => broker.depth(queue)));
    return depths.reduce((sum, depth) => sum + depth, 0);
  };

  const once = async (): Promise<Measured> => {
    const failed = failedMessages(messages);
    await emptyFailures(store);
    // What failed in its last step has its row: it was delayed, and not told.
    await insertDelayed(
      store,
      failed.filter(({ step }) => step === 'tms'),
    );
    for (let at = 0; at < failed.length; at += 1_000)
      await Promise.all(failed.slice(at, at + 1_000).map(({ publication }) => broker.publish(publication)));
    await store.query('checkpoint');
    const cpuBefore = servers.cpuSeconds();
    const process = await servers.startChodang({ parts: ['failures'] });
    const readyAt = Date.now();
    const cpuReady = process.cpuSeconds();
    while ((await recorded(store)) < messages || (await waiting()) > 0) {
      if (Date.now() - readyAt > giveUpMs)
        throw new Error(`after ${giveUpMs} ms only ${await recorded(store)} of ${messages} are recorded`);
      await sleep(pollMs);
    }
    const endedAt = Date.now();
    const rssMb = process.rssMb();
    const processCpuSeconds = process.cpuSeconds() - cpuReady;
    const { postgresCpuSeconds, rabbitmqCpuSeconds } = servers.cpuSeconds();
    const [first] = await store.rows<[number]>(
      'select extract(epoch from min(recorded_at))::float from failures',
    );
    const beganAt = Math.min(readyAt, (first?.[0] ?? Number.NaN) * 1_000);
    await process.stop();
    await check(store, failed);
    // What the process had not acked would be back by now.
    if ((await waiting()) > 0) throw new Error('messages that are recorded are still in their queues');
    return {
      seconds: (endedAt - beganAt) / 1_000,
      rssMb,
      processCpuSeconds,
      postgresCpuSeconds: postgresCpuSeconds - cpuBefore.postgresCpuSeconds,
      rabbitmqCpuSeconds: rabbitmqCpuSeconds - cpuBefore.rabbitmqCpuSeconds,
    };
  };

  const measured: Measured[] = [];
  try {
    for (let run = 0; run <= runs; run += 1) {
      const result = await once();
      const { seconds, rssMb, processCpuSeconds, postgresCpuSeconds, rabbitmqCpuSeconds } = result;
      say(
        `recording, ${run === 0 ? 'warm-up' : `run ${run}`}: ${seconds.toFixed(2)} s, ` +
          `${Math.round(messages / seconds)} per second, ${rssMb.toFixed(0)} MB; processor seconds: ` +
          `process ${processCpuSeconds.toFixed(1)}, Postgres ${postgresCpuSeconds.toFixed(1)}, ` +
          `RabbitMQ ${rabbitmqCpuSeconds.toFixed(1)}; load of the machine ${loadavg()[0]?.toFixed(1)}`,
      );
      if (run > 0) measured.push(result);
    }
  } finally {
    await broker.close();
  }
  const { seconds, rssMb, ...cpu } = medians(measured);
  return {
    recordedMessages: messages,
    recordedPerSecond: Math.round(messages / seconds),
    recordedSeconds: round(seconds),
    rssMb: Math.round(rssMb),
    ...Object.fromEntries(Object.entries(cpu).map(([name, value]) => [name, round(value)])),
  };
}

type Measured = Record<
  'seconds' | 'rssMb' | 'processCpuSeconds' | 'postgresCpuSeconds' | 'rabbitmqCpuSeconds',
  number
>;
const round = (value: number) => Number(value.toFixed(2));

/** Empties all that has to do with failures, and the ledger. */
export const emptyFailures = (db: Sql) =>
  db.query(
    `truncate failures, failure_groups, failure_group_notices, failure_group_sellers, failure_operations,
              failure_operation_items, alerts, alert_deliveries, ledger`,
  );

/** How many are recorded, as their groups count them: counting rows would cost Postgres time meanwhile. */
async function recorded(db: Sql): Promise<number> {
  const [row] = await db.rows<[number]>('select coalesce(sum(failures), 0)::float from failure_groups');
  return row?.[0] ?? 0;
}

async function insertDelayed(db: Sql, orders: readonly FailedOne[]): Promise<void> {
  await db.query(
    `insert into ledger (notice_id, order_id, seller_id, state, old_ship_date, new_ship_date)
     select n, o, s, 'delayed', '2099-11-20', $4 from unnest($1::uuid[], $2::text[], $3::text[]) as k (n, o, s)`,
    [
      orders.map(({ noticeId }) => noticeId),
      orders.map(({ orderId }) => orderId),
      orders.map(({ sellerId }) => sellerId),
      newShipDate,
    ],
  );
  await db.query('vacuum analyze ledger');
}

async function check(db: Sql, failed: readonly FailedOne[]): Promise<void> {
  const expect = async (what: string, expected: number, sql: string, values: unknown[] = []) => {
    const [row] = await db.rows<[number]>(sql, values);
    if (row?.[0] !== expected) throw new Error(`expected ${expected} ${what}, got ${row?.[0]}`);
  };
  const ids = failed.map(({ publication }) => publication.messageId);
  await expect('failures', failed.length, 'select count(*)::int from failures');
  await expect(
    'of the published messages among them',
    failed.length,
    'select count(*)::int from failures where message_id = any($1)',
    [ids],
  );
  await expect('groups', kindCount, 'select count(*)::int from failure_groups');
  await expect('groups whose counts are not those of their rows', 0, wrongGroups);
  await expect(
    'orders failed in the ledger',
    failed.length,
    `select count(*)::int from ledger where state = 'failed'`,
  );
  await expect(
    'of them delayed before',
    failed.filter(({ step }) => step === 'tms').length,
    `select count(*)::int from ledger where failed_from = 'delayed'`,
  );
  const newest = await listFailures(db, { limit: 200 });
  const contents = new Map(failed.map(({ publication }) => [publication.messageId, publication]));
  for (const failure of await findFailures(
    db,
    newest.map(({ failureId }) => failureId),
  )) {
    const publication = contents.get(failure.messageId);
    if (
      !publication?.content.equals(failure.body) ||
      publication.headers['chodang-error-stack'] !== failure.errorStack
    )
      throw new Error(`failure ${failure.failureId} is not what was published`);
  }
}

const wrongGroups = `
  select count(*)::int from failure_groups g
  left join (
    select group_id, count(distinct failure_id) as failures, count(distinct n) as notices, count(distinct s) as sellers
    from failures, unnest(notice_ids) as n, unnest(seller_ids) as s group by group_id
  ) f using (group_id)
  where (g.failures, g.open, g.orders, g.notices, g.sellers)
    is distinct from (f.failures, f.failures, f.failures, f.notices, f.sellers)`;
