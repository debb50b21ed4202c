import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addDays, today } from '../src/rules/dates.ts';
import { upsertOrders } from '../src/store/orders.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { median, quantile } from './median.ts';
import { openServers } from './open.ts';
import { phoneOf } from './phone.ts';
import type { Load, Loaded } from './singles-load.ts';

const program = fileURLToPath(new URL('singles-load.ts', import.meta.url));
const sellers = 1_000;
const steadyPerSecond = 5_000;
const zone = 'Asia/Seoul';

type Servers = Awaited<ReturnType<typeof openServers>>;

/**
 * Notices of one order each, from 1,000 sellers, over HTTP, in an open loop:
 *
 * - as many as there is room for: `orders` of them offered at `offered` a second; how many a second are settled, from
 *   the first that was due until the last is `notified`;
 * - a steady 5,000 a second: from the moment a request was due until its order is `notified`, as Postgres committed it.
 *
 * Fails unless each order was notified, and delivered by the simulator exactly once.
 */
export async function singles(options: {
  orders: number;
  runs: number;
  offered: number;
  say: (line: string) => void;
}) {
  const { runs, offered, say } = options;
  const servers = await openServers(say, { commitTimes: true });
  const dir = mkdtempSync(join(tmpdir(), 'chodang-bench-'));
  try {
    const chodang = await servers.startChodang();
    const keys = await Promise.all(
      Array.from({ length: sellers }, (_, at) => addApiKey(servers.store, `seller-${at}`)),
    );
    const flat: Measured[] = [];
    const steady: Measured[] = [];
    for (let run = 0; run <= runs; run += 1)
      for (const [name, perSecond, into] of [
        ['as many as there is room for', offered, flat],
        [`${steadyPerSecond} a second`, steadyPerSecond, steady],
      ] as const) {
        const count = perSecond === steadyPerSecond ? steadyPerSecond * 10 : options.orders;
        const measured = await measure(servers, chodang, keys, {
          dir,
          count,
          perSecond,
          run: `${run}-${perSecond}`,
        });
        say(
          `${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${Math.round(measured.settledPerSecond)} a second settled, ` +
            `p50 ${measured.p50Ms.toFixed(0)} ms, p99 ${measured.p99Ms.toFixed(0)} ms, accepted p99 ` +
            `${measured.acceptP99Ms.toFixed(0)} ms, ${measured.rssMb.toFixed(0)} MB`,
        );
        if (run > 0) into.push(measured);
      }
    const of = (all: readonly Measured[], name: keyof Measured) => median(all.map((each) => each[name]));
    return {
      scenario: 'singles',
      runs,
      orders: options.orders,
      offeredPerSecond: offered,
      noticesPerSecond: Math.round(of(flat, 'settledPerSecond')),
      steadyPerSecond,
      p50Ms: Math.round(of(steady, 'p50Ms')),
      p99Ms: Math.round(of(steady, 'p99Ms')),
      acceptMs: Math.round(of(steady, 'acceptP50Ms')),
      rssMb: Math.round(Math.max(...[...flat, ...steady].map(({ rssMb }) => rssMb))),
    };
  } finally {
    await servers.close();
    rmSync(dir, { recursive: true });
  }
}

interface Measured {
  settledPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  acceptP50Ms: number;
  acceptP99Ms: number;
  rssMb: number;
}

async function measure(
  servers: Servers,
  chodang: { address: string; rssMb(): number },
  keys: readonly string[],
  { dir, count, perSecond, run }: { dir: string; count: number; perSecond: number; run: string },
): Promise<Measured> {
  const { store, delivered } = servers;
  const day = today(() => new Date(), zone);
  const orders = Array.from({ length: count }, (_, at) => ({
    sellerId: `seller-${at % sellers}`,
    orderId: `single-${run}-${at}`,
  }));
  for (let at = 0; at < count; at += 10_000)
    await upsertOrders(
      store,
      orders.slice(at, at + 10_000).map((order, i) => ({
        ...order,
        status: 'open',
        promisedShipDate: day,
        phone: phoneOf(at + i),
        customerName: '김하늘',
        product: '초당옥수수 10개',
      })),
    );
  for (const table of ['orders', 'ledger', 'notices', 'intake']) await store.query(`vacuum analyze ${table}`);
  await store.query('checkpoint');
  const file = join(dir, run);
  writeFileSync(file, orders.map(({ orderId }, at) => `${keys[at % sellers]} ${orderId}`).join('\n'));
  const before = await delivered();
  const child = fork(program, { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
  child.send({
    address: chodang.address,
    file,
    newShipDate: addDays(day, 7),
    perSecond,
    connections: 64,
  } satisfies Load);
  const [loaded] = (await once(child, 'message')) as [Loaded];
  if (Object.keys(loaded.refused).length > 0)
    throw new Error(`expected 202 for every notice, got ${JSON.stringify(loaded.refused)}`);
  const started = performance.now();
  while ((await delivered()).delivered - before.delivered < count) {
    if (performance.now() - started > 120_000) throw new Error('after 120 s not all orders are told');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const settled = await settledTimes(servers, loaded, count);
  const after = await delivered();
  if (after.delivered - before.delivered !== count || after.maxPerKey > 1)
    throw new Error(`expected ${count} deliveries, each once; the simulator says ${JSON.stringify(after)}`);
  const latencies = loaded.notices.map(([noticeId, dueAt]) => (settled.get(noticeId) ?? Number.NaN) - dueAt);
  const accepts = loaded.notices.map(([, dueAt, answeredAt]) => answeredAt - dueAt);
  const firstDue = Math.min(...loaded.notices.map(([, dueAt]) => dueAt).slice(0, 1_000));
  const last = [...settled.values()].reduce((a, b) => Math.max(a, b), 0);
  return {
    settledPerSecond: (count / (last - firstDue)) * 1_000,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    acceptP50Ms: quantile(accepts, 0.5),
    acceptP99Ms: quantile(accepts, 0.99),
    rssMb: chodang.rssMb(),
  };
}

/** Waits until all are `notified`, and tells when each was committed as such, in ms since 1970. */
async function settledTimes({ store }: Servers, loaded: Loaded, count: number): Promise<Map<string, number>> {
  const ids = loaded.notices.map(([noticeId]) => noticeId);
  for (let tries = 0; ; tries += 1) {
    const rows = await store.rows<[string, string]>(
      `select notice_id, extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000 from ledger
       where notice_id = any($1) and state = 'notified'`,
      [ids],
    );
    if (rows.length === count) return new Map(rows.map(([id, at]) => [id, Number(at)]));
    if (tries > 500) throw new Error(`expected ${count} orders notified, found ${rows.length}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
