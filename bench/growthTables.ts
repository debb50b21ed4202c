import { orderIdsOf, takeStock } from './orders.ts';
import type { Servers } from './run.ts';

type Store = Servers['store'];

/** The first part of the ids of all orders that `growth` posts notices for. */
export const prefix = 'growth';

/** Which of the orders in the table a notice is for. */
export type Choice = 'neighbours' | 'spread';

/** Chooses so many of the `rows` orders in the table: those that were written side by side, or from everywhere. */
export function chooseOrders(
  choice: Choice,
  { rows, count, run }: { rows: number; count: number; run: number },
): string[] {
  const stride = choice === 'spread' ? Math.floor(rows / count) : 1;
  // Other pages in each run, as long as there are any.
  const first =
    choice === 'spread'
      ? Math.floor((run * stride) / 7) % stride
      : (run * count) % Math.max(1, rows - count + 1);
  return Array.from({ length: count }, (_, at) => `${prefix}-${first + at * stride}`);
}

/** Makes the orders of a seller what they were before a notice for them came, and removes the notice. */
export async function takeBack(store: Store, sellerId: string, orderIds: readonly string[]): Promise<void> {
  await store.query(
    `update orders set expected_ship_date = promised_ship_date, delay_count = 0, last_notice_id = null
     where seller_id = $1 and order_id = any($2)`,
    [sellerId, orderIds],
  );
  const posted = `select notice_id from notices where seller_id = $1 and notice_id > $2`;
  for (const table of ['ledger', 'intake', 'notices'])
    await store.query(`delete from ${table} where notice_id in (${posted})`, [sellerId, newestFilledIn]);
  await takeStock(store);
}

/** Greater than the id of each notice that was filled in; those that are posted are greater still. */
const newestFilledIn = '01900000-0000-7000-8000-000000000000';

/**
 * Fills in open notices of 10 orders each, of 1,000 sellers: passed on, delayed, not told to anybody yet.
 *
 * Their rows are as the steps write them, but for the orders themselves, which the steps would not look at again.
 */
export async function fillOpenNotices(store: Store, count: number): Promise<void> {
  const idOf = `(lpad(to_hex(1600000000000 + i), 12, '0') || '70008' || lpad(to_hex(i), 15, '0'))::uuid`;
  await store.query(
    `insert into notices (notice_id, seller_id, path, lane, reason, new_ship_date, orders, duplicates)
     select ${idOf}, 'seller-' || i % 1000, 'actors', 'express', 'WEATHER', current_date + 7, 10, 0
     from generate_series(1, $1::bigint) as i`,
    [count],
  );
  const ids = orderIdsOf({ prefix: 'open', count: 10 }).map((orderId) => ({ orderId }));
  await store.query(
    `insert into intake (notice_id, chunk_no, path, lane, chunk, done_at)
     select ${idOf}, 0, 'actors', 'express', $2, now() from generate_series(1, $1::bigint) as i`,
    [count, JSON.stringify({ header: { reason: 'WEATHER' }, items: ids })],
  );
  await store.query(
    `insert into ledger (notice_id, order_id, seller_id, state, old_ship_date, new_ship_date)
     select ${idOf}, 'open-' || at, 'seller-' || i % 1000, 'delayed', current_date, current_date + 7
     from generate_series(1, $1::bigint) as i, generate_series(0, 9) as at`,
    [count],
  );
  await takeStock(store);
}
