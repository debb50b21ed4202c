import { setTimeout as sleep } from 'node:timers/promises';
import { addDays, today } from '../src/rules/dates.ts';
import type { openServers } from './open.ts';
import { addOrders, emptyTables, type OrderSet } from './orders.ts';

export type Servers = Awaited<ReturnType<typeof openServers>>;

/** The shop's day, `days` from today. */
export const dayIn = (days: number) =>
  addDays(
    today(() => new Date(), 'Asia/Seoul'),
    days,
  );

/** Makes everything as it was before the first run, but for `orders`, which are there and open. */
export async function beginRun({ store, forgetDeliveries }: Servers, orders: OrderSet): Promise<void> {
  await emptyTables(store);
  await forgetDeliveries();
  await addOrders(store, orders);
}

/**
 * Waits until all `orders` orders of a run are `notified`, and returns how long that took, in seconds since
 * `startedAt` (of `performance.now()`). Whether each was so once is for `expectOnce` to say.
 *
 * Looks every `pollMs`: the figure is too long by half of it, on average. Counting rows costs Postgres time, so it is
 * asked only once the simulator has everything. Fails if `withinMs` is over. With `noticeId`, only the rows of this
 * notice count.
 */
export async function untilNotified(
  { store, delivered }: Servers,
  orders: number,
  {
    startedAt = performance.now(),
    withinMs = 120_000,
    pollMs = 200, // a look takes the time of some dozen orders
    noticeId,
  }: { startedAt?: number; withinMs?: number; pollMs?: number; noticeId?: string } = {},
): Promise<number> {
  const sent = async () => (await delivered()).delivered >= orders;
  const notified = async () => {
    const [row] = await store.rows<[number]>(
      `select count(*)::int from ${ledgerOf(noticeId)} where state = 'notified'`,
    );
    return row?.[0] === orders;
  };
  for (const done of [sent, notified])
    while (!(await done())) {
      if (performance.now() - startedAt > withinMs)
        throw new Error(
          `after ${withinMs / 1_000} s not all of ${orders} orders are notified: ${JSON.stringify(await delivered())}`,
        );
      await sleep(pollMs);
    }
  return (performance.now() - startedAt) / 1_000;
}

/** Seconds from `startedAt`, in ms since 1970, until the last row of the ledger was committed, as Postgres has it. */
export async function secondsToLastCommit({ store }: Servers, startedAt: number): Promise<number> {
  const [row] = await store.rows<[string]>(
    'select extract(epoch from max(pg_xact_commit_timestamp(xmin))) * 1000 from ledger',
  );
  return (Number(row?.[0]) - startedAt) / 1_000;
}

/** Fails unless each of so many orders was sent and delivered exactly once, and has one row in the ledger. */
export async function expectOnce(
  { store, delivered }: Servers,
  orders: number,
  { noticeId }: { noticeId?: string } = {},
): Promise<void> {
  const stats = await delivered();
  const [row] = await store.rows<[number, number]>(
    `select count(*)::int, count(distinct (seller_id, order_id))::int from ${ledgerOf(noticeId)}`,
  );
  const { delivered: sent, maxPerKey, recognized } = stats;
  if (sent !== orders || maxPerKey > 1 || recognized > 0 || row?.[0] !== orders || row[1] !== orders)
    throw new Error(
      `expected ${orders} orders, each sent once and once in the ledger; the simulator says ` +
        `${JSON.stringify(stats)}, the ledger has ${row?.[0]} rows for ${row?.[1]} orders`,
    );
}

const ledgerOf = (noticeId: string | undefined) =>
  noticeId === undefined ? 'ledger' : `(select * from ledger where notice_id = '${noticeId}') as l`;

/** Processor seconds of a process and of the servers while `work` ran, and what it returned. */
export async function withCpu<T>(
  servers: Servers,
  subject: { cpuSeconds(): number },
  work: () => Promise<T>,
): Promise<{ result: T; cpu: Cpu }> {
  const now = (): Cpu => ({ processCpuSeconds: subject.cpuSeconds(), ...servers.cpuSeconds() });
  const before = now();
  const result = await work();
  const after = now();
  const names = Object.keys(after) as (keyof Cpu)[];
  return {
    result,
    cpu: Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Cpu,
  };
}

/** Processor seconds. */
export interface Cpu {
  processCpuSeconds: number;
  postgresCpuSeconds: number;
  rabbitmqCpuSeconds: number;
  simulatorCpuSeconds: number;
}

/** Says processor seconds to people. */
export const cpuText = (cpu: Cpu) =>
  `processor seconds: process ${cpu.processCpuSeconds.toFixed(2)}, Postgres ${cpu.postgresCpuSeconds.toFixed(2)}, ` +
  `RabbitMQ ${cpu.rabbitmqCpuSeconds.toFixed(2)}, simulator ${cpu.simulatorCpuSeconds.toFixed(2)}`;

export const round = (value: number, digits = 0) => Number(value.toFixed(digits));
