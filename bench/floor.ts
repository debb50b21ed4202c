import { uuidv7 } from 'uuidv7';
import { loadConfig } from '../src/config/load.ts';
import type { Limits } from '../src/rules/judge.ts';
import { type NoticeHeader, type WantedDelay, wantedDelay } from '../src/rules/notice.ts';
import { delayOrders } from '../src/store/delay.ts';
import { insertChunks, markChunksDone } from '../src/store/intake.ts';
import { readOrders } from '../src/store/ledger.ts';
import { insertNotices, type NewNotice } from '../src/store/notices.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { readToSend, recordEndings } from '../src/store/sending.ts';
import { openStore, type Store, transaction } from '../src/store/store.ts';
import { median } from './median.ts';
import { openServers } from './open.ts';
import { orderIdsOf, sellerIds } from './orders.ts';
import { beginRun, dayIn, round, type Servers } from './run.ts';

const [seller = ''] = sellerIds(1);

/** The floor of this machine: what is left of a notice's way if there were nothing but its SQL. */
export interface Floor {
  /** Takes the orders through all their SQL; returns the seconds that took. */
  run(orderIds: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens the floor: the same functions of `src/store/` on the same batches that intake and the three steps run for one
 * notice, one process, `parallel` batches at once; no RabbitMQ, no HTTP, no gateway. What rules and templates compute
 * is left out, what it takes to put arrays together and to read columns is in.
 */
export function openFloor(servers: Servers, parallel: number): Floor {
  const config = loadConfig({ env: servers.env });
  const store = openStore({
    ...config.postgres,
    url: servers.urls.postgres,
    log: { debug() {}, info() {}, warn: () => servers.say('the floor: a warning'), error() {} },
  });
  const { size } = config.steps['delay']?.lanes['bulk']?.batch ?? { size: 500 };
  const today = dayIn(0);
  return {
    async run(orderIds) {
      await store.warm();
      const startedAt = performance.now();
      const header: NoticeHeader = {
        noticeId: uuidv7(),
        sellerId: seller,
        path: 'actors',
        reason: 'WEATHER',
        detail: '장마로 수확이 늦어지고 있습니다.',
        newShipDate: dayIn(7),
      };
      await intake(store, header, orderIds, config.pipeline.chunkSize);
      const batches: WantedDelay[][] = [];
      for (let at = 0; at < orderIds.length; at += size)
        batches.push(orderIds.slice(at, at + size).map((orderId) => wantedDelay(header, { orderId })));
      const next = batches.values();
      await Promise.all(
        Array.from({ length: parallel }, async () => {
          for (const batch of next) await threeSteps(store, batch, today, config.limits);
        }),
      );
      return (performance.now() - startedAt) / 1_000;
    },
    close: () => store.close(),
  };
}

async function intake(
  store: Store,
  header: NoticeHeader,
  orderIds: readonly string[],
  chunkSize: number,
): Promise<void> {
  const { noticeId, sellerId, path, reason, detail, newShipDate } = header;
  const chunks: { noticeId: string; chunkNo: number; lane: string; chunk: string }[] = [];
  for (let at = 0; at < orderIds.length; at += chunkSize) {
    const items = orderIds.slice(at, at + chunkSize).map((orderId) => ({ orderId }));
    chunks.push({ noticeId, chunkNo: chunks.length, lane: 'bulk', chunk: JSON.stringify({ header, items }) });
  }
  const notice: NewNotice = {
    noticeId,
    sellerId,
    path,
    reason,
    detail,
    newShipDate,
    lane: 'bulk',
    switchVersion: null,
    orders: orderIds.length,
    duplicates: 0,
  };
  await transaction(store, (tx) =>
    Promise.all([insertNotices(tx, [notice]), insertChunks(tx, [{ ...notice, chunks }])]),
  );
  await markChunksDone(store, chunks);
}

async function threeSteps(
  store: Store,
  batch: readonly WantedDelay[],
  today: string,
  limits: Limits,
): Promise<void> {
  const found = await readOrders(store, batch);
  const judged = batch.map((wanted, at) => ({ ...wanted, version: found[at]?.version }));
  const outcomes = await delayOrders(store, judged, today, limits);
  const toSend = await readToSend(store, judged);
  await recordEndings(
    store,
    judged.map(({ noticeId, sellerId, orderId }, at) => {
      if (outcomes[at] !== 'delayed') throw new Error(`expected ${orderId} delayed, got ${outcomes[at]}`);
      const row = toSend[at]?.row;
      return { noticeId, sellerId, orderId, row, state: 'notified', gatewayId: `sim-default-${at}` };
    }),
  );
}

/** Measures the floor by itself: `orders` orders of one notice. Fails unless each is `notified`. */
export async function floor(options: {
  orders: number;
  runs: number;
  parallel: number;
  say: (line: string) => void;
}) {
  const { orders, runs, parallel, say } = options;
  const servers = await openServers(say);
  await addApiKey(servers.store, seller);
  const opened = openFloor(servers, parallel);
  try {
    const measured: number[] = [];
    for (let run = 0; run <= runs; run += 1) {
      const seconds = await floorOnce(servers, opened, { prefix: `floor-${run}`, count: orders });
      say(
        `floor, ${run === 0 ? 'warm-up' : `run ${run}`}: ${seconds.toFixed(3)} s, ${Math.round(orders / seconds)} a second`,
      );
      if (run > 0) measured.push(seconds);
    }
    const seconds = median(measured);
    return {
      scenario: 'floor',
      runs,
      orders,
      parallel,
      seconds: round(seconds, 3),
      ordersPerSecond: Math.round(orders / seconds),
    };
  } finally {
    await opened.close();
    await servers.close();
  }
}

/** One run of the floor, from empty tables on; returns its seconds. */
export async function floorOnce(
  servers: Servers,
  opened: Floor,
  orders: { prefix: string; count: number },
): Promise<number> {
  await beginRun(servers, { ...orders, sellers: 1 });
  const seconds = await opened.run(orderIdsOf(orders));
  const [row] = await servers.store.rows<[number]>(
    `select count(*)::int from ledger where state = 'notified'`,
  );
  if (row?.[0] !== orders.count) throw new Error(`expected ${orders.count} notified, got ${row?.[0]}`);
  return seconds;
}
