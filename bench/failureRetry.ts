import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import { addDays, today } from '../src/rules/dates.ts';
import { failedOrdersOf } from '../src/rules/salvage.ts';
import { findFailureGroup } from '../src/store/failureGroups.ts';
import { findOperation } from '../src/store/failureHistory.ts';
import { beginRetry } from '../src/store/failureOperations.ts';
import { type Failure, listFailures, recordFailures } from '../src/store/failures.ts';
import { upsertOrders } from '../src/store/orders.ts';
import type { Store } from '../src/store/store.ts';
import { contentOf } from './failedMessages.ts';
import { median } from './median.ts';
import type { openServers } from './open.ts';

type Servers = Awaited<ReturnType<typeof openServers>>;

const seller = 'bench-retry';
const zone = 'Asia/Seoul';
const newShipDate = addDays(
  today(() => new Date(), zone),
  7,
);
const ratePerSecond = 2_000;
const pollMs = 50;
const giveUpMs = 300_000;

/**
 * Measures a retry of `retries` failed messages, one order each, that the step tms gave up while the gateway was away
 * and that is well again: one first (the canary), then 2,000 a second at most; and then, with others, as many as there
 * is room for.
 *
 * From the operation's beginning, by whoever starts it, until it is done: all steps run in one process. The failures
 * are recorded by the store over ledger rows that are `delayed`, in a new group for each run. Fails unless each order
 * is `notified` and was delivered by the simulator exactly once, each failure is resolved, and so is their group.
 */
export async function measureRetry(
  servers: Servers,
  { retries, runs, say }: { retries: number; runs: number; say: (line: string) => void },
) {
  const { store } = servers;
  await store.query('insert into sellers (seller_id) values ($1) on conflict do nothing', [seller]);
  const process = await servers.startChodang();
  const once = async (rate: number | null, run: number): Promise<number> => {
    const { choice, noticeIds } = await prepare(store, retries);
    const before = await servers.delivered();
    const started = performance.now();
    const { operationId } = await beginRetry(store, {
      by: { who: 'bench', why: 'the gateway is well again' },
      choice,
      options: { canary: 1, ratePerSecond: rate, stopAfter: 5, path: null },
    });
    const began = performance.now();
    let operation = await findOperation(store, operationId);
    while (operation?.state === 'running') {
      if (performance.now() - started > giveUpMs)
        throw new Error(`after ${giveUpMs} ms the retry is not done: ${JSON.stringify(operation)}`);
      await sleep(pollMs);
      operation = await findOperation(store, operationId);
    }
    const seconds = (performance.now() - started) / 1_000;
    say(
      `retry at ${rate === null ? 'once' : `${rate} a second`}, ${run === 0 ? 'warm-up' : `run ${run}`}: ` +
        `${seconds.toFixed(2)} s, ${Math.round(retries / seconds)} per second, of these ` +
        `${((began - started) / 1_000).toFixed(2)} s to begin; ${process.rssMb().toFixed(0)} MB; ` +
        `load of the machine ${loadavg()[0]?.toFixed(1)}`,
    );
    if (
      operation?.state !== 'done' ||
      JSON.stringify(operation.items) !== JSON.stringify({ resolved: retries })
    )
      throw new Error(`expected a retry that is done with all resolved, got ${JSON.stringify(operation)}`);
    const group = await findFailureGroup(store, choice.groupId);
    if (group?.state !== 'resolved' || group.open + group.retrying !== 0)
      throw new Error(`expected a group that is resolved, got ${JSON.stringify(group)}`);
    const after = await servers.delivered();
    if (after.delivered - before.delivered !== retries || after.maxPerKey !== 1)
      throw new Error(
        `expected ${retries} deliveries, each once; the simulator says ${JSON.stringify(after)}`,
      );
    const states = await store.rows<[string, number]>(
      'select state, count(*)::int from ledger where notice_id = any($1) group by state',
      [noticeIds],
    );
    if (JSON.stringify(states) !== JSON.stringify([['notified', retries]]))
      throw new Error(`expected ${retries} orders notified, got ${JSON.stringify(states)}`);
    return seconds;
  };
  const paced: number[] = [];
  const atOnce: number[] = [];
  for (let run = 0; run <= runs; run += 1) {
    const seconds = { paced: await once(ratePerSecond, run), atOnce: await once(null, run) };
    if (run > 0) paced.push(seconds.paced);
    if (run > 0) atOnce.push(seconds.atOnce);
  }
  const retryRssMb = Math.round(process.rssMb());
  await process.stop();
  return {
    retries,
    ratePerSecond,
    retriedPerSecond: Math.round(retries / median(paced)),
    retrySeconds: round(median(paced)),
    retriedAtOncePerSecond: Math.round(retries / median(atOnce)),
    retryAtOnceSeconds: round(median(atOnce)),
    retryRssMb,
  };
}

const round = (value: number) => Number(value.toFixed(2));

/** Orders that were delayed, whose customers could not be told: in the ledger, and each as a failed message. */
async function prepare(store: Store, count: number) {
  const noticeIds = Array.from({ length: Math.ceil(count / 10) }, () => uuidv7());
  const promisedShipDate = today(() => new Date(), zone);
  const orders = Array.from({ length: count }, (_, at) => ({
    sellerId: seller,
    orderId: `retry-${uuidv7()}`,
    noticeId: noticeIds[Math.floor(at / 10)] ?? '',
    status: 'open' as const,
    promisedShipDate,
    phone: `+8210${2_000 + Math.floor(at / 9_999)}${String((at % 9_999) + 1).padStart(4, '0')}`,
    customerName: '김하늘',
    product: '초당옥수수 10개',
  }));
  const columns = [
    orders.map(({ noticeId }) => noticeId),
    orders.map(({ orderId }) => orderId),
    seller,
    newShipDate,
  ];
  await upsertOrders(store, orders);
  await store.query(
    `update orders o set expected_ship_date = $4, delay_count = 1, last_notice_id = k.notice_id
     from unnest($1::uuid[], $2::text[]) as k (notice_id, order_id) where o.seller_id = $3 and o.order_id = k.order_id`,
    columns,
  );
  await store.query(
    `insert into notices (notice_id, seller_id, path, lane, reason, new_ship_date, orders, duplicates)
     select notice_id, $2, 'actors', 'express', 'WEATHER', $3, 10, 0 from unnest($1::uuid[]) as notice_id`,
    [noticeIds, seller, newShipDate],
  );
  await store.query(
    `insert into ledger (notice_id, order_id, seller_id, state, old_ship_date, new_ship_date)
     select n, o, $3, 'delayed', $5, $4 from unnest($1::uuid[], $2::text[]) as k (n, o)`,
    [...columns, promisedShipDate],
  );
  const kind = uuidv7()
    .replaceAll(/\d/g, (digit) => 'ghijklmnop'[Number(digit)] ?? '')
    .replaceAll('-', '');
  for (let at = 0; at < count; at += 500)
    await recordFailures(
      store,
      orders.slice(at, at + 500).map((order): Failure => {
        const content = contentOf({ ...order, newShipDate });
        return {
          step: 'tms',
          lane: 'express',
          type: 'tms.v1',
          messageId: uuidv7(),
          errorClass: 'Error',
          errorMessage: `the gateway says retriable: ${kind}`,
          errorStack: undefined,
          attempt: 1,
          failedAt: new Date(),
          headers: {},
          content,
          orders: failedOrdersOf(content),
        };
      }),
    );
  await store.query('vacuum analyze');
  await store.query('checkpoint');
  const [newest] = await listFailures(store, { limit: 1 });
  return { choice: { groupId: newest?.groupId ?? '', upTo: newest?.failureId ?? '' }, noticeIds };
}
