import { addApiKey } from '../src/store/sellers.ts';
import { load } from './load.ts';
import type { Loaded } from './loader.ts';
import { median, quantile } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { sellerIds } from './orders.ts';
import {
  beginRun,
  type Cpu,
  cpuText,
  dayIn,
  expectOnce,
  round,
  type Servers,
  untilNotified,
  withCpu,
} from './run.ts';

/** How many sellers post. */
export const sellers = 1_000;
const steadyPerSecond = 5_000;
const steadySeconds = 10;

/**
 * Notices of one order each, from 1,000 sellers, over HTTP, in an open loop:
 *
 * - as many as there is room for: `orders` of them offered at `offered` a second; how many a second are settled, from
 *   the first that was due until the last is `notified`. What is answered with 503 meanwhile is posted again at the end;
 * - a steady 5,000 a second: from the moment a request was due until its order is `notified`, as Postgres committed it.
 *
 * Fails unless each order was notified, and delivered by the simulator exactly once.
 */
export async function singles(options: {
  orders: number;
  runs: number;
  offered: number;
  workers?: number | undefined;
  say: (line: string) => void;
}) {
  const { orders, runs, offered, workers, say } = options;
  const servers = await openServers(say);
  try {
    const apiKeys = await addSellers(servers);
    const chodang = await servers.startChodang({ ...(workers && { workers }) });
    const flatOut: Measured[] = [];
    const steady: Measured[] = [];
    for (let run = 0; run <= runs; run += 1)
      for (const [name, perSecond, count, into] of [
        ['as many as there is room for', offered, orders, flatOut],
        [`${steadyPerSecond} a second`, steadyPerSecond, steadyPerSecond * steadySeconds, steady],
      ] as const) {
        const measured = await once(servers, chodang, apiKeys, {
          prefix: `single-${run}`,
          count,
          perSecond,
        });
        say(
          `${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${Math.round(measured.settledPerSecond)} a second settled, ` +
            `p50 ${measured.p50Ms.toFixed(0)} ms, p99 ${measured.p99Ms.toFixed(0)} ms, accepted p99 ` +
            `${measured.acceptP99Ms.toFixed(0)} ms, ${measured.refused} times refused, ${measured.rssMb.toFixed(0)} MB; ${cpuText(measured)}`,
        );
        if (run > 0) into.push(measured);
      }
    const of = (all: readonly Measured[], name: keyof Measured) => median(all.map((each) => each[name]));
    return {
      scenario: 'singles',
      runs,
      orders,
      ...(workers && { workers }),
      offeredPerSecond: offered,
      noticesPerSecond: round(of(flatOut, 'settledPerSecond')),
      refused: round(of(flatOut, 'refused')),
      steadyPerSecond,
      p50Ms: round(of(steady, 'p50Ms')),
      p99Ms: round(of(steady, 'p99Ms')),
      acceptMs: round(of(steady, 'acceptP50Ms')),
      rssMb: round(Math.max(...[...flatOut, ...steady].map(({ rssMb }) => rssMb))),
    };
  } finally {
    await servers.close();
  }
}

interface Measured extends Cpu {
  settledPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  acceptP50Ms: number;
  acceptP99Ms: number;
  refused: number;
  rssMb: number;
}

/** Adds the sellers; returns their API keys. */
export const addSellers = ({ store }: Servers): Promise<string[]> =>
  Promise.all(sellerIds(sellers).map((sellerId) => addApiKey(store, sellerId)));

async function once(
  servers: Servers,
  chodang: Subject,
  apiKeys: readonly string[],
  orders: { prefix: string; count: number; perSecond: number },
): Promise<Measured> {
  const { prefix, count, perSecond } = orders;
  await beginRun(servers, { prefix, count, sellers });
  const { result: loaded, cpu } = await withCpu(servers, chodang, async () => {
    const posted = await load({
      address: chodang.address,
      apiKeys: [...apiKeys],
      prefix,
      count,
      perSecond,
      newShipDate: dayIn(7),
    });
    await untilNotified(servers, count);
    return posted;
  });
  await expectOnce(servers, count);
  const settled = await settledTimes(servers, loaded);
  const latencies = loaded.notices.map(([noticeId, dueAt]) => (settled.get(noticeId) ?? Number.NaN) - dueAt);
  const accepts = loaded.notices.map(([, dueAt, answeredAt]) => answeredAt - dueAt);
  return {
    settledPerSecond: (count / (Math.max(...settled.values()) - loaded.firstDueAt)) * 1_000,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    acceptP50Ms: quantile(accepts, 0.5),
    acceptP99Ms: quantile(accepts, 0.99),
    refused: loaded.refused,
    rssMb: chodang.rssMb(),
    ...cpu,
  };
}

/** When each notice's order was committed as `notified`, in ms since 1970. */
export async function settledTimes({ store }: Servers, { notices }: Loaded): Promise<Map<string, number>> {
  const rows = await store.rows<[string, string]>(
    `select notice_id, extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000 from ledger
     where notice_id = any($1) and state = 'notified'`,
    [notices.map(([noticeId]) => noticeId)],
  );
  return new Map(rows.map(([id, at]) => [id, Number(at)]));
}
