import { postNotice } from '../src/http/client.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { type Choice, chooseOrders, fillOpenNotices, prefix, takeBack } from './growthTables.ts';
import { load } from './load.ts';
import { medians } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { addOrders, emptyTables, sellerIds } from './orders.ts';
import { beginRun, dayIn, expectOnce, round, type Servers, untilNotified, withCpu } from './run.ts';

const [seller = ''] = sellerIds(1);
/** How many orders settle in a run. */
const ordersOfRun = 10_000;
const ordersOfLoad = 20_000;
/** As fast as notices are posted where there are many of them. */
const noticesPerSecond = 5_000;

/**
 * What an order costs: processor time, what it writes to Postgres's log, and what it leaves behind in tables that were
 * empty; of one notice, how long `GET` of it takes when it has settled. What can't be told is NaN.
 */
type Cost = Record<
  'ordersPerSecond' | 'processUs' | 'postgresUs' | 'rabbitmqUs' | 'walBytes' | 'keptBytes' | 'progressMs',
  number
>;
/** The same, rounded, without what isn't there. */
type Told = Partial<Cost>;

/**
 * How the cost of an order grows: with the orders in the table (10,000 up to `rows`, by tens), with the notices they
 * come in, with the sellers who post, and with the notices that are open (up to a tenth of `rows`, with ten orders each).
 *
 * Each figure is the median of `runs` runs after one that warms up. Fails unless each order was notified once.
 */
export async function growth(options: { rows: number; runs: number; say: (line: string) => void }) {
  const { rows, runs, say } = options;
  const servers = await openServers(say);
  try {
    const chodang = await servers.startChodang();
    const apiKey = await addApiKey(servers.store, seller);
    const many = async (name: string, run: (at: number) => Promise<Cost>): Promise<Told> => {
      const costs: Cost[] = [];
      for (let at = 0; at <= runs; at += 1) {
        const cost = await run(at);
        if (at > 0) costs.push(cost);
      }
      const figures = Object.entries(medians(costs)).filter(([, value]) => !Number.isNaN(value));
      const rounded: Told = Object.fromEntries(figures.map(([key, value]) => [key, round(value, 1)]));
      say(`${name}: ${JSON.stringify(rounded)}`);
      return rounded;
    };
    const found: Record<string, Record<string, Told>> = {};

    const inNotices: Record<string, Told> = {};
    for (const orders of [1, 10, 100, 1_000])
      inNotices[orders] = await many(`notices of ${orders}`, () =>
        manyNotices(servers, chodang, { orders, sellers: ordersOfLoad / 1_000 }),
      );
    found.ordersInNotice = inNotices;

    const bySellers: Record<string, Told> = {};
    for (const sellers of [10, 1_000, 20_000])
      bySellers[sellers] = await many(`${sellers} sellers`, () =>
        manyNotices(servers, chodang, { orders: 1, sellers }),
      );
    found.sellers = bySellers;

    const inTable: Record<string, Told> = {};
    for (let size = 10_000; size <= rows; size *= 10) {
      await emptyTables(servers.store);
      await addOrders(servers.store, { prefix, count: size, sellers: 1 });
      for (const choice of ['neighbours', 'spread'] satisfies Choice[])
        inTable[`${size} ${choice}`] = await many(`${size} orders in the table, ${choice}`, (run) =>
          oneNotice(servers, chodang, apiKey, chooseOrders(choice, { rows: size, count: ordersOfRun, run })),
        );
    }
    found.ordersInTable = inTable;

    const byOpen: Record<string, Told> = {};
    for (let open = 1_000; open <= rows / 10; open *= 10) {
      await emptyTables(servers.store);
      await addOrders(servers.store, { prefix, count: 100_000, sellers: 1 });
      await fillOpenNotices(servers.store, open);
      byOpen[open] = await many(`${open} notices open`, (run) => {
        const orderIds = chooseOrders('neighbours', { rows: 100_000, count: ordersOfRun, run });
        return oneNotice(servers, chodang, apiKey, orderIds);
      });
    }
    found.openNotices = byOpen;
    return { scenario: 'growth', runs, rows, ...found };
  } finally {
    await servers.close();
  }
}

/** One notice, from the request until all its orders are `notified`; afterwards all is as it was. */
async function oneNotice(
  servers: Servers,
  chodang: Subject,
  apiKey: string,
  orderIds: readonly string[],
): Promise<Cost> {
  await servers.forgetDeliveries();
  const to = { url: chodang.address, apiKey };
  const { result, cost } = await costOf(servers, chodang, orderIds.length, async () => {
    const startedAt = performance.now();
    const { noticeId } = await postNotice(to, { reason: 'WEATHER', newShipDate: dayIn(7), orderIds });
    return {
      seconds: await untilNotified(servers, orderIds.length, { startedAt, noticeId, pollMs: 20 }),
      noticeId,
    };
  });
  await expectOnce(servers, orderIds.length, { noticeId: result.noticeId });
  const startedAt = performance.now();
  const response = await fetch(`${chodang.address}/v1/delay-notices/${result.noticeId}`, {
    headers: { authorization: `Bearer ${apiKey}` },
  });
  const { counts } = (await response.json()) as { counts: Record<string, number> };
  const progressMs = performance.now() - startedAt;
  if (counts['notified'] !== orderIds.length)
    throw new Error(`expected ${orderIds.length} orders notified, got ${JSON.stringify(counts)}`);
  await takeBack(servers.store, seller, orderIds);
  return { ...cost, progressMs };
}

/** The same number of orders in notices of `orders` orders each, of so many sellers, from empty tables on. */
async function manyNotices(
  servers: Servers,
  chodang: Subject,
  { orders, sellers }: { orders: number; sellers: number },
): Promise<Cost> {
  const apiKeys = await keysOf(servers, sellers);
  await beginRun(servers, { prefix, count: ordersOfLoad, sellers });
  const { cost } = await costOf(servers, chodang, ordersOfLoad, async () => {
    const { firstDueAt } = await load({
      address: chodang.address,
      apiKeys,
      prefix,
      count: ordersOfLoad / orders,
      orders,
      perSecond: noticesPerSecond,
      newShipDate: dayIn(7),
    });
    await untilNotified(servers, ordersOfLoad, { pollMs: 20 });
    return { seconds: (Date.now() - firstDueAt) / 1_000 };
  });
  await expectOnce(servers, ordersOfLoad);
  const [kept] = await servers.store.rows<[string]>(
    `select sum(pg_total_relation_size(t)) from unnest(array['notices', 'intake', 'ledger']::regclass[]) t`,
  );
  return { ...cost, keptBytes: Number(kept?.[0]) / ordersOfLoad };
}

const keys: string[] = [];
/** The keys of the first so many sellers; they are added once. */
async function keysOf({ store }: Servers, sellers: number): Promise<string[]> {
  for (const id of sellerIds(sellers).slice(keys.length)) keys.push(await addApiKey(store, id));
  return keys.slice(0, sellers);
}

/** Measures work that settles so many orders, and says how many seconds it took. */
async function costOf<T extends { seconds: number }>(
  servers: Servers,
  chodang: Subject,
  orders: number,
  work: () => Promise<T>,
): Promise<{ result: T; cost: Cost }> {
  const walAt = async () => {
    const [row] = await servers.store.rows<[string]>(`select pg_current_wal_lsn() - '0/0'::pg_lsn`);
    return Number(row?.[0]);
  };
  const before = await walAt();
  const { result, cpu } = await withCpu(servers, chodang, work);
  const each = (seconds: number) => (seconds / orders) * 1_000_000;
  const cost: Cost = {
    ordersPerSecond: orders / result.seconds,
    processUs: each(cpu.processCpuSeconds),
    postgresUs: each(cpu.postgresCpuSeconds),
    rabbitmqUs: each(cpu.rabbitmqCpuSeconds),
    walBytes: ((await walAt()) - before) / orders,
    keptBytes: Number.NaN,
    progressMs: Number.NaN,
  };
  return { result, cost };
}
