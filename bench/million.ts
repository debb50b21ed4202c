import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendFile } from '../src/http/import/send.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { load } from './load.ts';
import { medians, quantile } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { addOrders, sellerIds } from './orders.ts';
import {
  beginRun,
  type Cpu,
  cpuText,
  dayIn,
  expectOnce,
  round,
  type Servers,
  secondsToLastCommit,
  untilNotified,
  withCpu,
} from './run.ts';
import { settledTimes } from './singles.ts';
import { watchMemory } from './watchMemory.ts';

const singlesPerSecond = 500;
/** So long before the import do they begin. */
const leadMs = 2_000;

/**
 * The import of a CSV file of `orders` rows, from the request sent until every order is `notified`; the dates of a
 * tenth of the rows are their own.
 *
 * With `singles`, that is `mixed`: meanwhile notices of one order each come from other sellers, 500 a second, until
 * the import is about to be done; from the moment each was due until its order was committed as `notified`.
 * Fails unless each order was delivered exactly once.
 */
export async function million(options: {
  orders: number;
  runs: number;
  workers?: number | undefined;
  say: (line: string) => void;
}) {
  return measure({ ...options, singles: false });
}

/** See `million`. */
export async function mixed(options: { orders: number; runs: number; say: (line: string) => void }) {
  return measure({ ...options, singles: true });
}

async function measure(options: {
  orders: number;
  runs: number;
  workers?: number | undefined;
  singles: boolean;
  say: (line: string) => void;
}) {
  const { orders, runs, singles, workers, say } = options;
  const servers = await openServers(say);
  const dir = mkdtempSync(join(tmpdir(), 'chodang-bench-'));
  try {
    const apiKeys = await Promise.all(sellerIds(100).map((id) => addApiKey(servers.store, id)));
    const file = join(dir, 'million.csv');
    const bytes = await writeFile(file, orders);
    say(`a file of ${orders} rows, ${(bytes / 1_000_000).toFixed(0)} MB`);
    const chodang = await servers.startChodang({ ...(workers && { workers }) });
    const measured: Measured[] = [];
    let besideSeconds = 0;
    for (let run = 0; run <= runs; run += 1) {
      const result = await once(servers, chodang, { apiKeys, file, orders, besideSeconds, run });
      // The import has to last longer than what comes beside it.
      if (singles) besideSeconds = Math.max(1, Math.floor(result.seconds * 0.75));
      say(
        `${run === 0 ? 'warm-up' : `run ${run}`}: ${result.seconds.toFixed(1)} s, received in ${result.receivedSeconds.toFixed(1)} s, first answer after ` +
          `${result.acceptMs.toFixed(0)} ms, at most ${result.rssMb.toFixed(0)} MB; ${cpuText(result)}` +
          (result.singles > 0
            ? `; ${result.singles} singles beside it: p50 ${result.p50Ms.toFixed(0)} ms, p99 ${result.p99Ms.toFixed(0)} ms`
            : ''),
      );
      if (run > 0) measured.push(result);
    }
    const {
      seconds,
      receivedSeconds,
      acceptMs,
      rssMb,
      singles: beside,
      p50Ms,
      p99Ms,
      ...cpu
    } = medians<keyof Measured>(measured);
    return {
      scenario: singles ? 'mixed' : 'million',
      runs,
      orders,
      ...(workers && { workers }),
      seconds: round(seconds, 2),
      ordersPerSecond: round(orders / seconds),
      receivedSeconds: round(receivedSeconds, 2),
      acceptMs: round(acceptMs),
      rssMb: round(rssMb),
      rssMbMost: round(Math.max(...measured.map((each) => each.rssMb))),
      ...(singles && {
        singles: beside,
        singlesPerSecond,
        p50Ms: round(p50Ms),
        p99Ms: round(p99Ms),
        p99MsMost: round(Math.max(...measured.map((each) => each.p99Ms))),
      }),
      ...Object.fromEntries(Object.entries(cpu).map(([name, value]) => [name, round(value, 1)])),
    };
  } finally {
    await servers.close();
    rmSync(dir, { recursive: true });
  }
}

interface Measured extends Cpu {
  seconds: number;
  receivedSeconds: number;
  acceptMs: number;
  rssMb: number;
  singles: number;
  p50Ms: number;
  p99Ms: number;
}

/** One run, from empty tables on; with `besideSeconds` notices of one order each come for so long. */
async function once(
  servers: Servers,
  chodang: Subject,
  options: { apiKeys: readonly string[]; file: string; orders: number; besideSeconds: number; run: number },
): Promise<Measured> {
  const { apiKeys, file, orders, besideSeconds, run } = options;
  const beside = besideSeconds * singlesPerSecond;
  await beginRun(servers, { prefix: 'million', count: orders, sellers: 1 });
  if (beside > 0)
    await addOrders(servers.store, { prefix: 'single', count: beside, sellers: apiKeys.length });
  const memory = watchMemory(chodang);
  const loading = beside > 0 ? loadSingles(chodang, apiKeys, beside) : undefined;
  // Sellers have their connections: Node takes one new one in a turn of its event loop, however many wait.
  if (loading) await sleep(leadMs);
  const begunAt = Date.now();
  const startedAt = performance.now();
  const { result, cpu } = await withCpu(servers, chodang, async () => {
    let acceptMs = Number.NaN;
    await sendFile({
      url: chodang.address,
      apiKey: apiKeys[0] ?? '',
      format: 'csv',
      gzipped: false,
      idempotencyKey: `million-${run}`,
      open: () => createReadStream(file, { highWaterMark: 256 * 1024 }),
      tries: 0,
      onAccepted() {
        acceptMs = performance.now() - startedAt;
      },
      onSent: () => undefined,
      onBroken: () => undefined,
    });
    const receivedSeconds = (performance.now() - startedAt) / 1_000;
    await untilNotified(servers, orders + beside, { withinMs: 600_000 });
    return { acceptMs, receivedSeconds, loaded: await loading };
  });
  await expectOnce(servers, orders + beside);
  const { loaded, ...times } = result;
  const settled = loaded && (await settledTimes(servers, loaded));
  const during = loaded?.notices.filter(([, dueAt]) => dueAt >= begunAt) ?? [];
  const latencies = during.map(([id, dueAt]) => (settled?.get(id) ?? Number.NaN) - dueAt);
  return {
    ...times,
    seconds: await secondsToLastCommit(servers, begunAt),
    ...cpu,
    rssMb: Math.max(...memory.stop()),
    singles: during.length,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  };
}

const loadSingles = ({ address }: Subject, apiKeys: readonly string[], count: number) =>
  load({
    address,
    apiKeys: [...apiKeys],
    prefix: 'single',
    count,
    perSecond: singlesPerSecond,
    connections: 100,
    newShipDate: dayIn(7),
  });

/** Writes the file; every tenth row wants another date than its neighbours. Returns its length in bytes. */
async function writeFile(file: string, orders: number): Promise<number> {
  const [date, otherDate] = [dayIn(7), dayIn(9)];
  let bytes = 0;
  const lines = function* () {
    yield 'order_id,new_ship_date,reason,detail\n';
    for (let at = 0; at < orders; at += 1_000) {
      const rows = Array.from({ length: Math.min(1_000, orders - at) }, (_, i) => {
        const day = (at + i) % 10 === 9 ? otherDate : date;
        return `million-${at + i},${day},WEATHER,장마로 수확이 늦어지고 있습니다.\n`;
      }).join('');
      bytes += Buffer.byteLength(rows);
      yield rows;
    }
  };
  await pipeline(Readable.from(lines()), createWriteStream(file));
  return bytes;
}
